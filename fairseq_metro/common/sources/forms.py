"""What a text file holds: plain text, or rows, in which form.

The content decides, and must not take prose for rows: many a text begins with a brace, and almost
every one has commas and tabs. So CSV and TSV are recognised by the name alone, but not where the
content is JSON or WikiExtractor's for certain.
"""

import json
import re

TEXT, JSON, CSV, TSV, PARQUET, WIKI = FORMS = ("text", "json", "csv", "tsv", "parquet", "wiki")
HEAD = 1 << 16  # bytes that are looked at
MOST_LINES = 50
PARQUET_MARK = b"PAR1"
DOC_START = re.compile(r'<doc (?=[^\n]*\bid=")[^\n]*>\s*')
DOC_END = "</doc>"
_BY_NAME = {
    ".jsonl": JSON, ".ndjson": JSON, ".json": JSON, ".csv": CSV, ".tsv": TSV, ".parquet": PARQUET,
}  # fmt: skip
_OBJECT = re.compile(rb'\s*\[?\s*\{\s*"[^"\\\n]{0,200}"\s*:\s*["\[{0-9tfn-]')


def begins_as_parquet(head):
    """Whether the bytes are a parquet file's first: no letter follows its mark.

    >>> begins_as_parquet(b"PAR1\x15\x04"), begins_as_parquet(b"PAR1 is a word here")
    (True, False)
    """
    return head.startswith(PARQUET_MARK) and not 0x20 <= (*head[4:5], 0)[0] < 0x7F


def form_of(name, stream):
    """The form of a file: one of FORMS. stream: its text in UTF-8, of which nothing is read yet.

    >>> from io import BytesIO
    >>> from fairseq_metro.common.sources.streams import Stream
    >>> form_of("part-0", Stream(BytesIO(b'{"text": "a row"}\\n')))
    'json'
    >>> form_of("a.csv", Stream(BytesIO(b"id,text\\n"))), form_of("a.csv", Stream(BytesIO(b"{}\\n{}")))
    ('csv', 'json')
    """
    by_name, head = form_by_name(name), stream.peek(HEAD)
    first = head.lstrip().split(b"\n", 1)[0]
    if DOC_START.fullmatch(first.decode("utf-8", "replace")):
        return WIKI
    if by_name is None:
        return JSON if _is_json(head, whole=len(head) < HEAD) else TEXT
    return JSON if by_name != JSON and holds_json(head) else by_name


def holds_json(head):
    """Whether a file's first bytes are objects, a line each, whatever its name says.

    >>> holds_json(b'{"text": "a row"}\\n{"text": "an'), holds_json(b'{"a": 1},2\\n')
    (True, False)
    """
    return _is_object(head.lstrip().split(b"\n", 1)[0]) and _is_json(head, whole=len(head) < HEAD)


def form_by_name(name):
    """The form that a file's name gives it, or None. name: as :func:`~.kinds.plain_name` has it."""
    return next((form for ending, form in _BY_NAME.items() if name.endswith(ending)), None)


def _is_json(head, whole):
    """Whether most lines are objects, or what begins is one over several lines, or a list."""
    lines = head.split(b"\n")
    if not whole:
        lines.pop()  # cut off
    lines = [line for line in lines if line.strip()][:MOST_LINES]
    objects = sum(map(_is_object, lines))
    if objects:
        return 2 * objects >= len(lines)
    return _OBJECT.match(head) is not None


def _is_object(line):
    if not line.lstrip().startswith(b"{"):
        return False
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False
