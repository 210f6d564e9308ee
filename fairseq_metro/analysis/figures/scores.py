"""Accuracies by task and template, for figures: of the evaluation runner, of a fine-tuning run.

Published rows are the runner's data, ``evaluate/published/*.yaml``: means over templates, in percent.
"""

import difflib
from dataclasses import dataclass
from pathlib import Path

import yaml

import fairseq_metro
from fairseq_metro.analysis.figures.plotting import labelled, refuse_equal_labels
from fairseq_metro.common.errors import UserError
from fairseq_metro.common.files import read_json

PUBLISHED = Path(fairseq_metro.__file__).parent / "evaluate" / "published" / "t0_eval.yaml"
LABELS = ("RTE", "CB", "ANLI r1", "ANLI r2", "ANLI r3", "WSC", "Winogrande", "COPA", "StoryCloze",
          "HellaSwag", "WiC")  # fmt: skip


@dataclass(frozen=True)
class Score:
    """One template's accuracy on one data set, a share of 1, over ``examples`` rows."""

    task: str
    template: str
    value: float
    examples: int


def scores_of(words):
    """[(label, list of :class:`Score`)] of ``LABEL=RESULTS`` or ``RESULTS`` each."""
    scores = [(label or Path(path).resolve().name, read_scores(path)) for label, path in
             labelled(words)]  # fmt: skip
    refuse_equal_labels(label for label, _ in scores)
    return scores


def read_scores(path):
    """The scores in ``path``: list of :class:`Score`, tasks in the order of the file.

    path: an output folder of the evaluation runner (its ``results/*.json``), or a
    ``scores/SPLIT_UPDATES.json`` that prompt fine-tuning wrote. Raises :class:`UserError`.
    """
    path = Path(path)
    if path.is_dir():
        files = sorted((path / "results").glob("*.json"))
        results = [_result(file) for file in files]
        scores = [score for score in results if score is not None]
    else:
        scores = _of_finetuning(path)
    if not scores:
        raise UserError(
            f"{path}: no accuracy of any template; give a folder that eval/run.sh wrote, or a "
            "scores/SPLIT_UPDATES.json of --task prompt_finetuning"
        )
    return sorted(scores, key=lambda score: _place(score.task))


def _result(file):
    """A run's file as :class:`Score`, or None where it holds no number."""
    content = read_json(file)
    try:
        task = published_name(content["set"]) or content.get("label") or content["set"]
        if content["value"] is None:
            return None
        return Score(
            task, content["template"] or "", float(content["value"]), int(content["examples"])
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{file}: not a result of the runner ({error}); evaluate again") from None


def _of_finetuning(path):
    content = read_json(path)
    try:
        return [
            Score(published_name(task["dataset"]) or task["dataset"], task["template"],
                  float(task["accuracy"]), int(task["examples"]))
            for task in content["tasks"].values()
            if task["accuracy"] is not None
        ]  # fmt: skip
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: not scores of prompt fine-tuning ({error!r})") from None


def published_name(dataset):
    """T0 Eval's label of a data set, as ``super_glue/rte`` -> ``RTE``, or None."""
    return dict(zip(_published()["sets"], LABELS, strict=True)).get(dataset)


def _place(task):
    """T0 Eval's sets first, in the paper's order; others stay in theirs."""
    return LABELS.index(task) if task in LABELS else len(LABELS)


def _published():
    return yaml.safe_load(PUBLISHED.read_text(encoding="utf-8"))


def published_row(name):
    """(model's name, {task: published accuracy, a share of 1}) of METRO-T0's table 2.

    name: such as ``t0/t0-3b``. Raises :class:`UserError` for an unknown one.
    """
    rows = {row["id"]: row for row in _published()["rows"]}
    if name not in rows:
        near = difflib.get_close_matches(name, rows, 3, 0.3) or rows
        raise UserError(f"no published row {name!r}; perhaps {', '.join(near)}")
    values = [value / 100 for value in rows[name]["values"]]
    return f"{rows[name]['model']} (published mean)", dict(zip(LABELS, values, strict=True))


def shared_tasks(scores):
    """Names of the tasks that every list of scores has: means over these alone can be compared."""
    return [task for task in tasks_in(scores)
            if all(task in {score.task for score in each} for _, each in scores)]  # fmt: skip


def tasks_in(scores):
    """Names of the tasks in lists of scores, in the order in which they first come."""
    names = dict.fromkeys(score.task for _, each in scores for score in each)
    return sorted(names, key=_place)
