"""The units to build: the mixture's data sets in each split, their rows and fingerprints.

A unit is a data set in a split. Its fingerprint holds everything its files depend on, so that a
finished one is recognised and one made otherwise is not taken for it.
"""

import hashlib
import json
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.files import sha256_file
from fairseq_metro.prepare.prompted.reading import (
    Selection,
    Source,
    good_rows,
    splits_for,
    validation_of,
)
from fairseq_metro.prepare.prompted.rendering import Unit
from fairseq_metro.prompts import EVALUATION
from fairseq_metro.prompts.mixtures import MixtureTask
from fairseq_metro.prompts.mixtures.mixture import HELDOUT, TRAIN, VALID

logger = logging.getLogger(__name__)

POOL_ROWS = 1000  # training rows of a data set that exemplars are taken from


@dataclass(frozen=True)
class Work:
    """A unit with its rows. source: a Source; selection: which rows take part."""

    unit: Unit
    source: Source
    selection: Selection

    @property
    def key(self):
        """A name for files of its own."""
        return f"{self.unit.split}.{hashlib.sha256(self.unit.name.encode()).hexdigest()[:16]}"

    def selected_rows(self):
        """(rows that take part, rows of each task), as :meth:`Selection.selected_rows`."""
        unit = self.unit
        return self.selection.selected_rows(unit.mixture, unit.tasks, unit.split, self.source)

    def rows_of(self, split):
        """Places of the rows that take part in one of the data set's own splits: (n,) int64."""
        counts = [self.source.dataset.count(name) for name in self.source.splits]
        place = self.source.splits.index(split)
        first, last = sum(counts[:place]), sum(counts[: place + 1])
        positions = self.selected_rows()[1]
        if positions is None:
            return np.arange(last - first)
        rows = np.unique(np.concatenate(positions))
        return rows[(rows >= first) & (rows < last)] - first

    def fingerprint(self, hashes):
        """The inputs that its files depend on: a dict for JSON. hashes: SHA-256 by path."""
        mixture_set, mixture = self.unit.tasks[0].set, self.unit.mixture
        made_from = {
            "set": mixture_set.name,
            "rows": [
                mixture_set.first,
                mixture_set.keep_every,
                mixture_set.leave_every,
                mixture_set.cap,
                self.selection.most,
            ],
            "splits": list(self.source.splits),
            "files": [[path.name, hashes[path]] for path in self.source.files()],
            "rules": self.unit.rules.name,
            "weights": [
                mixture.rule,
                mixture.cap,
                mixture.max_rate,
                mixture.examples,
                *([mixture.temperature] if mixture.temperature else []),
            ],
            "form": [
                mixture.mode,
                mixture.options,
                mixture.exemplars,
                mixture_set.cluster,
                *([self.unit.room] if mixture.exemplars[1] else []),
            ],
            "pool": len(self.unit.pool),
            "tasks": [[task.name, template_hash(task.template)] for task in self.unit.tasks],
        }
        return json.loads(json.dumps(made_from))  # as it will be read back


def template_hash(template):
    """SHA-256 of what a template renders, or None for ready-made rows."""
    if template is None:
        return None
    complete = "\0complete" * template.complete
    text = f"{template.jinja}\0{template.answer_choices}{complete}"
    return hashlib.sha256(text.encode()).hexdigest()


def all_work(plan):
    """The :class:`Work` of every split, in the mixture's order. Raises :class:`UserError`."""
    all_works = []
    for split in plan.splits:
        mixture, opened = with_sets(plan, split)
        tasks = mixture.tasks(plan.templates, split)
        works = [_work(plan, split, mixture, list(group), opened)
                 for _, group in groupby(tasks, key=_unit_of)]  # fmt: skip
        if not works:
            raise UserError(
                f"mixture {plan.mixture.name}: no data set for --split {split}; leave it out, or "
                f"name data sets under {split!r} in the mixture"
            )
        all_works += works
    check_apart(all_works)
    return all_works


