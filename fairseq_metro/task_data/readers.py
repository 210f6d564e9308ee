"""Files of rows in the formats benchmarks come in: each reader yields (line number, dict).

Line formats are read line by line; ``json`` is one value and is held whole.
"""

import csv
import json
from itertools import islice

from fairseq_metro.errors import UserError
from fairseq_metro.sources.kinds import plain_name
from fairseq_metro.task_data.lines import count_lines, decode, raw_lines, text_lines

# A cell may be an article; csv's own limit is 131,072 characters.
csv.field_size_limit(1 << 27)
DELIMITERS = {"csv": ",", "tsv": "\t"}


def format_of(path):
    """A file's format by its name, or None.

    >>> from pathlib import Path
    >>> format_of(Path("train.jsonl.gz")), format_of(Path("stsa.binary.dev"))
    ('jsonl', None)
    """
    _, _, ending = plain_name(path.name).rpartition(".")
    return ending if ending in READERS else None


def read_records(path, layout, start=0, stop=None):
    """Records ``start`` to ``stop`` of a file as its layout says: (line number, dict) each.

    The number is None where a format has no lines. Raises :class:`UserError` for a file that is
    not what the layout says, with the line.
    """
    kind = layout.format or format_of(path)
    if kind not in READERS:
        raise UserError(f"{path}: unknown format {kind!r}; known: {', '.join(sorted(READERS))}")
    try:
        yield from READERS[kind](path, layout, start, stop)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from None


def count_records(path, layout):
    """How many records a file has: lines where a record is a line, else by reading."""
    kind = layout.format or format_of(path)
    if kind in ("jsonl", "label_text"):
        return count_lines(path)
    if kind == "parquet":
        return _parquet(path).metadata.num_rows
    return sum(1 for _ in read_records(path, layout))


def _read_jsonl(path, layout, start, stop):
    for number, text in text_lines(path, layout.encoding, start, stop):
        try:
            row = json.loads(text)
        except ValueError as error:
            raise UserError(
                f"{path}: line {number} is not JSON ({error}); the file may be cut short: fetch it "
                "again, or mend the line"
            ) from None
        yield number, _mapping(path, number, row)


def _mapping(path, number, row):
    if not isinstance(row, dict):
        where = f"line {number}" if number else "an item"
        raise UserError(
            f"{path}: {where} is a {type(row).__name__}, not an object with named fields"
        )
    return row


def _read_json(path, layout, start, stop):
    text = "".join(decode(path, *line, layout.encoding) for line in raw_lines(path))
    if not text.strip():
        return
    try:
        value = json.loads(text)
    except ValueError as error:
        raise UserError(f"{path}: not JSON ({error}); fetch it again, or mend it") from None
    if isinstance(value, dict):
        value = value["data"] if isinstance(value.get("data"), list) else [value]
    if not isinstance(value, list):
        raise UserError(f"{path}: neither a list nor an object; name a file of rows")
    for item in islice(value, start, stop):
        # DREAM's items are lists; its shape knows what to make of them.
        yield None, {"item": item} if isinstance(item, list) else _mapping(path, None, item)


def _read_table(path, layout, start, stop):
    delimiter = layout.delimiter or DELIMITERS[layout.format or format_of(path)]
    quoting = csv.QUOTE_MINIMAL if delimiter == "," else csv.QUOTE_NONE
    lines = (decode(path, number, raw, layout.encoding) for number, raw in raw_lines(path))
    table = csv.reader(lines, delimiter=delimiter, quoting=quoting, strict=True)
    try:
        names = layout.columns or next(table, None)
        records = (cells for cells in table if cells)
        if layout.short_rows == "skip":
            records = (cells for cells in records if len(cells) >= len(names))
        for cells in islice(records, start, stop):
            if len(cells) != len(names):
                raise UserError(
                    f"{path}: line {table.line_num} has {len(cells)} columns, {len(names)} "
                    f"expected ({', '.join(names)}); mend the line"
                )
            yield table.line_num, dict(zip(names, cells, strict=True))
    except csv.Error as error:
        raise UserError(f"{path}: line {table.line_num}: {error}; mend the line") from None


def _read_label_text(path, layout, start, stop):
    for number, line in text_lines(path, layout.encoding, start, stop):
        label, space, text = line.partition(" ")
        if not label or not space:  # an empty text is a row all the same: CR has one
            raise UserError(
                f"{path}: line {number} ({line[:40]!r}) is not a label, a space and a text"
            )
        yield number, {"label": label, "text": text.strip()}


def _parquet(path):
    try:
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise UserError(
            f"{path}: parquet needs pyarrow: pip install pyarrow, or give the rows as jsonl"
        ) from None
    try:
        return ParquetFile(path)
    except ValueError as error:  # pyarrow's errors of a damaged file are ValueErrors
        raise UserError(f"{path}: not a whole parquet file ({error}); fetch it again") from None


def _read_parquet(path, layout, start, stop):
    file, index = _parquet(path), 0
    for group in range(file.num_row_groups):
        rows = file.metadata.row_group(group).num_rows
        if stop is not None and index >= stop:
            return
        if index + rows > start:
            yield from _rows_of_group(file, group, start - index, stop and stop - index)
        index += rows


def _rows_of_group(file, group, start, stop):
    index = 0
    for batch in file.iter_batches(batch_size=1024, row_groups=[group]):
        for row in batch.to_pylist():
            if index >= start and (stop is None or index < stop):
                yield None, row
            index += 1


READERS = {
    "jsonl": _read_jsonl,
    "json": _read_json,
    "csv": _read_table,
    "tsv": _read_table,
    "label_text": _read_label_text,
    "parquet": _read_parquet,
}
