"""One data set opened: its splits, their rows in order, counts and files."""

from functools import partial
from itertools import chain, islice

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.sources import BadRows
from fairseq_metro.prompts.collection import nearest
from fairseq_metro.prompts.task_data.bad_row import BadRow, good_rows
from fairseq_metro.prompts.task_data.lines import text_lines
from fairseq_metro.prompts.task_data.nested import NESTED
from fairseq_metro.prompts.task_data.readers import count_records, records
from fairseq_metro.prompts.task_data.rows import finished, renamed, reshaped

_MISSING = object()
EVERY_ROW = 1.0  # as a limit of bad rows: all but one may be


class Data:
    """What local data sets and those of the hub share; ``_found``: dict of split -> where it is."""

    def __init__(self, description, splits):
        self.name = description.name
        self.features = description.features
        self._description = description
        self._found = splits

    @property
    def splits(self):
        """Names of the splits whose labels are known: tuple of str."""
        return tuple(name for name in self._found if name not in self._description.unlabelled)

    def check_count(self, split):
        """None where a split has as many rows as published, or a line that says what differs."""
        expected = self._expected(split)
        if expected is None or expected == self.count(split):
            return None
        return (
            f"{self.name} has {self.count(split):,} rows in split {split}, {expected:,} are "
            f"published; results do not compare with published ones ({self.files(split)[0]})"
        )

    def _expected(self, split):
        return self._description.rows.get(split)

    def _split(self, split):
        if split in self.splits:
            return self._found[split]
        there = ", ".join(self.splits) or "none"
        if split in self._found:
            raise UserError(
                f"{self.name}: split {split} has no labels, so it serves neither training nor "
                f"evaluation; use one of: {there}"
            )
        raise UserError(
            f"{self.name} has no split {split!r} ({nearest(split, self.splits)}; there are: {there})"
        )


class TaskData(Data):
    """A data set in local files. Rows come as they lie, one at a time.

    description: Description; found: dict of split -> Place. It pickles small: workers get a copy.
    """

    def __init__(self, description, splits):
        super().__init__(description, splits)
        self._counts = {}

    def files(self, split):
        """Files that a split is read from: list of Path. Raises :class:`UserError`."""
        place = self._split(split)
        return [*place.files, *([place.label_file] if place.label_file else [])]

    def rows(self, split, start=0, stop=None, bad_rows=None):
        """Iterate over rows ``start`` to ``stop`` of a split: dict each, as Hugging Face has them.

        What is before ``start`` is skipped, not parsed, where a row is a line. Raises
        :class:`UserError` for the first row that is not as it should be, with its file and line;
        where ``bad_rows``, a sources.BadRows, counts such rows, None comes in its place.
        """
        place = self._split(split)
        if place.label_file or place.layout.shape in NESTED:
            rows = chain.from_iterable(
                self._file_rows(place, path, bad_rows=bad_rows) for path in place.files
            )
            return islice(rows, start, stop)
        return self._range(place, start, stop, bad_rows)

    def count(self, split):
        """How many rows a split has; counted once. Raises :class:`UserError`."""
        if split not in self._counts:
            place = self._split(split)
            self._counts[split] = sum(self._count_file(place, path) for path in place.files)
        return self._counts[split]

    def _expected(self, split):
        return self._split(split).layout.rows.get(split, super()._expected(split))

    def _count_file(self, place, path):
        if place.layout.shape not in NESTED:
            return count_records(path, place.layout)
        return sum(1 for _ in self._file_rows(place, path, bad_rows=BadRows(EVERY_ROW)))

    def _range(self, place, start, stop, bad_rows):
        several = len(place.files) > 1 and (start or stop is not None)
        for path in place.files:
            here = count_records(path, place.layout) if several else 0
            if not several or start < here:
                yield from self._file_rows(place, path, start, stop, bad_rows)
            start = max(0, start - here)
            stop = None if stop is None else max(0, stop - here)
            if stop == 0:
                return

    def _file_rows(self, place, path, start=0, stop=None, bad_rows=None):
        rows = self._judged_rows(place, path, start, stop, bad_rows)
        empty = True
        for row in good_rows(rows, bad_rows):
            empty = False
            yield row
        if empty and start == 0 and stop != 0:
            raise UserError(f"{path}: no rows in this file; fetch it again")

    def _judged_rows(self, place, path, start, stop, bad_rows):
        """Rows of a file, each a dict or a :class:`BadRow`."""
        layout = place.layout
        rows = records(path, layout, start, stop, bad_rows)
        if place.label_file:
            rows = _with_labels(rows, place, path)
        for number, record in rows:
            yield from self._shaped(record, layout, path, partial(_where, path, number))

    def _shaped(self, record, layout, path, where):
        """The rows that a record makes, or the one :class:`BadRow`: a list."""
        if isinstance(record, BadRow):
            return [record]
        row = renamed(record, layout.rename)
        try:
            shaped = reshaped(row, layout.shape, path, where)
            return [
                finished(shaped_row, self._description, layout.labels, where)
                for shaped_row in shaped
            ]
        except BadRow as bad:
            return [bad]


def _where(path, number):
    return f"{path}: {number}" if isinstance(number, str) else f"{path}: line {number}"


def _with_labels(records, place, path):
    """Each record with its line of the file of labels. Raises :class:`UserError` unless as many."""
    labels = text_lines(place.label_file, place.layout.encoding)
    for number, record in records:
        _, label = next(labels, (None, _MISSING))
        if label is _MISSING:
            raise UserError(f"{place.label_file}: fewer labels than rows of {path}; fetch both")
        labelled = {place.layout.label_field: label.strip()}
        yield number, record if isinstance(record, BadRow) else {**record, **labelled}
    if next(labels, _MISSING) is not _MISSING:
        raise UserError(f"{place.label_file}: more labels than rows of {path}; fetch both")
