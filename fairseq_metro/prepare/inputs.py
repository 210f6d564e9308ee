"""Reading text of any size in chunks of whole lines, UTF-8, from whatever the files are."""

import contextlib
import os
from dataclasses import dataclass, replace

from fairseq_metro.common.sources import (
    STANDARD_INPUT,
    BadRows,
    Reading,
    check_readable,
    decode,
    line_blocks,
    parts,
)

CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Place:
    """Where a chunk is from, for messages: what :func:`~fairseq_metro.common.sources.decode` wants."""

    place: str
    path: str
    packing: tuple


@dataclass(frozen=True)
class Chunk:
    """Whole lines of one file: ``data`` ends at a line's end (or the file's)."""

    place: Place
    first_line: int  # 1 for the file's first
    offset: int  # bytes of (decompressed) text before it in this file
    data: bytes
    new_file: bool  # nothing of this file came before
    rows: bool = False  # made from rows: a blank line ends one, whatever it means in plain text

    def halves(self, position):
        """The chunk cut at byte ``position``, which must be a line's end; an empty half is None."""
        left, right = self.data[:position], self.data[position:]
        lines = left.count(b"\n")
        return (
            Chunk(self.place, self.first_line, self.offset, left, self.new_file, self.rows)
            if left
            else None,
            Chunk(
                self.place,
                self.first_line + lines,
                self.offset + position,
                right,
                not left,
                self.rows,
            )
            if right
            else None,
        )

    def text(self):
        """The decoded text. Raises :class:`UserError` with file, line and byte if not UTF-8."""
        return decode(self.data, self.place, self.first_line, self.offset)


class Inputs:
    """The text of one split, read once in order. Iterating yields :class:`Chunk` s.

    paths: files, as :func:`~fairseq_metro.common.sources.expand` gives them. Rows come as documents:
    the text's lines that are not blank, and a blank line. ``done``: the share of the files' bytes read
    so far, or None for standard input. Raises :class:`UserError` where a file is missing, damaged
    or not readable.
    """

    def __init__(self, paths, chunk_bytes=CHUNK_BYTES, *, reading=None):
        self.paths = [str(path) for path in paths]
        self.chunk_bytes = chunk_bytes
        self.reading = reading or Reading()
        self.bytes = 0  # of text
        self._read_before, self._stored = 0, None
        for path in self.paths:
            check_readable(path)
        self.from_stdin = STANDARD_INPUT in self.paths
        self.stored_bytes = None if self.from_stdin else sum(map(os.path.getsize, self.paths))

    @property
    def done(self):
        if not self.stored_bytes:
            return None
        stored = self._stored
        here = 0
        if stored is not None and not stored.closed and stored.seekable():
            here = stored.tell()
        return min(1.0, (self._read_before + here) / self.stored_bytes)

    def text_bytes(self):
        """Size of the text, which is read through for it.

        Raises :class:`UserError` for pipes, which can be read only once.
        """
        return sum(map(self._text_bytes_of, self.paths))

    def _text_bytes_of(self, path):
        check_readable(path, regular=True)
        reading = replace(self.reading, bad_rows=BadRows(self.reading.bad_rows.limit))
        with contextlib.closing(parts(path, reading)) as inside:
            part = next(inside, None)
            if part is not None and part.is_plain:
                return os.path.getsize(path)
        return sum(len(chunk.data) for chunk in Inputs([path], reading=reading))

    def __iter__(self):
        for path in self.paths:
            for part in parts(path, self.reading):
                self._stored = part.member.stored
                place = place_of(part.member)
                yield from self._rows(part, place) if part.is_rows else self._lines(part, place)
            self._stored = None
            self._read_before += 0 if path == STANDARD_INPUT else os.path.getsize(path)

    def _lines(self, part, place):
        for line, offset, data in line_blocks(part.stream, place.place, self.chunk_bytes):
            self.bytes += len(data)
            yield Chunk(place, line, offset, data, new_file=offset == 0)

    def _rows(self, part, place):
        line, offset, documents, size = 1, 0, [], 0
        for text in part.texts():
            lines = [stripped for row in text.split("\n") if (stripped := row.strip())]
            if not lines:
                continue
            documents.append("".join(f"{row}\n" for row in lines).encode("utf-8") + b"\n")
            size += len(documents[-1])
            if size >= self.chunk_bytes:
                yield self._chunk_of(documents, place, line, offset)
                line, offset = line + sum(d.count(b"\n") for d in documents), offset + size
                documents, size = [], 0
        if documents:
            yield self._chunk_of(documents, place, line, offset)

    def _chunk_of(self, documents, place, line, offset):
        data = b"".join(documents)
        self.bytes += len(data)
        return Chunk(place, line, offset, data, new_file=offset == 0, rows=True)


def lines(paths, reading=None):
    """Every line of the files, decoded, without its newline."""
    for chunk in Inputs(paths, reading=reading):
        yield from chunk.text().removesuffix("\n").split("\n")


def place_of(member):
    """The :class:`Place` of a member."""
    return Place(member.place, member.path, member.packing)
