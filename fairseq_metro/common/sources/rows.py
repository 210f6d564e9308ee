"""The text of each row of a file of rows: JSON, CSV, TSV, WikiExtractor's ``<doc>``."""

import csv
import json
import re
from dataclasses import dataclass

from fairseq_metro.common.errors import UserError, shown_names
from fairseq_metro.common.sources.decoding import decode, mended
from fairseq_metro.common.sources.forms import CSV, DOC_END, DOC_START, JSON, TSV, WIKI
from fairseq_metro.common.sources.json_values import json_values, over_several_lines
from fairseq_metro.common.sources.lines import byte_lines

LARGEST_CELL = 1 << 27  # a cell may be an article; csv's own limit is 131,072 characters
_COLUMN = re.compile(r"-?[1-9]\d*")
_UNDECODED = re.compile("[\udc80-\udcff]")  # how surrogateescape spells a byte


@dataclass(frozen=True)
class Unusable:
    """What is wrong with a row: a reason in a few words, for counts, and details for a message."""

    reason: str
    details: str


def texts_of_rows(form, member, stream, field, bad_rows):
    """Yield the text in ``field`` of each row, lone surrogates mended.

    form: JSON, CSV, TSV or WIKI; member: what is read, for messages; stream: its text in UTF-8;
    bad_rows: a :class:`~.bad_rows.BadRows`, which counts, and raises for too many.
    """
    yield from counted(_READERS[form](member, stream, field), member.place, bad_rows)


def counted(rows, source, bad_rows):
    """The texts among ``rows``, (place, text or :class:`Unusable`) each; the others are counted."""
    for place, text in rows:
        if isinstance(text, Unusable):
            bad_rows.add(text.reason, f"{source}: {place}: {text.details}")
            continue
        text, surrogates = mended(text)
        bad_rows.replaced += surrogates
        bad_rows.good()
        yield text
    bad_rows.end_of_file()


def text_in(row, field):
    """The text in a row's field, or :class:`Unusable`."""
    if not isinstance(row, dict):
        return Unusable("not an object", f"a {type(row).__name__}, not an object with named fields")
    text = row.get(field)
    if isinstance(text, str):
        return text
    known = f"there is: {shown_names(row)}"
    if field not in row:
        return Unusable(f"without {field!r}", f"no text in field {field!r} ({known}); give --field")
    if text is None:
        return Unusable("null", f"null in field {field!r}")
    kind = type(text).__name__
    return Unusable(f"{kind}, not text", f"field {field!r} is a {kind}, no text ({known})")


# JSON


def _json_rows(member, stream, field):
    if over_several_lines(member.name, stream):
        for number, row in enumerate(json_values(member, stream), 1):
            yield f"row {number}", text_in(row, field)
        return
    for number, offset, line in byte_lines(stream, member.place):
        if line.strip():
            yield f"line {number}", _json_text(line, member, number, offset, field)


def _json_text(line, member, number, offset, field):
    try:
        return text_in(json.loads(line.decode("utf-8")), field)
    except UnicodeDecodeError:
        return _not_utf8(line, member, number, offset)
    except RecursionError:
        return Unusable("not JSON", "not JSON (nested too deeply)")
    except ValueError as error:
        reason = getattr(error, "msg", error)
        return Unusable("not JSON", f"not JSON ({reason}); one object a line is read")


def _not_utf8(line, member, number, offset):
    try:
        decode(line, member, number, offset)
    except UserError as error:
        details = str(error).removeprefix(f"{member.place}: line {number}, ")
        return Unusable("not UTF-8", details)
    raise AssertionError(f"{line!r} is UTF-8")


# Tables


def _table_rows(member, stream, field, records):
    """Rows of a table from its ``records``, (line number, cells); what the field names decides
    whether the first one is the header."""
    names, column = None, None
    for number, cells in records:
        if names is None:
            names = [name.strip() for name in cells]  # `id, text` is a common way to write it
            column = names.index(field) if field in names else None
            if column is not None:
                continue
            if not _COLUMN.fullmatch(field):
                raise UserError(
                    f"{member.place}: no column {field!r} (there is: {shown_names(names)}); "
                    "give --field NAME, or --field 2 for the second column of a table without names"
                )
            column = int(field) - (int(field) > 0)
        place = f"line {number}"
        if len(cells) != len(names):
            words = f"{len(cells)} columns, {len(names)} expected"
            yield place, Unusable("with another number of columns", words)
        elif not -len(names) <= column < len(names):
            raise UserError(f"{member.place}: --field {field}, but only {len(names)} columns")
        elif _UNDECODED.search(cells[column]):
            raw = cells[column].encode("utf-8", "surrogateescape")
            yield place, _not_utf8(raw, member, number, 0)
        else:
            yield place, cells[column]


def _csv_rows(member, stream, field):
    csv.field_size_limit(LARGEST_CELL)
    lines = (
        f"{line.decode('utf-8', 'surrogateescape')}\n"
        for _, _, line in byte_lines(stream, member.place)
    )
    return _table_rows(member, stream, field, _csv_records(csv.reader(lines, strict=True), member))


def _csv_records(table, member):
    began = 1
    try:
        for cells in table:
            if cells:
                yield began, cells
            began = table.line_num + 1
    except csv.Error as error:
        raise UserError(
            f"{member.place}: line {began}: {error}; mend its quotes, or give --format tsv where "
            "tabs part the columns"
        ) from None


def _tsv_rows(member, stream, field):
    records = (
        (number, line.decode("utf-8", "surrogateescape").removesuffix("\r").split("\t"))
        for number, _, line in byte_lines(stream, member.place)
        if line.strip(b"\r")
    )
    return _table_rows(member, stream, field, records)


# WikiExtractor


def _wiki_rows(member, stream, field):
    """The text between ``<doc …>`` and ``</doc>``, whose first line is the title."""
    block, began = None, 1
    for number, _, line in byte_lines(stream, member.place):
        line = line.decode("utf-8", "surrogateescape").removesuffix("\r")
        if DOC_START.fullmatch(line):
            if block is not None:
                yield f"line {began}", Unusable("without </doc>", "no </doc> to this <doc>")
            block, began = [], number
        elif line.strip() == DOC_END:
            if block is not None:
                yield f"line {began}", _wiki_text("\n".join(block), member, began)
            block = None
        elif block is not None:
            block.append(line)
        elif line.strip():
            yield f"line {number}", Unusable("text outside <doc>", "text outside <doc> … </doc>")
    if block is not None:
        yield f"line {began}", Unusable("without </doc>", "no </doc> to this <doc>: cut off")


def _wiki_text(text, member, number):
    if _UNDECODED.search(text):
        return _not_utf8(text.encode("utf-8", "surrogateescape"), member, number + 1, 0)
    return text


_READERS = {JSON: _json_rows, CSV: _csv_rows, TSV: _tsv_rows, WIKI: _wiki_rows}
