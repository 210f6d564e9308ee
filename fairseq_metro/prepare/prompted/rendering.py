"""Rows to prompted pairs: a worker renders a chunk of rows under all templates that want them."""

from collections import Counter
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from fairseq_metro.common.errors import UserError
from fairseq_metro.prepare.prompted.pairs import EncodedPairs, PairEncoder, one_line
from fairseq_metro.prepare.prompted.row_text import row_hashes
from fairseq_metro.prompts import DropRules, NoValue, Prompted, row_random
from fairseq_metro.prompts.mixtures import Mixture, MixtureTask, flan
from fairseq_metro.prompts.task_data.bad_row import BadRow


@dataclass(frozen=True)
class Unit:
    """A data set in a split, with its tasks: what is read once, and finished as a whole.

    rules: which pairs are dropped; seed: of random wordings and exemplars; pool: rows that
    exemplars are taken from, (index, row) in ascending order, or (); pool_is_own: whether indices in
    the pool and of the unit's rows mean the same rows; ready_choices: whether ready-made rows have
    choices; room: most tokens of an input with its exemplars.
    """

    split: str
    name: str
    mixture: Mixture
    tasks: tuple[MixtureTask, ...]
    rules: DropRules
    seed: int
    pool: tuple = ()
    pool_is_own: bool = False
    ready_choices: bool = False
    room: int = 0

    @cached_property
    def places(self):
        """Position in the pool by index of the row: dict."""
        return {index: position for position, (index, _) in enumerate(self.pool)}


@dataclass(frozen=True)
class Job:
    """Rows of a unit. indices: their places in the data set; positions: for each task the positions in
    ``rows`` that it takes, or None for all."""

    unit: int
    indices: list
    rows: list
    positions: list


@dataclass
class Rendered:
    """The result of a job, with a list entry per task.

    bad: a :class:`BadRow` for each row that lacks a value that the task's template prints; hashes:
    uint64, of the text of the rows that are kept for training.
    """

    unit: int
    rows: int
    pairs: list[EncodedPairs]
    dropped: list[Counter]
    bad: list[list]
    unmatched: list[int]
    hashes: np.ndarray

    @property
    def tokens(self):
        """Tokens of all sources and targets."""
        return sum(len(pair.source.tokens) + len(pair.target.tokens) for pair in self.pairs)


