"""Reading users' files: compression, encoding and layout are detected from their content.

Every command that reads a user's text or rows opens it here:

- :func:`expand`: names, folders and patterns to files;
- :func:`members`: a file with all packing taken off, or the files of an archive (gzip, bzip2, xz,
  lzma, zstd, zip, tar, one inside the other); :func:`open_bytes` where it must be one file;
- :func:`as_utf8`, :func:`decode`, :func:`mended`: UTF-8, or UTF-16 and UTF-32 with a byte order
  mark; anything else is an error with its place and a remedy; lone surrogates become U+FFFD;
- :func:`parts`, :func:`documents_of`: plain text, JSON lines, JSON lists, CSV, TSV, parquet,
  WikiExtractor's ``<doc>``, as a :class:`Reading` says;
- :class:`BadRows`: rows left out, counted by reason, an error above ``--max-bad-rows``.
"""

from fairseq_metro.common.sources.bad_rows import BadRows, row_limit
from fairseq_metro.common.sources.decoding import as_utf8, decode, mended
from fairseq_metro.common.sources.forms import FORMS, TEXT
from fairseq_metro.common.sources.lines import byte_lines, line_blocks
from fairseq_metro.common.sources.opening import (
    STANDARD_INPUT,
    Member,
    check_readable,
    members,
    open_bytes,
    open_member,
)
from fairseq_metro.common.sources.options import (
    DEFAULT_LIMIT,
    TEXT_FILES,
    add_max_bad_rows,
    add_reading_options,
    bad_rows_limit,
    reading_of,
)
from fairseq_metro.common.sources.parts import Part, Reading, documents_of, parts, text_lines
from fairseq_metro.common.sources.places import HUB, expand, names_of
from fairseq_metro.common.sources.streams import readable

__all__ = [
    "DEFAULT_LIMIT", "FORMS", "HUB", "STANDARD_INPUT", "TEXT", "TEXT_FILES", "BadRows", "Member",
    "Part", "Reading", "add_max_bad_rows", "add_reading_options", "as_utf8", "bad_rows_limit",
    "byte_lines", "check_readable", "decode", "documents_of", "expand", "line_blocks", "members",
    "mended", "names_of", "open_bytes", "open_member", "parts", "readable", "reading_of", "row_limit",
    "text_lines",
]  # fmt: skip
