"""Paired differences over seeds with confidence intervals, by which claims are judged.

Few seeds make wide intervals: of two the t interval is 12.7 standard errors wide on either side.
"""

import math
import statistics
from dataclasses import dataclass
from functools import cache

import numpy as np

LEVEL = 0.95
DRAWS = 10_000


@dataclass(frozen=True)
class Interval:
    """A mean over ``n`` values; low and high: its confidence interval, None of one value."""

    mean: float
    low: float | None
    high: float | None
    n: int

    def formatted(self, scale=100, digits=1):
        """Format the interval times ``scale`` with ``digits`` decimal places.

        >>> Interval(0.05, -0.01, 0.11, 3).formatted(), Interval(0.05, None, None, 1).formatted()
        ('+5.0 [-1.0, +11.0]', '+5.0 (one seed)')
        """
        mean, low, high = (
            None if value is None else f"{scale * value:+.{digits}f}"
            for value in (self.mean, self.low, self.high)
        )
        if low is None:
            return f"{mean} (one seed)"
        return f"{mean} [{low}, {high}]"

    @property
    def sign(self):
        """The sign of the mean if the interval excludes 0, else 0."""
        if self.low is None or self.low <= 0 <= self.high:
            return 0
        return 1 if self.low > 0 else -1


def t_probability(t, df):
    """P(|T| <= t) of Student's t with ``df`` whole degrees of freedom (Abramowitz & Stegun, 26.7.3-4).

    >>> round(t_probability(12.706, 1), 4), round(t_probability(4.303, 2), 4)
    (0.95, 0.95)
    """
    angle = math.atan(t / math.sqrt(df))
    term, total = (math.cos(angle), 0.0) if df % 2 else (1.0, 0.0)
    for i in range(1 if df % 2 else 0, df - 1, 2):
        total += term
        term *= math.cos(angle) ** 2 * (i + 1) / (i + 2)
    if df % 2:
        return 2 / math.pi * (angle + math.sin(angle) * total)
    return math.sin(angle) * total


@cache
def t_quantile(df, level=LEVEL):
    """The t whose :func:`t_probability` is ``level``.

    >>> [round(t_quantile(df), 3) for df in (1, 2, 3, 9)]
    [12.706, 4.303, 3.182, 2.262]
    """
    low, high = 0.0, 1e4
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if t_probability(middle, df) < level else (low, middle)
    return (low + high) / 2


def t_interval(values, level=LEVEL):
    """The :class:`Interval` of a mean of independent values, such as differences of pairs of seeds."""
    values = list(values)
    mean = statistics.fmean(values)
    if len(values) < 2:
        return Interval(mean, None, None, len(values))
    half = t_quantile(len(values) - 1, level) * statistics.stdev(values) / math.sqrt(len(values))
    return Interval(mean, mean - half, mean + half, len(values))


def bootstrap_difference(first, second, draws=DRAWS, seed=1, level=LEVEL):
    """The :class:`Interval` of the difference of two accuracies on the same text: first minus second.

    first, second: [tokens, hits] of the same groups of neighbouring blocks, which are drawn with
    replacement, the same for both. It tells of other text, not of other seeds. Raises ValueError
    where the tokens are not the same.
    """
    first_groups, second_groups = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if (
        first_groups.shape != second_groups.shape
        or (first_groups[:, 0] != second_groups[:, 0]).any()
    ):
        raise ValueError("the groups are not of the same tokens")
    drawn = np.random.default_rng(seed).integers(0, len(first_groups), (draws, len(first_groups)))
    tokens, gap = first_groups[:, 0], first_groups[:, 1] - second_groups[:, 1]
    differences = gap[drawn].sum(1) / tokens[drawn].sum(1)
    low, high = np.quantile(differences, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(gap.sum() / tokens.sum()), float(low), float(high), len(first_groups))


def paired(first, second):
    """Differences first minus second over the keys (seeds) of both: list of float, keys rising.

    >>> paired({1: 3.0, 2: 5.0, 4: 9.0}, {2: 4.0, 1: 1.0})
    [2.0, 1.0]
    """
    return [first[key] - second[key] for key in sorted(first.keys() & second.keys())]
