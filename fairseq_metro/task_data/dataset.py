"""One data set opened: its splits, their rows in order, counts and files."""

from functools import partial
from itertools import chain, islice

from fairseq_metro.errors import UserError
from fairseq_metro.prompts.collection import nearest
from fairseq_metro.task_data.lines import text_lines
from fairseq_metro.task_data.nested import NESTED
from fairseq_metro.task_data.readers import count_records, read_records
from fairseq_metro.task_data.rows import finished, renamed, reshaped

_MISSING = object()


class Data:
    """What local data sets and those of the hub share; ``_found``: dict of split -> where it is."""

    def __init__(self, description, found):
        self.name = description.name
        self.features = description.features
        self._description = description
        self._found = found

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
    """A data set in local files. Rows come as they lie, none dropped, one at a time.

    description: Description; found: dict of split -> Place. It pickles small: workers get a copy.
    """

    def __init__(self, description, found):
        super().__init__(description, found)
        self._counts = {}

    def files(self, split):
        """Files that a split is read from: list of Path. Raises :class:`UserError`."""
        place = self._split(split)
        return [*place.files, *([place.label_file] if place.label_file else [])]

    def rows(self, split, start=0, stop=None):
        """Iterate over rows ``start`` to ``stop`` of a split: dict each, as Hugging Face has them.

        What is before ``start`` is skipped, not parsed, where a row is a line. Raises
        :class:`UserError` for the first row that is not as it should be, with its file and line.
        """
        place = self._split(split)
        if place.label_file or place.layout.shape in NESTED:
            rows = chain.from_iterable(self._file_rows(place, path) for path in place.files)
            return islice(rows, start, stop)
        return self._range(place, start, stop)

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
        return sum(1 for _ in self._file_rows(place, path))

    def _range(self, place, start, stop):
        several = len(place.files) > 1 and (start or stop is not None)
        for path in place.files:
            here = count_records(path, place.layout) if several else 0
            if not several or start < here:
                yield from self._file_rows(place, path, start, stop)
            start = max(0, start - here)
            stop = None if stop is None else max(0, stop - here)
            if stop == 0:
                return

    def _file_rows(self, place, path, start=0, stop=None):
        layout = place.layout
        records = read_records(path, layout, start, stop)
        if place.label_file:
            records = _with_labels(records, place, path)
        empty = True
        for number, record in records:
            empty = False
            where = partial(_where, path, number)
            row = renamed(record, layout.rename)
            for one in reshaped(row, layout.shape, path, where):
                yield finished(one, self._description, layout.labels, where)
        if empty and start == 0 and stop != 0:
            raise UserError(f"{path}: no rows in this file; fetch it again")


def _where(path, number):
    return f"{path}" if number is None else f"{path}: line {number}"


def _with_labels(records, place, path):
    """Each record with its line of the file of labels. Raises :class:`UserError` unless as many."""
    labels = text_lines(place.label_file, place.layout.encoding)
    for number, record in records:
        _, label = next(labels, (None, _MISSING))
        if label is _MISSING:
            raise UserError(f"{place.label_file}: fewer labels than rows of {path}; fetch both")
        yield number, {**record, place.layout.label_field: label.strip()}
    if next(labels, _MISSING) is not _MISSING:
        raise UserError(f"{place.label_file}: more labels than rows of {path}; fetch both")
