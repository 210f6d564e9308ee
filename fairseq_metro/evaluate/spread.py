"""Numbers over rows and templates: quartiles, standard errors, bootstrap.

A set's evaluation is a table: a line for each template, a column for each row, 1 where the answer
was right; NaN where a template gave no example. Its value is the mean over templates of each
line's mean (where rows have groups: of the mean over groups of the group's mean).
"""

from dataclasses import dataclass

import numpy as np

from fairseq_metro.evaluate.results import hits_of

_AT_ONCE = 20_000_000  # numbers drawn at a time


@dataclass(frozen=True)
class Table:
    """values (templates, rows) float64; strata (rows,) int64, 0 .. G-1; rows: their positions."""

    values: np.ndarray
    strata: np.ndarray
    rows: np.ndarray

    def mean(self):
        """The set's value."""
        return float(np.mean(_values(self.values, self.strata)))


def table_of(results):
    """The :class:`Table` of a set's runs, or None where their main number is no mean over rows.

    results: result dicts (results.py) of one set, all with examples.
    """
    values = [row_values(values_of_run) for values_of_run in results]
    if not values or any(values_of_run is None for values_of_run in values):
        return None
    rows = sorted(set().union(*values))
    place = {row: i for i, row in enumerate(rows)}
    table = np.full((len(values), len(rows)), np.nan)
    for line, values_of_run in zip(table, values, strict=True):
        line[[place[row] for row in values_of_run]] = list(values_of_run.values())
    return Table(table, _strata(results, place), np.array(rows))


def row_values(result):
    """{row: value} of a run's main number, or None."""
    each = result["per_example"]
    if "gold" in each:
        return dict(zip(each["row"], map(float, hits_of(each)), strict=True))
    if result["main"] == "bleu" or result["main"] not in each:
        return None
    return dict(zip(each["row"], each[result["main"]], strict=True))


def _strata(results, place):
    names = {}
    strata = np.zeros(len(place), np.int64)
    for result in results:
        groups = result["per_example"].get("group") or [""] * result["examples"]
        for row, group in zip(result["per_example"]["row"], groups, strict=True):
            strata[place[row]] = names.setdefault(group, len(names))
    return strata


def _values(values, strata):
    """Each template's value (templates,)."""
    return np.mean(
        [np.nanmean(values[:, strata == stratum], axis=1) for stratum in np.unique(strata)], axis=0
    )


def standard_error(table):
    """Standard error of a set's value over other rows of the same kind, templates as they are.

    A row's value is its mean over templates, since a template's lines are of the same rows.
    """
    each = np.nanmean(table.values, axis=0)
    groups = [each[table.strata == stratum] for stratum in np.unique(table.strata)]
    variances = [group.var(ddof=1) / len(group) if len(group) > 1 else 0.0 for group in groups]
    return float(np.sqrt(sum(variances)) / len(groups))


def resampled(tables, draws, seed):
    """Values of paired tables on ``draws`` bootstrap samples of their rows: (tables, draws).

    tables: of the same rows; a sample's rows, drawn with replacement within each group, are the
    same in all tables and under all templates.
    """
    rng = np.random.default_rng(seed)
    strata = tables[0].strata
    means = [0.0] * len(tables)
    groups = np.unique(strata)
    for group in groups:
        members = np.flatnonzero(strata == group)
        parts = [[] for _ in tables]
        left = draws
        while left:
            now = min(left, max(1, _AT_ONCE // len(members)))
            counts = _counts(rng, now, len(members))
            for part, table in zip(parts, tables, strict=True):
                part.append(_weighted(counts, table.values[:, members]))
            left -= now
        means = [mean + np.concatenate(part) for mean, part in zip(means, parts, strict=True)]
    return np.stack(means) / len(groups)


def _counts(rng, draws, n):
    """How often each of n rows is drawn in each of ``draws`` samples of n: (draws, n) float64."""
    drawn = rng.integers(0, n, (draws, n)) + n * np.arange(draws)[:, None]
    return np.bincount(drawn.ravel(), minlength=draws * n).reshape(draws, n).astype(np.float64)


def _weighted(counts, values):
    """Mean over templates of the lines' means under row counts (draws, n): (draws,)."""
    real = ~np.isnan(values)
    sums = counts @ np.where(real, values, 0.0).T
    with np.errstate(invalid="ignore"):
        return np.nanmean(sums / (counts @ real.T.astype(np.float64)), axis=1)


def quartiles(values):
    """dict of mean, median, q1, q3, std (over templates, n - 1), min, max.

    >>> quartiles([0.2, 0.4, 0.6])["median"]
    0.4
    """
    values = np.asarray(values, np.float64)
    q1, median, q3 = np.percentile(values, [25, 50, 75])
    std = values.std(ddof=1) if len(values) > 1 else 0.0
    statistics = {"mean": values.mean(), "median": median, "q1": q1, "q3": q3, "std": std,
             "min": values.min(), "max": values.max()}  # fmt: skip
    return {name: float(value) for name, value in statistics.items()}
