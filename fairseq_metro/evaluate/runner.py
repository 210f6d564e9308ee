"""The evaluation itself: sets opened, runs scored in one process, a file for each as it is done."""

import logging
import time
from collections import Counter
from dataclasses import asdict, dataclass
from operator import truediv
from pathlib import Path

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.stamp import make_stamp
from fairseq_metro.evaluate import generation
from fairseq_metro.evaluate.examples import Form, examples_of, good_rows
from fairseq_metro.evaluate.kshot import Exemplars
from fairseq_metro.evaluate.ranking import CONTEXTUAL, PMI, SUM, Request, predicted, scores_of
from fairseq_metro.evaluate.results import FORMAT, finished, hits_of, write_result
from fairseq_metro.evaluate.sharing import from_first, rank
from fairseq_metro.evaluate.suite_keys import RANK
from fairseq_metro.prompts.collection import MissingTemplates
from fairseq_metro.prompts.mixtures import flan
from fairseq_metro.prompts.task_data import open_dataset

logger = logging.getLogger(__name__)

PROMPTS = 2048  # scored together, before their files are written


@dataclass(frozen=True)
class Job:
    """Everything but the model. suite; templates: a prompts.Templates; tasks: folder of task data or
    None; hub: whether Hugging Face is asked; out: output folder; form: examples.Form; rank_by: of
    ranking.RANKS; shots; strict: whether a set without data is an error; max_tokens: of a batch, or
    None; settings: what else decides the numbers (model, dtype), for fingerprints; allow_unknown:
    whether the vocabulary may lack more than half of the characters of a run's inputs."""

    suite: object
    templates: object
    tasks: Path | None
    hub: bool
    out: Path
    form: Form
    rank_by: str = SUM
    shots: int = 0
    strict: bool = False
    max_tokens: int | None = None
    settings: dict | None = None
    allow_unknown: bool = False


def evaluate(job, load):
    """Score every run of the suite that has no file yet; returns {set: why it was left out}.

    load: a function that gives the Predictor, called where it is needed: a finished evaluation
    loads no model. Every process of a torchrun calls this. Raises :class:`UserError`.
    """
    opened, left_out = open_sets(job)
    if not opened:
        reasons = "; ".join(f"{name}: {why}" for name, why in list(left_out.items())[:2])
        raise UserError(f"suite {job.suite.name}: no set's rows were found ({reasons})")
    total = sum(len(runs) for _, runs in opened.values())
    if not left_out and job.suite.runs not in (None, total):
        raise UserError(f"suite {job.suite.name}: {total} runs, it says {job.suite.runs}")
    for data, runs in opened.values():
        for pack in _packs(_scored_on(job, data, runs, load)):
            # Scored whole or not at all: a batch is the same after a kill, to the last bit.
            if any(todo for *_, todo in pack):
                _score(job, pack, load)
    return left_out


def open_sets(job):
    """({set name: (data, its runs)}, {set name: why there is no data})."""
    opened, left_out = {}, {}
    for suite_set in job.suite.sets:
        try:
            data = open_dataset(suite_set.source, job.tasks, job.hub)
        except UserError as error:
            if job.strict:
                raise
            left_out[suite_set.name] = str(error)
            continue
        if suite_set.split not in data.splits:
            reason = f"{suite_set.dataset} has no labelled split {suite_set.split!r}"
            if job.strict:
                raise UserError(f"{reason} (there are: {', '.join(data.splits)})")
            left_out[suite_set.name] = reason
            continue
        try:
            opened[suite_set.name] = data, job.suite.runs_of(suite_set, job.templates)
        except MissingTemplates as error:
            if job.strict:
                raise
            left_out[suite_set.name] = str(error)
    return opened, left_out


def _scored_on(job, data, runs, load):
    """Yield (examples, fingerprint, whether there is no file yet) of the runs of a set."""
    suite_set = runs[0].set
    exemplars = _exemplars(job, suite_set, data, load) if job.shots else None
    all_examples = examples_of(runs, data, job.form, exemplars)
    prints = [examples.fingerprint(job.settings) for examples in all_examples]

    def todo():
        return [
            finished(job.out, examples.run.name, fingerprint) is None
            for examples, fingerprint in zip(all_examples, prints, strict=True)
        ]

    for examples, fingerprint, pending in zip(all_examples, prints, from_first(todo), strict=True):
        if not pending and rank() == 0:
            logger.info("%s: there already", examples.run.name)
        yield examples, fingerprint, pending


def _exemplars(job, suite_set, data, load):
    if suite_set.exemplars_from not in data.splits:
        raise UserError(
            f"{suite_set.name}: {job.shots} shots need rows of the split "
            f"{suite_set.exemplars_from!r}, which is not there; fetch it, or name "
            "another one (exemplars_from)"
        )
    if suite_set.exemplars_from == suite_set.split:
        raise UserError(
            f"{suite_set.name}: its exemplars would come from the rows that are evaluated: 'split' and "
            f"'exemplars_from' are both {suite_set.split!r}; name another split for one of them"
        )
    predictor = load()
    ends = len(predictor.vocabulary.source_prefix) + 1
    kept_free = flan.SEPARATOR_TOKENS if suite_set.exemplars == "flan" else ends
    pool = list(good_rows(data, suite_set.exemplars_from, job.form.max_bad_rows))
    return Exemplars(
        pool, job.shots, job.form.seed, group=suite_set.group,
        form=suite_set.exemplars, length=lambda text: len(predictor.vocabulary.encode(text)),
        limit=predictor.max_source - kept_free,
    )  # fmt: skip


