"""The majority baseline: the commonest label of the whole training set, said of every test row.

SMASH's tables have the majority in the full training set (LM-BFF, table 1), which may be rarer among
the test rows: 23.1 on SST-5, where the test's own commonest label would give 28.6. Where only a
K-shot split is at hand, whose labels are balanced, the test's own label is the only one there is, and
the row's name says so.
"""

from collections import Counter

import numpy as np

from fairseq_metro.evaluate.fewshot.cells import MAJORITY, MAJORITY_OF_TEST, Cell
from fairseq_metro.smash.metrics import score
from fairseq_metro.smash.splits import training_labels


def majority_cell(task, data):
    """The :class:`Cell` of a split's majority row. data: the split's fields of a Cell."""
    if task.is_regression:
        return Cell(MAJORITY, "", "", **data)
    counts = training_labels(data["folder"])
    if counts is None:
        return Cell(MAJORITY_OF_TEST, "", "", **data)
    return Cell(MAJORITY, "", "", **data, label=commonest(task, counts))


def commonest(task, counts):
    """The label with most rows, the first of equals in the task's order. counts: {label: rows}.

    >>> from fairseq_metro.smash.tasks import load_task
    >>> commonest(load_task("sst5"), {"0": 3, "1": 7, "3": 7})
    '1'
    """
    return max(task.labels, key=lambda label: counts.get(label, 0))


def majority_score(cell, task, examples):
    """The task's metric of a majority row on test examples; None for a task of scores, since a
    constant has no correlation."""
    if task.is_regression:
        return None
    label = cell.label or commonest(task, Counter(example.label for example in examples))
    targets = np.array([task.labels.index(example.label) for example in examples])
    return score(task.metric, np.full(len(targets), task.labels.index(label)), targets)
