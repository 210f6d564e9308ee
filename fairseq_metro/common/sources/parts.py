"""What commands read: the texts of files in any packing and form."""

import dataclasses
from dataclasses import dataclass

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.sources.bad_rows import BadRows
from fairseq_metro.common.sources.decoding import as_utf8, decode
from fairseq_metro.common.sources.forms import (
    FORMS,
    HEAD,
    PARQUET,
    TEXT,
    begins_as_parquet,
    form_by_name,
    form_of,
    holds_json,
)
from fairseq_metro.common.sources.lines import byte_lines, line_blocks
from fairseq_metro.common.sources.opening import Member, members
from fairseq_metro.common.sources.parquet import texts_of_parquet
from fairseq_metro.common.sources.rows import texts_of_rows
from fairseq_metro.common.sources.streams import Stream, readable


@dataclass(frozen=True)
class Reading:
    """How a command reads its files: which field of rows holds the text, in which form they are
    (None: as their content says), and the counts of rows that had to be left out."""

    field: str = "text"
    form: str | None = None
    bad_rows: BadRows = dataclasses.field(default_factory=BadRows)

    def __post_init__(self):
        if self.form is not None and self.form not in FORMS:
            raise UserError(f"--format is {self.form!r}, must be one of {', '.join(FORMS)}")


@dataclass(frozen=True)
class Part:
    """A file, or a file of an archive, of which nothing is read yet. stream: its text in UTF-8, as
    long as nobody has looked unchecked; for parquet its bytes."""

    member: Member
    form: str
    stream: Stream
    reading: Reading

    @property
    def is_rows(self):
        """Whether it holds rows, each a document; else lines of plain text."""
        return self.form != TEXT

    @property
    def is_plain(self):
        """Whether its bytes are those of the file: neither rows, nor packed, nor encoded otherwise."""
        member = self.member
        return self.form == TEXT and not member.packing and self.stream is member.stream

    def texts(self):
        """Yield the text of each row. Raises :class:`UserError`, one line."""
        reading = self.reading
        if self.form == PARQUET:
            return texts_of_parquet(self.member, reading.field, reading.bad_rows)
        return texts_of_rows(self.form, self.member, self.stream, reading.field, reading.bad_rows)

    def lines(self):
        """Yield the lines of plain text, decoded, without their ends."""
        for number, offset, data in line_blocks(self.stream, self.member.place):
            yield from decode(data, self.member, number, offset).removesuffix("\n").split("\n")


def parts(path, reading):
    """Yield the :class:`Part` s of a file: itself, or the files of an archive one after the other.

    Read one before asking for the next. Raises :class:`UserError`, one line.
    """
    for member in members(path):
        with readable(member.place):
            form, head = reading.form, member.stream.peek(HEAD)
            named = form_by_name(member.name) == PARQUET and not holds_json(head)
            if form == PARQUET or (form is None and (begins_as_parquet(head) or named)):
                yield Part(member, PARQUET, member.stream, reading)
                continue
            stream = as_utf8(member, reading.bad_rows)
            form = form or form_of(member.name, stream)
        yield Part(member, form, stream, reading)


def text_lines(path):
    """Yield (number, text without its end) of each line of a file, packed in any way.

    Rows stay the lines that they are. Raises :class:`UserError` with file, line and byte.
    """
    for member in members(path):
        with readable(member.place):
            stream = as_utf8(member)
        for number, offset, line in byte_lines(stream, member.place):
            yield number, decode(line, member, number, offset).removesuffix("\r")


def documents_of(path, reading, whole_files=False):
    """Yield the text of each document of a file.

    A row is a document; in plain text a blank line, or the end of a file, ends one; with
    ``whole_files`` the end of a file alone.
    """
    for part in parts(path, reading):
        if part.is_rows:
            yield from part.texts()
            continue
        block = []
        for line in part.lines():
            if line.strip() or whole_files:
                block.append(line)
            elif block:
                yield "\n".join(block)
                block = []
        if block:
            yield "\n".join(block)
