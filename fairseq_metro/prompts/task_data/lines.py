"""Lines of text files as bytes first, so that a bad byte is told with its file, line and place."""

import codecs
import io

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.sources import as_utf8, line_blocks, open_member, readable
from fairseq_metro.prompts.task_data.bad_row import BadRow

# Microsoft's code page leaves five bytes without a character; files have them all the same.
_REST_AS_LATIN_1 = "fairseq_metro.rest_as_latin_1"


def _rest_as_latin_1(error):
    return error.object[error.start : error.end].decode("latin-1"), error.end


codecs.register_error(_REST_AS_LATIN_1, _rest_as_latin_1)


def raw_lines(path):
    """Lines with their ends, numbered from 1: (number, bytes). A byte order mark is left out.

    Only ``\\n`` ends a line: what else ``str.splitlines`` takes for an end occurs inside texts.
    A file may be packed in any way. Raises :class:`UserError` for a damaged one.
    """
    with open_member(path) as member:
        with readable(member.place):
            stream = as_utf8(member)
        for first, _, data in line_blocks(stream, member.place):
            yield from enumerate(io.BytesIO(data), first)


def decode(path, number, raw, encoding="utf-8"):
    """A line's text. Raises :class:`BadRow` that names file, line, byte and remedy.

    Windows-1252 never fails: its five empty places are read as Latin-1, as web browsers do.
    """
    try:
        windows = codecs.lookup(encoding).name == "cp1252"
        return raw.decode(encoding, _REST_AS_LATIN_1 if windows else "strict")
    except LookupError:
        raise UserError(f"{path}: Python knows no encoding {encoding!r}; try latin-1") from None
    except UnicodeDecodeError as error:
        raise BadRow(
            f"{path}: line {number}, byte {error.start} of the line (0x{raw[error.start]:02x}) is "
            f"not {encoding}; find out the file's encoding and name it (`encoding:`) for this data "
            "set in datasets.yaml beside the data, or convert the file to UTF-8",
            f"not {encoding}",
            of_file=True,
        ) from None


def lines_or_bad(path, encoding="utf-8", start=0, stop=None):
    """Lines that are not blank: (number, text with its end, or the :class:`BadRow` it is).

    start, stop: a range of these lines, counted from 0; lines before it are not decoded.
    """
    full = ((number, raw) for number, raw in raw_lines(path) if not raw.isspace())
    for index, (number, raw) in enumerate(full):
        if stop is not None and index >= stop:
            return
        if index >= start:
            try:
                yield number, decode(path, number, raw, encoding)
            except BadRow as bad:
                yield number, bad


def text_lines(path, encoding="utf-8", start=0, stop=None):
    """The texts of :func:`lines_or_bad` without their ends: (number, text). Raises UserError."""
    for number, text in lines_or_bad(path, encoding, start, stop):
        if isinstance(text, BadRow):
            raise UserError(str(text))
        yield number, text.rstrip("\r\n")


def count_lines(path):
    """How many lines of a file are not blank."""
    return sum(not raw.isspace() for _, raw in raw_lines(path))
