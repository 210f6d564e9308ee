"""Rows of a set under its templates as the texts that are scored, and what became of the others."""

import contextlib
import hashlib
import json
import logging
import random
from collections import Counter
from dataclasses import dataclass, field

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.recipes import MOST_PASSAGES, PAPER
from fairseq_metro.common.sources import BadRows
from fairseq_metro.evaluate.content_free import content_free_inputs
from fairseq_metro.evaluate.passages import FIELD as PASSAGES
from fairseq_metro.evaluate.passages import with_passages
from fairseq_metro.evaluate.suite import Run
from fairseq_metro.evaluate.suite_keys import RANK
from fairseq_metro.prompts import (
    EVALUATION,
    METRO,
    DropReason,
    DropRules,
    NoValue,
    Prompted,
    row_random,
)
from fairseq_metro.prompts.fields import refuse_missing_fields, refuse_unusable
from fairseq_metro.prompts.mixtures import flan
from fairseq_metro.prompts.task_data.bad_row import BadRow
from fairseq_metro.prompts.task_data.dataset import EVERY_ROW

logger = logging.getLogger(__name__)

EMPTY_CHOICE = "empty choice"
UNREADABLE = "unreadable row"
_RULES = {
    True: DropRules("ranked", EVALUATION.drops | {DropReason.EMPTY_INPUT}),
    False: DropRules("generated", METRO.drops | {DropReason.EMPTY_INPUT}),
}


@dataclass
class Examples:
    """What a run is scored on. rows: of the whole split; lists with an entry for each example:
    row (its position), inputs, targets, choices (tuples), gold (place of the target among them),
    right (places of all right ones, where a suite names their field), groups (empty without), priors
    (content-free inputs, where wanted); dropped: by reason."""

    run: Run
    rows: int
    row: list = field(default_factory=list)
    inputs: list = field(default_factory=list)
    targets: list = field(default_factory=list)
    choices: list = field(default_factory=list)
    gold: list = field(default_factory=list)
    right: list = field(default_factory=list)
    groups: list = field(default_factory=list)
    priors: list = field(default_factory=list)
    dropped: Counter = field(default_factory=Counter)

    def fingerprint(self, settings):
        """SHA-256 of the texts and of ``settings``, a dict of what else decides the scores."""
        content = [settings, self.run.name, self.rows, self.row, self.inputs, self.targets,
                self.choices, self.gold, self.right, self.groups, self.priors]  # fmt: skip
        return hashlib.sha256(json.dumps(content, ensure_ascii=False).encode()).hexdigest()


@dataclass(frozen=True)
class Form:
    """How rows become inputs, the same for all sets. seed: of random wordings; sequential: one
    generator for a run, in row order, as the reference draws; limit: rows of a set, evenly spaced;
    passages: lists of texts by row, or None; priors: whether content-free inputs are wanted;
    max_bad_rows: how many rows may be left out as bad, None for none of them (sources.BadRows)."""

    seed: int = 1
    sequential: bool = False
    limit: int | None = None
    passages: list | None = None
    most_passages: int = MOST_PASSAGES[PAPER]
    priors: bool = False
    max_bad_rows: int | float | None = None


def examples_of(runs, data, form, exemplars=None):
    """An :class:`Examples` for each run of one set: list.

    runs: of one SuiteSet; data: its opened data set; exemplars: a kshot.Exemplars or None. Raises
    :class:`UserError` where the split does not have the suite's number of rows, or a row or
    template is not as it should be.
    """
    suite_set = runs[0].set
    count = checked_count(suite_set, data)
    if form.passages is not None and len(form.passages) != count:
        raise UserError(
            f"passages for {len(form.passages)} rows, but {suite_set.name}, split {suite_set.split}, "
            f"has {count}; make them for this split"
        )
    refuse_bad_templates(runs, good_rows(data, suite_set.split, form.max_bad_rows))
    results = [Examples(run, count) for run in runs]
    generators = [random.Random(form.seed) for _ in runs] if form.sequential else None
    groups = _groups(suite_set, count)
    positions = _wanted(count, form.limit)
    bad_rows = _BadRows(form.max_bad_rows, len(runs))
    for index, row in enumerate(data.rows(suite_set.split, **bad_rows.of_files)):
        for place, examples in enumerate(results):
            rng = generators[place] if generators else None
            if index not in positions and not rng:
                continue
            if row is None:
                examples.dropped[UNREADABLE] += index in positions
                continue
            with bad_rows.leaving_out(place, examples, index in positions):
                pair = _pair(examples.run, row, index, form, exemplars, rng)
                if index in positions:
                    _add(examples, index, row, pair, groups[index] if groups else None, form)
    bad_rows.report(f"{suite_set.name}, split {suite_set.split}")
    for examples in results:
        if not examples.inputs:
            refuse_idle(examples, form)
    return results


