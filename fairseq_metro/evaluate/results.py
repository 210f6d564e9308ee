"""One JSON file for each run, that is a set under one template: written whole, kept on a resume.

OUT/settings.json            what all runs of the folder share: suites, model (its file and sha256),
                             rank_by, dtype, shots, seed, limit, stamp
OUT/results/<run>.json       one run; its name is the task's, such as super_glue_rte_can_we_infer
OUT/summary.json, report.md, templates.png   made of these (evaluate/summary.py, report.py)

A run's file has:

format            1
run, suite        its own name, and that of its suite
set, label        of the suite's set, such as anli/r1 and "ANLI r1"; cluster: kind of task, or null
dataset, split    such as anli and dev_r1; template: its exact name, or null (ready-made rows)
kind              "rank" (among choices) or "generate"
rows              of the split; examples: scored; dropped: {reason: count} of the others
value             the run's main number, a share of 1: metrics[main]; null without examples
main              name of the main metric: accuracy, macro_accuracy (mean over groups), f1, ...
metrics           {name: share of 1}; for rank always accuracy, chance and commonest (the accuracy
                  of a guess, and of always the place that is right most often)
hits              right predictions, an int (rank only)
groups            {group: [hits, examples]} where rows have groups (MMLU's subjects), else null
characters        {"all", "unknown"}: of the inputs, and those that became <unk>; null where the model
                  has no vocabulary of ours
rank_by           "sum", "mean", "byte_mean", "contextual" or "pmi" (evaluate/ranking.py)
shots, seconds    exemplars in each input; time of scoring
fingerprint       sha256 of everything that decides the numbers: model, texts, settings
stamp             version, commit, command line
per_example       lists, one entry for each example:
    row           position in the split, from 0
    gold          index of the right choice            (rank)
    right         indices of all right choices         (rank), where the suite names ``answers``
    prediction    index of the highest score           (rank)
    scores        list of the choices' scores          (rank), natural logarithms
    group         name of its group, where there are groups
    output        generated text                       (generate)
    <metric>      0 to 1                               (generate)

So the accuracy is the mean of prediction == gold, or of prediction in right. Template by template
values of a set: all files of the same ``set``, their ``value``.
"""

import re
from pathlib import Path

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.files import read_json, write_json

FORMAT = 1
FOLDER = "results"
SETTINGS = "settings.json"
_NEEDED = {"format", "run", "suite", "set", "kind", "rows", "examples", "value", "metrics",
           "fingerprint", "per_example"}  # fmt: skip


def result_path(out, run):
    """The file of a run in an output folder."""
    return Path(out) / FOLDER / f"{run}.json"


def write_result(out, result):
    """Write a run's file, whole or not at all."""
    path = result_path(out, result["run"])
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, result)


def read_result(path):
    """A run's file as a dict. Raises :class:`UserError` for one that is no result."""
    result = read_json(path)
    if not isinstance(result, dict) or result.get("format") != FORMAT:
        raise UserError(f"{path}: not a result of this format ({FORMAT}); remove it and run again")
    if missing := sorted(_NEEDED - set(result)):
        raise UserError(f"{path}: has no {', '.join(missing)}; remove it and run again")
    examples = result["per_example"]
    lengths = {len(values) for values in examples.values()} if isinstance(examples, dict) else {-1}
    if lengths - {result["examples"]}:
        raise UserError(
            f"{path}: per_example does not have {result['examples']} entries everywhere; remove it "
            "and run again"
        )
    return result


def read_results(folder):
    """All runs of an output folder, by name, sorted: dict of str -> result. :class:`UserError`."""
    folder = Path(folder)
    if not (folder / FOLDER).is_dir():
        raise UserError(f"{folder}: no {FOLDER}/ in it; name a folder that eval/run.sh wrote")
    paths = sorted(path for path in (folder / FOLDER).glob("*.json") if path.name[0] != ".")
    if not paths:
        raise UserError(f"{folder / FOLDER}: no results yet; run the evaluation first")
    return {path.stem: read_result(path) for path in paths}


def hits_of(per_example):
    """Whether each prediction of a ranked run is right: list of 1 and 0.

    >>> hits_of({"gold": [0, 1], "prediction": [0, 2]})
    [1, 0]
    >>> hits_of({"gold": [0, 1], "prediction": [0, 2], "right": [[0], [1, 2]]})
    [1, 1]
    """
    right = per_example.get("right") or [(place,) for place in per_example["gold"]]
    return [int(p in each) for p, each in zip(per_example["prediction"], right, strict=True)]


def finished(out, run, fingerprint):
    """The result of a run that is there already, or None.

    Raises :class:`UserError` where the file was made from something else.
    """
    path = result_path(out, run)
    if not path.is_file():
        return None
    result = read_result(path)
    if result["fingerprint"] != fingerprint:
        raise UserError(
            f"{path}: made with another model, data or settings; name another --out, or remove "
            "this file"
        )
    return result


def claim(out, settings):
    """Write ``settings.json``, or raise :class:`UserError` where the folder has results of others."""
    out, path = Path(out), Path(out) / SETTINGS
    if path.exists() and any((out / FOLDER).glob("*.json")):
        there = read_json(path)
        different = [
            f"{key} {there.get(key)!r:.80} there, {value!r:.80} now"
            for key, value in settings.items()
            if key != "stamp" and _decisive(there.get(key)) != _decisive(value)
        ]
        if different:
            raise UserError(
                f"{out}: holds results of other settings ({'; '.join(different[:2])}); name "
                "another --out, or remove this folder"
            )
        return
    if out.exists() and any(
        entry.name not in (SETTINGS, FOLDER) and entry.name[0] != "." for entry in out.iterdir()
    ):
        raise UserError(f"{out}: is there and holds no results; name another --out")
    out.mkdir(parents=True, exist_ok=True)
    write_json(path, settings)


def _decisive(value):
    """A setting without what may change: a model is its weights, wherever they lie."""
    return value["sha256"] if isinstance(value, dict) and "sha256" in value else value


def file_name(text):
    """A text as a file's or folder's name.

    >>> file_name("checkpoint 1/2.pt")
    'checkpoint_1_2.pt'
    """
    return re.sub(r"[^\w.+-]+", "_", text).strip("_")