class Renderer:
    """Turns jobs into :class:`Rendered` with one vocabulary; ``avoid``: hashes of rows to drop."""

    def __init__(self, units, vocabulary, avoid=None):
        self._units, self._encode = units, PairEncoder(vocabulary)
        self._avoid = frozenset() if avoid is None else frozenset(avoid.tolist())
        self._tokens = lru_cache(4096)(lambda text: len(vocabulary.encode(text)))

    def __call__(self, job):
        """The job's pairs as tokens."""
        unit = self._units[job.unit]
        hashes = row_hashes(job.rows)
        held_out = self._held_out(unit, hashes)
        pairs, dropped, bad = self._texts(unit, job, held_out)
        with_choices = [has_choices(unit, task) for task in unit.tasks]
        encoded = self._encode(list(zip(pairs, with_choices, strict=True)))
        unmatched = [
            sum(pair.gold < 0 for pair in encoded_pair) if choices else 0
            for encoded_pair, choices in zip(pairs, with_choices, strict=True)
        ]
        kept = np.delete(hashes, sorted(held_out))
        return Rendered(job.unit, len(job.rows), encoded, dropped, bad, unmatched, kept)

    def texts(self, job):
        """The job's pairs as text, and the reasons for the rest: two lists with one entry a task."""
        unit = self._units[job.unit]
        pairs, dropped, bad = self._texts(unit, job, self._held_out(unit, row_hashes(job.rows)))
        reasons = [Counter(problem.reason for problem in problems) for problems in bad]
        return pairs, [rule + row for rule, row in zip(dropped, reasons, strict=True)]

    def _texts(self, unit, job, held_out):
        by_task = [
            self._task(unit, task, job, positions, held_out)
            for task, positions in zip(unit.tasks, job.positions, strict=True)
        ]
        return tuple(map(list, zip(*by_task, strict=True)))

    def _held_out(self, unit, hashes):
        if unit.split != "train" or not self._avoid:
            return frozenset()
        return {i for i, value in enumerate(hashes.tolist()) if value in self._avoid}

    def _task(self, unit, task, job, positions, held_out):
        """(pairs, reasons of dropped rows, bad rows) of one task."""
        pairs, reasons, bad = [], Counter(), []
        for position in range(len(job.rows)) if positions is None else positions:
            if position in held_out:
                reasons["evaluation row"] += 1
                continue
            try:
                pair = self._pair(unit, task, job.rows[position], job.indices[position])
            except BadRow as problem:
                bad.append(problem)
                continue
            if isinstance(pair, Prompted):
                pairs.append(pair)
            else:
                reasons[pair.value] += 1
        return pairs, reasons, bad

    def _pair(self, unit, task, row, index):
        """A row under a task's template, white space collapsed, or the reason to leave it out.

        Raises :class:`BadRow` for a row that lacks what the template needs.
        """
        pair = judged(unit, task, row, index)
        if not isinstance(pair, Prompted):
            return pair
        if unit.pool and unit.mixture.exemplars[1]:
            pair = self._with_exemplars(unit, task, pair, index)
        choices = None if pair.choices is None else _one_lines(pair.choices)
        return Prompted(one_line(pair.input), one_line(pair.target), choices)

    def _with_exemplars(self, unit, task, pair, index):
        """The pair behind solved rows of the pool, as many as fit; the question is never cut."""
        row = unit.places.get(index, str(index)) if unit.pool_is_own else str(index)
        shots = unit.mixture.exemplars
        drawn = flan.exemplar_rows(unit.seed, task.name, row, len(unit.pool), shots)
        shown = [pair_or_none(unit, task, *unit.pool[i]) for i in drawn]
        shown = [exemplar for exemplar in shown if exemplar is not None]
        return flan.with_exemplars(pair, shown, unit.room, self._tokens)


def has_choices(unit, task):
    """Whether a task's pairs carry choices."""
    if task.template is None:
        return unit.ready_choices
    return task.template.answer_choices is not None


def judged(unit, task, row, index):
    """:func:`dressed`, with a :class:`BadRow` raised for a row that a template cannot do with."""
    place = f"{unit.split}/{unit.name}: row {index + 1}"
    try:
        pair = dressed(unit, task, row, index)
    except BadRow as error:
        raise BadRow(f"{place}: {error}", error.reason, error.of_file) from None
    except UserError as error:
        raise BadRow(f"{place}: {error}", "template fails") from None
    if isinstance(pair, NoValue):
        raise BadRow(f"{place}: {task.template}: {pair.value}", pair.value)
    return pair


def pair_or_none(unit, task, index, row):
    """A row's pair, or None where it gives none."""
    try:
        pair = judged(unit, task, row, index)
    except BadRow:
        return None
    return pair if isinstance(pair, Prompted) else None


def dressed(unit, task, row, index):
    """A row under a task's template in the mixture's form: a Prompted, the DropReason, or a NoValue."""
    if task.template is None:
        pair = unit.rules.judge(
            [row["inputs"].strip(), row["targets"].strip()], _choices(unit, row)
        )
    else:
        rng = row_random(unit.seed, task.name, index) if task.template.random else None
        pair = task.template.prompt(row, rng, unit.rules)
    return unit.mixture.dress(task, row, pair) if isinstance(pair, Prompted) else pair


def _choices(unit, row):
    """A ready-made row's choices. All rows of a file have some, or none has."""
    choices = row.get("choices")
    if (choices is not None) != unit.ready_choices:
        has = "choices" if choices else "no choices"
        raise BadRow(
            f"{unit.tasks[0].jsonl}: the row of inputs {row['inputs'][:40]!r} has {has}, unlike the "
            "first; give all rows choices, or none",
            f"with {has}, unlike the first",
            of_file=True,
        )
    return None if choices is None else [choice.strip() for choice in choices]


@lru_cache(4096)
def _one_lines(texts):
    return tuple(map(one_line, texts))
