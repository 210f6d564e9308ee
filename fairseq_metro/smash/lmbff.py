"""Files in LM-BFF's layout: GLUE's tables, and tables ``label,text`` without header.

A table's lines go into splits as they are. Of the csv files LM-BFF's pandas reads some words as
missing values, and writes nothing for them; so do we, or the files would differ.
"""

import csv
import io

from fairseq_metro.errors import UserError
from fairseq_metro.task_data.lines import decode, raw_lines
from fairseq_metro.task_data.places import match

# pandas 1.x, ``read_csv``; MPQA has phrases that are one of these.
MISSING = frozenset(
    "#N/A|#N/A N/A|#NA|-1.#IND|-1.#QNAN|-NaN|-nan|1.#IND|1.#QNAN|<NA>|N/A|NA|NULL|NaN|n/a|nan|null"
    .split("|")
)  # fmt: skip


def find_file(task, folder, split, stem=None):
    """LM-BFF's file of a task's split in a folder: Path, or None."""
    name = f"{stem or task.lmbff.files[split]}.{task.lmbff.format}"
    found = match(folder, name) if folder.is_dir() else []
    return found[0] if found and found[0].is_file() else None


def find_folder(task, folder):
    """The folder of a task's originals, in any case of letters: Path, or None if a file lacks."""
    for place in match(folder, task.folder):
        if all(find_file(task, place, split) for split in task.lmbff.files):
            return place
    return None


def read_lines(task, path):
    """A file's header and lines, as they are written to splits: two lists of str, with ends.

    Raises :class:`UserError` for bytes that are no UTF-8 and for a csv row of other columns.
    """
    if task.lmbff.format == "csv":
        return [], [_csv_line(row) for _, row in _csv_rows(path)]
    lines = [decode(path, *line).removesuffix("\n").removesuffix("\r") for line in raw_lines(path)]
    header = int(task.lmbff.header)
    lines = [f"{line}\n" for line in lines]
    return lines[:header], lines[header:]


def bucket(task, path, line):
    """What a line is balanced over: the text of its label's column; of scores, 0 or 1.

    Raises :class:`UserError` for a line without this column, and a score that is no number.
    """
    spec = task.lmbff
    cells = next(csv.reader([line])) if spec.format == "csv" else line.strip().split("\t")
    column = spec.label if spec.bucket is None else spec.bucket
    return score_half(task, path, line, _cell(path, line, cells, column))


def score_half(task, path, line, label):
    """A label as it is; of a regression task, 0 below the middle of its interval, else 1."""
    if not task.is_regression:
        return label
    try:
        return int(float(label) >= sum(task.interval) / 2)
    except ValueError:
        raise UserError(f"{path}: {str(label)[:40]!r} is no score (in {line[:60]!r})") from None


def read_examples(task, path):
    """A file's rows: yield (line number, texts, label), tuple of str and str.

    Rows that lack columns are left out where the task's data are known to have them. Raises
    :class:`UserError` for others, with the line.
    """
    spec = task.lmbff
    if spec.format == "csv":
        for number, (label, text) in _csv_rows(path):
            yield number, (text,), label
        return
    for number, raw in raw_lines(path):
        if (number == 1 and spec.header) or raw.isspace():
            continue
        line = decode(path, number, raw).rstrip("\r\n")
        cells = line.split("\t")
        if spec.short_rows == "skip" and len(cells) <= max(*spec.text, spec.label):
            continue
        where = f"{path}: line {number}"
        texts = tuple(_cell(where, line, cells, column) for column in spec.text)
        yield number, texts, _cell(where, line, cells, spec.label)


def _cell(where, line, cells, column):
    try:
        return cells[column]
    except IndexError:
        raise UserError(
            f"{where}: column {column + 1} is missing in {line[:60].rstrip()!r}; the table is not "
            "as its task is distributed: fetch it again"
        ) from None


def _csv_rows(path):
    text = io.StringIO("".join(decode(path, *line) for line in raw_lines(path)), newline="")
    table = csv.reader(text, strict=True)
    try:
        for row in table:
            if not row:
                continue
            if len(row) != 2:
                raise UserError(
                    f"{path}: line {table.line_num} has {len(row)} columns, label,text expected"
                )
            yield table.line_num, [row[0], "" if row[1] in MISSING else row[1]]
    except csv.Error as error:
        raise UserError(f"{path}: line {table.line_num}: {error}; mend the line") from None


def _csv_line(row):
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(row)
    return line.getvalue()
