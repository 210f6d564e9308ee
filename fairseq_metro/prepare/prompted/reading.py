"""A unit's rows, read once in order and cut into jobs; which rows take part."""

import hashlib
from dataclasses import dataclass

import numpy as np

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.sources import BadRows
from fairseq_metro.data.randomness import generator
from fairseq_metro.prepare.prompted.rendering import Job
from fairseq_metro.prompts.collection import nearest
from fairseq_metro.prompts.mixtures import Mixture
from fairseq_metro.prompts.mixtures.rules import cyclic_rows
from fairseq_metro.prompts.task_data.dataset import EVERY_ROW

PROMPTS_PER_JOB = 2048
ROWS_DRAWN = 31  # purpose of a draw, beside those in data/randomness.py
_VALIDATION = ("validation", "valid", "dev")


@dataclass(frozen=True)
class Source:
    """Rows of some of a data set's own splits, end to end. dataset: of task_data."""

    dataset: object
    splits: tuple[str, ...]

    def rows(self, bad_rows=None):
        """Yield every row (dict) in order. A bad one raises :class:`UserError`, or is None where
        ``bad_rows``, a sources.BadRows, counts such rows."""
        more = {} if bad_rows is None else {"bad_rows": bad_rows}
        for split in self.splits:
            yield from self.dataset.rows(split, **more)

    def count(self):
        """Number of rows."""
        return sum(self.dataset.count(split) for split in self.splits)

    def files(self):
        """The files the rows come from: list of Path."""
        return [path for split in self.splits for path in self.dataset.files(split)]


def splits_for(requested, dataset, name):
    """A data set's own splits that a mixture's word for a split means: tuple of str, none missing.

    ``train`` means all whose names begin so (METRO's data script), ``validation`` likewise; other
    words mean themselves. Raises :class:`UserError` where the data set has no such split.
    """
    if requested == "train":
        splits = [split for split in dataset.splits if split.startswith("train")]
    elif requested == "validation":
        splits = validation_splits(dataset)
    else:
        splits = [split for split in dataset.splits if split == requested]
    if not splits:
        raise UserError(
            f"{name}: no split {requested!r} among its splits ({', '.join(dataset.splits)}; "
            f"{nearest(requested, dataset.splits)})"
        )
    return tuple(splits)


def validation_splits(dataset):
    """Those of a data set's splits that are for validation; never the test split: list of str."""
    return [split for split in dataset.splits if split.startswith(_VALIDATION)]


def validation_of(split, dataset):
    """The word for the rows that validate training on a data set's split, or None without such rows.

    A part of a data set is validated on its own part (ANLI's ``train_r1`` on ``dev_r1``), and a split
    that is trained on validates nothing (StoryCloze, whose training rows are its validation split).
    """
    known = validation_splits(dataset)
    if not known or split in ("validation", *known):
        return None
    part = split.removeprefix("train")
    own = [name for name in known if part and name.endswith(part)]
    return own[0] if len(own) == 1 else "validation"


@dataclass(frozen=True)
class Selection:
    """Which rows take part: all that the mixture says, or at most ``most`` drawn from them.

    seed: of that draw, which takes rows from everywhere, since files are often sorted by label.
    """

    most: int | None
    seed: int

    def selected_rows(self, mixture: Mixture, tasks, split, source):
        """(rows that take part, for each task its rows as ascending int64), or (None, None): all."""
        mixture_set = tasks[0].set
        by_task = mixture.rule == "flan" and split == "train"
        part = (mixture_set.first, mixture_set.keep_every, mixture_set.leave_every) != (
            None,
            None,
            None,
        )
        if not by_task and not part and self.most is None:
            return None, None
        count = source.count()
        rows = mixture_set.row_indices(count)
        if self.most is not None and len(rows) > self.most:
            rows = self._draw(rows, mixture_set.name)
        if by_task:
            return len(rows), [cyclic_rows(rows, task, mixture.cap) for task in tasks]
        return len(rows), [rows] * len(tasks)

    def _draw(self, rows, name):
        place = int.from_bytes(hashlib.sha256(name.encode()).digest()[:7], "big")
        order = generator(self.seed, 0, place, ROWS_DRAWN).permutation(len(rows))
        return rows[np.sort(order[: self.most])]


def jobs(number, source, positions, tasks, bad_rows=None):
    """Yield the :class:`Job` s of unit ``number``, at least one; a row is read once for all tasks.

    positions: for each of ``tasks`` ascending rows, or None for every row to every task; bad_rows: as
    :meth:`Source.rows` takes it.
    """
    most = max(1, PROMPTS_PER_JOB // tasks)
    alike = positions is None or all(rows is positions[0] for rows in positions)
    needed = None
    if positions is not None:
        needed = positions[0] if alike else np.unique(np.concatenate(positions))
    indices, rows, made = [], [], 0
    for index, row in chosen_rows(source, needed, bad_rows):
        indices.append(index)
        rows.append(row)
        if len(rows) == most:
            yield Job(number, indices, rows, _positions(indices, positions, alike, tasks))
            indices, rows, made = [], [], made + 1
    if rows or not made:
        yield Job(number, indices, rows, _positions(indices, positions, alike, tasks))


def good_rows(source, needed):
    """:func:`chosen_rows` for a look at some rows: bad ones are passed over and not counted."""
    return chosen_rows(source, needed, BadRows(EVERY_ROW))


def chosen_rows(source, needed, bad_rows=None):
    """Yield (index, row) of every row, or of the ``needed`` ones (ascending int64), but for bad ones.

    bad_rows: as :meth:`Source.rows` takes it.
    """
    rows = enumerate(source.rows(bad_rows))
    if needed is None:
        yield from ((index, row) for index, row in rows if row is not None)
        return
    place, last = 0, len(needed)
    for index, row in rows if last else ():
        if index == needed[place]:
            if row is not None:
                yield index, row
            place += 1
            if place == last:
                return


def _positions(indices, requested, alike, tasks):
    """For each task the positions of its rows in a job, or None where it takes them all."""
    if alike or not indices:
        return [None] * tasks
    here = np.asarray(indices)
    positions = []
    for rows in requested:
        low, high = np.searchsorted(rows, [here[0], here[-1] + 1])
        positions.append(np.searchsorted(here, rows[low:high]).tolist())
    return positions