class _BadRows:
    """Counts the rows of a set that cannot be used: those that cannot be read, and for each run those
    that its template cannot do with. limit: None where the first one is an error."""

    def __init__(self, limit, runs):
        self._files = None if limit is None else BadRows(limit)
        self._runs = [None if limit is None else BadRows(limit) for _ in range(runs)]

    @property
    def of_files(self):
        """What ``rows`` of a data set is to be given besides: dict."""
        return {} if self._files is None else {"bad_rows": self._files}

    @contextlib.contextmanager
    def leaving_out(self, place, examples, counts):
        """Count a run's row as good or bad; a bad one that ``counts`` is among those dropped."""
        try:
            yield
        except BadRow as bad:
            if self._files is None:
                raise UserError(str(bad)) from None
            self._runs[place].add(bad.reason, str(bad), of_file=bad.of_file)
            examples.dropped[bad.reason] += counts
            return
        if self._files is not None:
            self._runs[place].good()

    def report(self, place):
        """Log what was left out, each sentence once. Raises :class:`UserError` for too many."""
        sentences = {}
        for counts in () if self._files is None else (self._files, *self._runs):
            counts.end_of_file()
            sentences |= dict.fromkeys(counts.summary())
        for sentence in sentences:
            logger.warning("%s: %s", place, sentence)


def good_rows(data, split, max_bad_rows):
    """The rows of a split; bad ones raise :class:`UserError`, or are left out under a limit."""
    if max_bad_rows is None:
        return data.rows(split)
    return (row for row in data.rows(split, bad_rows=BadRows(EVERY_ROW)) if row is not None)


def refuse_bad_templates(runs, rows):
    """Raise :class:`UserError` for a template that reads a field no row has, or never gives a pair."""
    suite_set = runs[0].set
    templates = [run.template for run in runs if run.template is not None]
    for template in templates:
        refuse_unusable(template)
    refuse_missing_fields(templates, rows, f"{suite_set.name}, split {suite_set.split}")


def refuse_idle(examples, form):
    """Raise :class:`UserError` for a run without an example, with the reasons.

    Only logged, and "no examples" in the report: rows without an answer, a template that speaks of
    some rows alone and meets none of them in a ``limit``, and one whose targets are no choices where
    a suite takes all of a collection (imdb has one).
    """
    run, dropped = examples.run, examples.dropped
    why = set(dropped)
    reasons = ", ".join(f"{count} {reason}" for reason, count in dropped.items())
    place = f"{run.set.name}, split {run.set.split}"
    message = f"{run.template or run.set.jsonl}: no example from {place} ({reasons})"
    some_rows = run.template is not None and not flan.for_every_row(run.template)
    missed = form.limit and some_rows and why == {DropReason.NOT_TWO_PARTS.value}
    whole_collection = isinstance(run.set.templates, str) and not (run.set.prompts or run.set.jsonl)
    unfit = whole_collection and why == {DropReason.NOT_A_CHOICE.value}
    if missed or unfit or why == {DropReason.EMPTY_TARGET.value}:
        logger.warning("%s", message)
    else:
        raise UserError(f"{message}; mend the template, or name the others under 'templates'")


def checked_count(suite_set, data):
    """Rows of a set's split. Raises :class:`UserError` where they are not as many as its suite says."""
    count = data.count(suite_set.split)
    if suite_set.rows is not None and count != suite_set.rows:
        raise UserError(
            f"{suite_set.name}, split {suite_set.split}: {count:,} rows, the suite has "
            f"{suite_set.rows:,} ({data.files(suite_set.split)[0]}); fetch the file again, or take "
            "'rows' out of a suite of your own"
        )
    if suite_set.rows is None and (differs := data.check_count(suite_set.split)):
        logger.warning("%s", differs)
    return count


