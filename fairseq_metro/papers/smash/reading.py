"""Finished few-shot runs as scores: mean and standard deviation of a role, row, task and K."""

import re
from dataclasses import dataclass
from pathlib import Path, PurePath

from fairseq_metro.common.errors import UserError
from fairseq_metro.evaluate.fewshot.grid import CELLS, read_cells
from fairseq_metro.evaluate.fewshot.report import summarize
from fairseq_metro.smash.tasks import load_task

# Who a model is, by the name of its run's folder, unless --role says otherwise.
# A task with another template or label words: NAME-template-1.yaml.
VARIANT = re.compile(r"(.+)-(template|verbalizer)-(\d+)")
_CHECKPOINT = re.compile(r"checkpoint_\d+_(\d+)\.pt")  # fairseq's name: epoch, updates


@dataclass(frozen=True)
class Score:
    """mean, std: times 100, over splits, None where a metric is not defined; rows: of the test,
    sampled: whether those are a part of it; task: name, or a YAML file's without its ending."""

    model: str
    row: str
    task: str
    test: str
    k: int
    metric: str
    mean: float | None
    std: float | None
    splits: int
    rows: int
    sampled: bool

    @property
    def updates(self):
        """Of a checkpoint that fairseq named: its updates; else None.

        >>> Score("runs/a/checkpoint_2_500.pt", *"prompt sst2 SST-2 16 accuracy".split(),
        ...       50.0, 1.0, 5, 872, False).updates
        500
        """
        match = _CHECKPOINT.fullmatch(Path(self.model).name)
        return int(match[1]) if match else None


def read_scores(places):
    """Scores of all cells of files, or of folders that fairseq-metro fewshot wrote: list.

    Raises :class:`UserError` for a place without results.
    """
    cells = {}
    for place in map(Path, places):
        path = place / CELLS if place.is_dir() else place
        if not path.is_file():
            raise UserError(f"{path}: no such file; give a folder that fairseq-metro fewshot wrote")
        cells |= read_cells(path)
    if not cells:
        raise UserError(f"{', '.join(map(str, places))}: no finished run yet")
    tasks = {name: load_task(name) for name in sorted({cell["task"] for cell in cells.values()})}
    return [
        Score(
            line["model"], line["row"], line["task"], line["test"], line["k"], line["metric"],
            line["mean"], line["std"], line["splits"], line["test_rows"], line["sampled"],
        )
        for line in summarize(cells.values(), tasks)
    ]  # fmt: skip


def matches(model, pattern):
    """Whether the end of a model's path fits a pattern of a shell, part by part; "" fits "" alone.

    >>> matches("runs/1/smash-pair/checkpoint_1_5.pt", "smash-*/*.pt"), matches("a/student", "dent")
    (True, False)
    """
    return model == pattern or bool(model and pattern and PurePath(model).match(pattern))


def parse_patterns(words, defaults):
    """``NAME=PATTERN`` words over the defaults: dict of lists of patterns. Raises UserError."""
    parsed = {name: [pattern] for name, pattern in defaults.items()}
    given = {}
    for word in words or ():
        name, equals, pattern = word.partition("=")
        if not equals or name not in parsed:
            raise UserError(f"{word}: must be NAME=PATTERN, NAME one of {', '.join(parsed)}")
        given.setdefault(name, []).append(pattern)
    return parsed | given


def of_role(scores, patterns, row=None):
    """The scores whose model fits one of the patterns, of a row if it is given: list."""
    return [
        score
        for score in scores
        if (row is None or score.row == row)
        and any(matches(score.model, pattern) for pattern in patterns)
    ]


def single_score(scores, what):
    """The single score of a list, or None. Raises :class:`UserError` for several models."""
    models = sorted({score.model for score in scores})
    if len(models) > 1:
        raise UserError(
            f"{what} is there of several models: {', '.join(models[:3])}; say which with NAME=PATTERN"
        )
    return scores[0] if scores else None
