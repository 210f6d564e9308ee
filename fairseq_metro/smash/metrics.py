"""Metrics of the few-shot tasks, in numpy: of predicted and gold labels, or scores, arrays (N,).

All are shares or correlations in [-1, 1]; tables print them times 100. Where one is undefined
(no positive at all, a constant) it is 0, as scikit-learn has it.
"""

import numpy as np

from fairseq_metro.common.errors import UserError
from fairseq_metro.prompts.collection import nearest


def accuracy(predicted, gold):
    """Share of labels that are right."""
    return float(np.mean(predicted == gold))


def f1(predicted, gold):
    """F1 of class 1 (MRPC, QQP)."""
    right = np.sum((predicted == 1) & (gold == 1))
    all_ones = np.sum(predicted == 1) + np.sum(gold == 1)
    return float(2 * right / all_ones) if all_ones else 0.0


def matthews(predicted, gold):
    """Matthews' correlation of any number of classes (CoLA)."""
    classes = max(predicted.max(), gold.max()) + 1
    return _correlation(np.eye(classes)[predicted], np.eye(classes)[gold])


def pearson(predicted, gold):
    """Pearson's correlation of scores (STS-B)."""
    return _correlation(predicted[:, None], gold[:, None])


def _correlation(x, y):
    """sum cov(x_k, y_k) / sqrt(sum var(x_k) sum var(y_k)) of columns k; 0 for a constant."""
    x, y = (z.astype(np.float64) - z.mean(axis=0, dtype=np.float64) for z in (x, y))
    scale = np.sqrt(np.sum(x * x) * np.sum(y * y))
    return float(np.sum(x * y) / scale) if scale > 0 else 0.0


METRICS = {"accuracy": accuracy, "f1": f1, "matthews": matthews, "pearson": pearson}


def score(metric, predicted, gold):
    """A metric by its name: predicted, gold (N,) of class numbers or scores -> float.

    Raises :class:`UserError` for an unknown name, no example, or two lengths.

    >>> score("f1", [1, 1, 0, 0], [1, 0, 1, 0])
    0.5
    """
    if metric not in METRICS:
        raise UserError(f"no metric {metric!r} ({nearest(metric, METRICS)})")
    predicted, gold = np.asarray(predicted), np.asarray(gold)
    if predicted.shape != gold.shape or not gold.size:
        raise UserError(f"{metric} of {predicted.size} predictions for {gold.size} examples")
    return METRICS[metric](predicted, gold)