def _packs(runs):
    """Neighbouring runs together until they have PROMPTS prompts."""
    pack, prompts = [], 0
    for run in runs:
        pack.append(run)
        prompts += len(run[0].inputs)
        if prompts >= PROMPTS:
            yield pack
            pack, prompts = [], 0
    if pack:
        yield pack


def _score(job, pack, load):
    """Score the runs of a pack and write the files that are missing."""
    started = time.monotonic()
    several = [examples for examples, *_ in pack]
    if any(examples.inputs for examples in several):
        load()  # in every process at the same time, as they meet in it
    characters = from_first(lambda: [_characters(job, examples, load) for examples in several])
    ranked = pack[0][0].run.set.kind == RANK
    scores = (_ranked if ranked else generation.outputs)(job, several, load)
    prompts = sum(len(examples.inputs) for examples, *_ in pack)
    each = (time.monotonic() - started) / max(1, prompts)
    if rank() != 0:
        return
    for (examples, fingerprint, pending), outputs, share in zip(
        pack, scores, characters, strict=True
    ):
        if not pending:
            continue
        numbers = (rank_numbers if ranked else generation.numbers)(examples, outputs)
        numbers["characters"] = share and asdict(share)
        result = describe(job, examples, fingerprint, numbers, each * len(examples.inputs))
        write_result(job.out, result)
        value = "no examples" if result["value"] is None else f"{result['value']:6.1%}"
        logger.info("%s: %s of %d", result["run"], value, result["examples"])


def _characters(job, examples, load):
    """The Characters of a run's inputs; None of a model without a vocabulary of ours.

    Raises :class:`UserError` where it cannot write most of them.
    """
    count = getattr(load(), "characters", None) if examples.inputs else None
    if count is None:
        return None
    characters = count(examples.inputs)
    characters.refuse(examples.run.name, job.allow_unknown)
    return characters


def _ranked(job, several, load):
    """Scores of each of several Examples: list of lists of lists of float."""
    requests = [
        Request(text, choices, _priors(job.rank_by, examples, place))
        for examples in several
        for place, (text, choices) in enumerate(zip(examples.inputs, examples.choices, strict=True))
    ]
    scores = iter(scores_of(load(), requests, job.rank_by, job.max_tokens) if requests else ())
    return [[next(scores) for _ in examples.inputs] for examples in several]


def _priors(rank_by, examples, place):
    if rank_by == PMI:
        return (examples.run.set.premise,)
    return examples.priors[place] if rank_by == CONTEXTUAL else ()


def rank_numbers(examples, scores):
    """What a ranked run's file says beside its names: dict (results.py)."""
    predictions = [predicted(row) for row in scores]
    per_example = {"row": examples.row, "gold": examples.gold, "prediction": predictions}
    if examples.right:
        per_example["right"] = [list(places) for places in examples.right]
    right = hits_of(per_example)
    per_example["scores"] = [[round(score, 6) for score in row] for row in scores]
    count, groups = len(right), None
    metrics = dict.fromkeys(("accuracy", "chance", "commonest"))
    if count:
        places = examples.right or [(place,) for place in examples.gold]
        chances = map(len, places), map(len, examples.choices)
        often = Counter(place for each in places for place in each)
        metrics = {"accuracy": sum(right) / count, "chance": sum(map(truediv, *chances)) / count,
                   "commonest": max(often.values()) / count}  # fmt: skip
    main = "accuracy"
    if examples.groups:
        per_example["group"] = examples.groups
        groups = _by_group(right, examples.groups)
        main = "macro_accuracy"
        metrics[main] = sum(hits / all_ for hits, all_ in groups.values()) / len(groups)
    return {"main": main, "metrics": metrics, "hits": sum(right), "groups": groups,
            "per_example": per_example}  # fmt: skip


def _by_group(right, groups):
    """{group: [hits, examples]}, groups in their order."""
    values = {}
    for hit, group in zip(right, groups, strict=True):
        counts = values.setdefault(group, [0, 0])
        counts[0] += hit
        counts[1] += 1
    return values


def describe(job, examples, fingerprint, numbers, seconds):
    """A run's whole result (results.py): dict."""
    run, suite_set = examples.run, examples.run.set
    head = {
        "format": FORMAT, "run": run.name, "suite": job.suite.name, "set": suite_set.name,
        "label": suite_set.label, "cluster": suite_set.cluster,
        "dataset": suite_set.dataset, "split": suite_set.split,
        "template": run.template.name if run.template else None, "kind": suite_set.kind,
        "rows": examples.rows, "examples": len(examples.inputs),
        "dropped": dict(examples.dropped), "value": numbers["metrics"][numbers["main"]],
    }  # fmt: skip
    tail = {
        "rank_by": job.rank_by if suite_set.kind == RANK else None, "shots": job.shots,
        "seconds": round(seconds, 3), "fingerprint": fingerprint, "stamp": make_stamp(),
    }  # fmt: skip
    per_example = numbers.pop("per_example")
    return {**head, **numbers, **tail, "per_example": per_example}
