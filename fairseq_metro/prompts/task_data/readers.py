"""Files of rows in the formats benchmarks come in: each reader yields (place, dict), or a
:class:`BadRow` in place of a dict. A place is the number of a line, or words.

Line formats are read line by line; ``json`` is one value and is held whole.
"""

import csv
import json
import re
from itertools import islice

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.sources import as_utf8, mended, open_member, readable
from fairseq_metro.common.sources.forms import JSON, PARQUET_MARK, form_of
from fairseq_metro.common.sources.json_values import over_several_lines
from fairseq_metro.common.sources.kinds import plain_name
from fairseq_metro.prompts.task_data.bad_row import BadRow
from fairseq_metro.prompts.task_data.lines import count_lines, decode, lines_or_bad, raw_lines
from fairseq_metro.prompts.task_data.parquet import parquet_file, read_parquet

# A cell may be an article; csv's own limit is 131,072 characters.
csv.field_size_limit(1 << 27)
DELIMITERS = {"csv": ",", "tsv": "\t"}
NO_JSON = (*DELIMITERS, "parquet")
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")


def format_of(path):
    """A file's format by its name, or None.

    >>> from pathlib import Path
    >>> format_of(Path("train.jsonl.gz")), format_of(Path("stsa.binary.dev"))
    ('jsonl', None)
    """
    _, _, ending = plain_name(path.name).rpartition(".")
    return ending if ending in READERS else None


def kind_of(path, layout):
    """The format of a file: its layout's, or what its name says, or its content; the content also
    where it is JSON and the name says a table.

    Raises :class:`UserError` for one that is not known.
    """
    kind = layout.format or format_of(path)
    if kind is None or (layout.format is None and kind in NO_JSON):
        kind = format_inside(path) or kind
    if kind not in READERS:
        raise UserError(f"{path}: unknown format {kind!r}; known: {', '.join(sorted(READERS))}")
    return kind


def format_inside(path):
    """The format of a file of rows by its content, or None."""
    with open_member(path) as member, readable(member.place):
        if member.stream.peek(len(PARQUET_MARK)) == PARQUET_MARK:
            return "parquet"
        stream = as_utf8(member)
        if form_of(member.name, stream) != JSON:
            return None
        return "json" if over_several_lines(member.name, stream) else "jsonl"


def records(path, layout, start=0, stop=None, bad_rows=None):
    """Records ``start`` to ``stop`` of a file as its layout says: (line number, dict), or the
    :class:`BadRow` in place of the dict.

    Where a format has no lines, the number is words, ``row 3``. bad_rows: a sources.BadRows, which
    counts lone surrogates that became U+FFFD. Raises :class:`UserError` for a file that as a whole
    is not what the layout says.
    """
    kind = kind_of(path, layout)
    try:
        yield from READERS[kind](path, layout, start, stop, bad_rows)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from None


def read_records(path, layout, start=0, stop=None):
    """:func:`records` of which none may be bad: (line number, dict). Raises :class:`UserError`."""
    for number, record in records(path, layout, start, stop):
        if isinstance(record, BadRow):
            raise UserError(str(record))
        yield number, record


def count_records(path, layout):
    """How many records a file has, bad ones too: lines where a record is a line, else by reading."""
    kind = kind_of(path, layout)
    if kind in ("jsonl", "label_text"):
        return count_lines(path)
    if kind == "parquet":
        with parquet_file(path) as file:
            return file.metadata.num_rows
    return sum(1 for _ in records(path, layout))


def _read_jsonl(path, layout, start, stop, bad_rows):
    for number, text in lines_or_bad(path, layout.encoding, start, stop):
        yield number, text if isinstance(text, BadRow) else _json_line(path, number, text, bad_rows)


def _json_line(path, number, text, bad_rows):
    try:
        row = json.loads(text)
    except (ValueError, RecursionError) as error:
        return BadRow(
            f"{path}: line {number} is not JSON ({error}); the file may be cut short: fetch it "
            "again, or mend the line",
            "not JSON",
            of_file=not text.endswith("\n"),
        )
    return _mapping(path, number, row, text, bad_rows)


def _mapping(path, number, row, text, bad_rows):
    if not isinstance(row, dict):
        where = number if isinstance(number, str) else f"line {number}"
        kind = type(row).__name__
        return BadRow(
            f"{path}: {where} is a {kind}, not an object with named fields",
            f"{kind}, not an object",
        )
    return mended_value(row, bad_rows) if _SURROGATE_ESCAPE.search(text) else row