def check_apart(works):
    """Raise :class:`UserError` where one row would be trained on and evaluated."""
    for training in (work for work in works if work.unit.split == TRAIN):
        for other in works:
            if other.unit.split == HELDOUT:
                refuse_same_files(training, other)
            if (
                other.unit.split == TRAIN
                or other.source.dataset.name != training.source.dataset.name
            ):
                continue
            for split in set(training.source.splits) & set(other.source.splits):
                rows, two = training.rows_of(split), other.rows_of(split)
                if shared := len(np.intersect1d(rows, two)):
                    raise UserError(
                        f"mixture {training.unit.mixture.name}: {shared} rows of "
                        f"{training.unit.name}, split {split}, are both in train and in "
                        f"{other.unit.split}; give 'leave_every' to one and 'keep_every' to the "
                        "other, or name another 'split'"
                    )


def refuse_same_files(training, heldout):
    """Raise :class:`UserError` where a held-out data set has the files of one that is trained on."""
    both = _all_files(training) & _all_files(heldout)
    if both:
        raise UserError(
            f"mixture {training.unit.mixture.name}: {training.unit.name} under 'sets' and "
            f"{heldout.unit.name} under 'heldout' are the same data ({min(both)}); leave it out of "
            "one of them"
        )


def _all_files(work):
    """The files of all splits of a unit's data set, by their real paths."""
    dataset = work.source.dataset
    return {path.resolve() for split in dataset.splits for path in dataset.files(split)}


def _unit_of(task: MixtureTask):
    return task.set.name, task.jsonl


def with_sets(plan, split):
    """The mixture with sets for ``split``, and those of its data sets that were opened, by name.

    A mixture that names no validation sets is validated on its training sets' validation splits.
    """
    mixture, opened = plan.mixture, {}
    if split != VALID or mixture.valid:
        return mixture, opened
    sets = []
    for mixture_set in mixture.sets:
        if mixture_set.jsonl:
            continue
        opened[mixture_set.dataset] = dataset = plan.open(mixture_set.dataset)
        if validation := validation_of(mixture_set.split, dataset):
            whole = dict(first=None, keep_every=None, leave_every=None, split=validation)
            sets.append(replace(mixture_set, **whole))
        else:
            logger.info("%s: no validation split, not in %s", mixture_set.dataset, VALID)
    return replace(mixture, valid=tuple(sets)), opened


def _work(plan, split, mixture, tasks, opened):
    mixture_set = tasks[0].set
    if tasks[0].jsonl:
        dataset = plan.open(f"jsonl:{tasks[0].jsonl}")
        splits = tuple(dataset.splits)
    else:
        dataset = opened.get(mixture_set.dataset) or plan.open(mixture_set.dataset)
        splits = splits_for(mixture_set.split, dataset, mixture_set.dataset)
    rules = plan.rules if split == TRAIN else EVALUATION
    most = plan.limit if split != VALID else min(plan.valid_rows, plan.limit or plan.valid_rows)
    source = Source(dataset, splits)
    name = f"{mixture_set.name} {tasks[0].jsonl.name}" if tasks[0].jsonl else mixture_set.name
    pool, own = exemplar_pool(mixture, mixture_set, source)
    first = next(good_rows(source, None))[1] if tasks[0].jsonl else {}
    ready = "choices" in first
    unit = Unit(split, name, mixture, tuple(tasks), rules, plan.seed, pool, own, ready, plan.room)
    return Work(unit, source, Selection(most, plan.seed))


def exemplar_pool(mixture, mixture_set, source):
    """Training rows for exemplars, as (index, row), and whether they are of ``source``'s splits.

    None where the mixture shows no exemplars. mixture_set: the set; source: where its own rows are.
    """
    if not mixture.exemplars[1] or mixture_set.jsonl:
        return (), False
    known = (*mixture.sets, *mixture.left_out)
    train = next(
        (s for s in known if s.name == mixture_set.name), replace(mixture_set, split=TRAIN)
    )
    pool = Source(source.dataset, splits_for(train.split, source.dataset, mixture_set.dataset))
    rows = train.row_indices(pool.count())
    if len(rows) > POOL_ROWS:  # from everywhere, since files are often sorted by label
        rows = rows[np.arange(POOL_ROWS) * len(rows) // POOL_ROWS]
    return tuple(good_rows(pool, rows)), pool.splits == source.splits


def file_hashes(works, threads):
    """SHA-256 of every file that is read, by path; several at a time."""
    paths = list(dict.fromkeys(path for work in works for path in work.source.files()))
    try:
        with ThreadPoolExecutor(threads) as pool:
            return dict(zip(paths, pool.map(sha256_file, paths), strict=True))
    except OSError as error:
        raise UserError(f"{error.filename}: cannot be read ({error.strerror})") from None
