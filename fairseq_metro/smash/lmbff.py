"""Files in LM-BFF's layout: GLUE's tables, and tables ``label,text`` without header.

A table's lines go into splits as they are. Of the csv files LM-BFF's pandas reads some words as
missing values, and writes nothing for them; so do we, or the files would differ.
"""

import csv
import io
from itertools import islice

from fairseq_metro.common.errors import UserError
from fairseq_metro.prompts.task_data.bad_row import BadRow, good_rows
from fairseq_metro.prompts.task_data.lines import decode, raw_lines
from fairseq_metro.prompts.task_data.places import match

# pandas 1.x, ``read_csv``; MPQA has phrases that are one of these.
MISSING = frozenset(
    "#N/A|#N/A N/A|#NA|-1.#IND|-1.#QNAN|-NaN|-nan|1.#IND|1.#QNAN|<NA>|N/A|NA|NULL|NaN|n/a|nan|null"
    .split("|")
)  # fmt: skip


def find_file(task, folder, split, stem=None):
    """LM-BFF's file of a task's split in a folder: Path, or None."""
    name = f"{stem or task.lmbff.files[split]}.{task.lmbff.format}"
    matches = match(folder, name) if folder.is_dir() else []
    return matches[0] if matches and matches[0].is_file() else None


def find_folder(task, folder):
    """The folder of a task's originals, in any case of letters: Path, or None if a file lacks."""
    for place in match(folder, task.folder):
        if all(find_file(task, place, split) for split in task.lmbff.files):
            return place
    return None


def read_lines(task, path, bad_rows):
    """A file's header, lines and what each line is balanced over: lists of str, str with ends, and
    what :func:`bucket` gives.

    bad_rows: a sources.BadRows, which counts lines that are left out: bytes that are no UTF-8, lines
    without the label's column, a csv row of other columns. Raises :class:`UserError`.
    """
    is_csv = task.lmbff.format == "csv"
    rows = _csv_lines(path) if is_csv else _table_lines(path)
    header = list(islice(rows, int(task.lmbff.header and not is_csv)))
    if header and isinstance(header[0], BadRow):
        raise UserError(str(header[0]))
    lines, buckets = [], []
    judged = (_with_bucket(task, path, line) for line in rows)
    for row in good_rows(judged, bad_rows):
        if row is not None:
            lines.append(row[0])
            buckets.append(row[1])
    return header, lines, buckets


def _csv_lines(path):
    """Rows of a csv file as LM-BFF writes them: str, or a :class:`BadRow`."""
    for _, row in _csv_rows(path):
        yield row if isinstance(row, BadRow) else _csv_line(row)


def _table_lines(path):
    """Lines of a table that end in a line feed: str, or a :class:`BadRow`."""
    for number, raw in raw_lines(path):
        try:
            yield decode(path, number, raw).removesuffix("\n").removesuffix("\r") + "\n"
        except BadRow as bad:
            yield bad


def _with_bucket(task, path, line):
    """A line with its bucket, or a :class:`BadRow`."""
    try:
        return line if isinstance(line, BadRow) else (line, bucket(task, path, line))
    except BadRow as bad:
        return bad


def bucket(task, path, line):
    """What a line is balanced over: the text of its label's column; of scores, 0 or 1.

    Raises :class:`BadRow` for a line without this column, and a score that is no number.
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
        problem = f"{path}: {str(label)[:40]!r} is no score (in {line[:60]!r})"
        raise BadRow(problem, "without a score") from None


def read_examples(task, path, bad_rows=None):
    """A file's rows: yield (line number, texts, label), tuple of str and str.

    Rows that lack columns are left out where the task's data are known to have them. Raises
    :class:`UserError` for others, with the line; bad_rows: a sources.BadRows that counts them instead.
    """
    rows = _csv_examples(path) if task.lmbff.format == "csv" else _table_examples(task.lmbff, path)
    yield from (row for row in good_rows(rows, bad_rows) if row is not None)


def _csv_examples(path):
    for number, row in _csv_rows(path):
        yield row if isinstance(row, BadRow) else (number, (row[1],), row[0])


def _table_examples(spec, path):
    for number, raw in raw_lines(path):
        if (number == 1 and spec.header) or raw.isspace():
            continue
        try:
            line = decode(path, number, raw).rstrip("\r\n")
            cells = line.split("\t")
            if spec.short_rows == "skip" and len(cells) <= max(*spec.text, spec.label):
                continue
            where = f"{path}: line {number}"
            texts = tuple(_cell(where, line, cells, column) for column in spec.text)
            yield number, texts, _cell(where, line, cells, spec.label)
        except BadRow as bad:
            yield bad


def _cell(where, line, cells, column):
    try:
        return cells[column]
    except IndexError:
        raise BadRow(
            f"{where}: column {column + 1} is missing in {line[:60].rstrip()!r}; the table is not "
            "as its task is distributed: fetch it again",
            "without a column",
        ) from None


def _csv_rows(path):
    """Rows of a csv file: (line number, [label, text]), or a :class:`BadRow` in place of the list."""
    undecoded = []  # of the row that is being read
    table = csv.reader(_csv_text(path, undecoded), strict=True)
    try:
        for row in table:
            number = table.line_num
            if undecoded:
                yield number, undecoded[0]
                undecoded.clear()
            elif row and len(row) != 2:
                problem = f"{path}: line {number} has {len(row)} columns, label,text expected"
                yield number, BadRow(problem, "with another number of columns")
            elif row:
                yield number, [row[0], "" if row[1] in MISSING else row[1]]
    except csv.Error as error:
        raise UserError(f"{path}: line {table.line_num}: {error}; mend the line") from None


def _csv_text(path, undecoded):
    """A table's lines; the :class:`BadRow` of one that cannot be decoded goes to ``undecoded``."""
    for number, raw in raw_lines(path):
        try:
            yield from io.StringIO(decode(path, number, raw), newline="")
        except BadRow as bad:
            undecoded.append(bad)
            yield raw.decode("ascii", "replace")


def _csv_line(row):
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(row)
    return line.getvalue()