def mended_value(value, bad_rows=None):
    """A value of JSON with U+FFFD for each lone surrogate in it, counted in ``bad_rows``.

    >>> mended_value({"a": ["\\ud83d", 1]})
    {'a': ['\ufffd', 1]}
    """
    if isinstance(value, str):
        text, count = mended(value)
        if bad_rows is not None:
            bad_rows.replaced += count
        return text
    if isinstance(value, dict):
        return {mended(key)[0]: mended_value(inner, bad_rows) for key, inner in value.items()}
    if isinstance(value, list):
        return [mended_value(inner, bad_rows) for inner in value]
    return value


def _read_json(path, layout, start, stop, bad_rows):
    text = "".join(decode(path, *line, layout.encoding) for line in raw_lines(path))
    if not text.strip():
        return
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        if _is_object_a_line(text):
            yield from _read_jsonl(path, layout, start, stop, bad_rows)
            return
        raise UserError(f"{path}: not JSON ({error}); fetch it again, or mend it") from None
    if isinstance(value, dict):
        value = value["data"] if isinstance(value.get("data"), list) else [value]
    if not isinstance(value, list):
        raise UserError(f"{path}: neither a list nor an object; name a file of rows")
    for number, item in islice(enumerate(value, 1), start, stop):
        # DREAM's items are lists; its shape knows what to make of them.
        item = {"item": item} if isinstance(item, list) else item
        yield f"row {number}", _mapping(path, f"row {number}", item, text, bad_rows)


def _is_object_a_line(text):
    """Whether text that is no JSON as a whole begins with a line that is an object."""
    try:
        return isinstance(json.loads(text.lstrip().split("\n", 1)[0]), dict)
    except (ValueError, RecursionError):
        return False


def _read_table(path, layout, start, stop, bad_rows):
    delimiter = layout.delimiter or DELIMITERS[layout.format or format_of(path)]
    quoting = csv.QUOTE_MINIMAL if delimiter == "," else csv.QUOTE_NONE
    bad = []  # lines of the record that is being read
    table = csv.reader(
        _table_lines(path, layout, bad), delimiter=delimiter, quoting=quoting, strict=True
    )
    try:
        names = layout.columns or [name.strip() for name in next(table, ())]
        if bad:
            raise UserError(str(bad[0]))
        yield from islice(_table_rows(path, table, names, layout, bad), start, stop)
    except csv.Error as error:
        raise UserError(f"{path}: line {table.line_num}: {error}; mend the line") from None


def _table_lines(path, layout, bad):
    """A table's lines; the :class:`BadRow` of one that cannot be decoded goes to ``bad``."""
    for number, raw in raw_lines(path):
        try:
            yield decode(path, number, raw, layout.encoding)
        except BadRow as problem:
            bad.append(problem)
            yield raw.decode("ascii", "replace")


def _table_rows(path, table, names, layout, bad):
    for cells in table:
        number = table.line_num
        if bad:
            yield number, bad[0]
            bad.clear()
        elif len(cells) == len(names):
            yield number, dict(zip(names, cells, strict=True))
        elif cells and (len(cells) > len(names) or layout.short_rows != "skip"):
            yield (
                number,
                BadRow(
                    f"{path}: line {number} has {len(cells)} columns, {len(names)} "
                    f"expected ({', '.join(names)}); mend the line",
                    "with another number of columns",
                ),
            )


def _read_label_text(path, layout, start, stop, bad_rows):
    for number, line in lines_or_bad(path, layout.encoding, start, stop):
        if isinstance(line, BadRow):
            yield number, line
            continue
        label, space, text = line.rstrip("\r\n").partition(" ")
        if label and space:  # an empty text is a row all the same: CR has one
            yield number, {"label": label, "text": text.strip()}
        else:
            what = f"{path}: line {number} ({line.rstrip()[:40]!r})"
            yield number, BadRow(f"{what} is not a label, a space and a text", "without a label")


READERS = {
    "jsonl": _read_jsonl,
    "json": _read_json,
    "csv": _read_table,
    "tsv": _read_table,
    "label_text": _read_label_text,
    "parquet": read_parquet,
}