def prompt_of(run, row, index, seed, rng=None):
    """A row's pair under a run's template (or ready-made), with its options: Prompted or DropReason.

    Raises :class:`BadRow` for a row that lacks what its template prints.
    """
    rules = _RULES[run.set.kind == RANK]
    if run.template is None:
        parts = [row["inputs"].strip(), row["targets"].strip()]
        choices = row.get("choices")
        if run.set.kind == RANK and choices is None:
            raise BadRow(
                f"{run.set.jsonl}: row {index + 1} has no choices to rank; give some",
                "without choices",
            )
        pair = rules.judge(parts, choices and [choice.strip() for choice in choices])
    else:
        if rng is None and run.template.random:
            rng = row_random(seed, run.name, index)
        try:
            pair = run.template.prompt(row, rng, rules)
        except UserError as error:
            problem = f"{run.set.name}, row {index + 1}: {error}"
            raise BadRow(problem, "template fails") from None
        if isinstance(pair, NoValue):
            raise BadRow(
                f"{run.set.name}, row {index + 1}: {pair.value}, which {run.template} prints; mend "
                "the row",
                pair.value,
            )
    if isinstance(pair, DropReason):
        return pair
    if run.set.mode != flan.NATURAL and run.template is not None:
        fields = flan.input_fields(run.template)
        pair = flan.plain(row, pair, fields, run.set.mode, run.set.dataset, run.set.cluster)
    elif run.template is not None and run.template.complete:
        return pair
    return flan.with_options(pair) if run.set.options else pair


def _pair(run, row, index, form, exemplars, rng):
    pair = prompt_of(run, row, index, form.seed, rng)
    if isinstance(pair, DropReason):
        return pair
    if exemplars is not None:
        pair = exemplars.before(
            pair, run.name, index, row, lambda other: _shown(run, other, index, form)
        )
    passages = row.get(PASSAGES) if form.passages is None else form.passages[index]
    if passages:
        pair = pair._replace(input=with_passages(pair.input, passages[: form.most_passages]))
    return pair


def _shown(run, row, index, form):
    """An exemplar's pair, or what there is instead; None of a bad row, where some may be."""
    try:
        return prompt_of(run, row, index, form.seed)
    except BadRow:
        if form.max_bad_rows is None:
            raise
        return None


def right_places(run, row, index, seed, pair):
    """Places of all right answers of a row among its choices: tuple of int, the target's with them.

    Each answer alone is put into the field that has them, so the template says what it looks like
    as a target; one that is no choice has no place.
    """
    answers = row.get(run.set.answers)
    if not isinstance(answers, list) or not all(isinstance(text, str) for text in answers):
        raise BadRow(
            f"{run.set.name}, row {index + 1}: no list of texts in {run.set.answers!r}, where the "
            "suite has all right answers; name another field, or leave the key 'answers' out",
            "without right answers",
        )
    places = {pair.gold}
    for answer in dict.fromkeys(answers):
        other = prompt_of(run, {**row, run.set.answers: [answer]}, index, seed)
        if isinstance(other, Prompted) and other.target in pair.choices:
            places.add(pair.choices.index(other.target))
    return tuple(sorted(places))


def _add(examples, index, row, pair, group, form):
    ranked = examples.run.set.kind == RANK
    if isinstance(pair, DropReason):
        examples.dropped[pair.value] += 1
        return
    if ranked and not all(pair.choices):
        examples.dropped[EMPTY_CHOICE] += 1
        return
    # Everything that may turn out to be bad comes first: a row is added whole or not at all.
    right = group_name = None
    if ranked and examples.run.set.answers:
        right = right_places(examples.run, row, index, form.seed, pair)
    if examples.run.set.group:
        group_name = _group_of(examples.run.set, row, index, group)
    examples.row.append(index)
    examples.inputs.append(pair.input)
    examples.targets.append(pair.target)
    if ranked:
        examples.choices.append(pair.choices)
        examples.gold.append(pair.gold)
        if examples.run.set.answers:
            examples.right.append(right)
    if examples.run.set.group:
        examples.groups.append(group_name)
    if form.priors:
        examples.priors.append(content_free_inputs(examples.run.template, row, pair))


def _group_of(suite_set, row, index, by_position):
    group = row.get(suite_set.group) or by_position
    if not group:
        raise BadRow(
            f"{suite_set.name}: row {index + 1} has no {suite_set.group!r}, and the suite's "
            f"group_rows do not fit the split {suite_set.split}; add the field",
            f"without {suite_set.group!r}",
        )
    return str(group)


def _groups(suite_set, count):
    """Each row's group by position, or None where the suite's counts do not fit the split."""
    if sum(rows for _, rows in suite_set.group_rows) != count:
        return None
    return [name for name, rows in suite_set.group_rows for _ in range(rows)]


def _wanted(count, limit):
    """Positions of at most ``limit`` rows, evenly spaced: files are often sorted by label."""
    if limit is None or limit >= count:
        return range(count)
    return {i * count // limit for i in range(limit)}
