"""evaluate/spread.py: values, errors and bootstrap against plain loops and closed forms."""

import math
import random

import numpy as np
import pytest

from fairseq_metro.evaluate.spread import Table, quartiles, resampled, standard_error, table_of


def result(predictions, gold, rows=None, groups=None):
    each = {"row": rows or list(range(len(gold))), "gold": gold, "prediction": predictions}
    if groups:
        each["group"] = groups
    return {"per_example": each, "examples": len(gold), "main": "accuracy"}


def test_a_table_has_a_line_for_each_template_and_gaps_where_a_row_is_missing():
    table = table_of([result([0, 1, 1], [0, 1, 0]), result([1], [1], rows=[2])])
    np.testing.assert_array_equal(table.values, [[1, 1, 0], [np.nan, np.nan, 1]])
    assert table.mean() == pytest.approx((2 / 3 + 1) / 2)


def test_groups_weigh_alike():
    table = table_of([result([0, 0, 0, 1], [0, 0, 1, 0], groups=["a", "a", "a", "b"])])
    assert table.mean() == pytest.approx((2 / 3 + 0) / 2)


def test_the_standard_error_of_one_template_is_that_of_a_share():
    hits = [1] * 30 + [0] * 70
    table = table_of([result(hits, [1] * 100)])
    assert standard_error(table) == pytest.approx(math.sqrt(0.3 * 0.7 / 99))
    # Ten templates that always agree say no more than one.
    assert standard_error(table_of([result(hits, [1] * 100)] * 10)) == pytest.approx(
        standard_error(table)
    )


def test_the_standard_error_of_groups_is_that_of_the_mean_of_their_means():
    hits = [1, 0, 1, 1, 0, 1, 1, 0, 0, 1, 1]
    table = table_of([result(hits, [1] * 11, groups=["a"] * 4 + ["b"] * 6 + ["c"])])
    a, b = np.var(hits[:4], ddof=1) / 4, np.var(hits[4:10], ddof=1) / 6
    assert standard_error(table) == pytest.approx(math.sqrt(a + b) / 3)  # one row tells no spread


def test_a_metric_of_a_corpus_has_no_rows():
    told = {"per_example": {"row": [0, 1], "output": ["a", "b"], "bleu": [0.5, 0.1], "f1": [1, 0]},
            "examples": 2}  # fmt: skip
    assert table_of([{**told, "main": "bleu"}]) is None
    assert table_of([{**told, "main": "rouge1"}]) is None
    assert table_of([]) is None
    assert table_of([{**told, "main": "f1"}]).mean() == 0.5


def test_the_bootstrap_agrees_with_a_plain_loop_and_with_theory():
    rng = np.random.default_rng(4)
    ours = (rng.random((3, 80)) < 0.6).astype(float)
    theirs = np.where(rng.random((3, 80)) < 0.7, ours, 1 - ours)
    ours[1, :7] = theirs[1, :7] = np.nan  # rows that one template leaves out
    tables = [Table(values, np.zeros(80, np.int64), np.arange(80)) for values in (ours, theirs)]
    found = np.subtract(*resampled(tables, 4000, 1))
    plain, loop = random.Random(2), []
    for _ in range(3000):
        rows = [plain.randrange(80) for _ in range(80)]
        loop.append(np.mean([np.nanmean(a[rows]) - np.nanmean(b[rows])
                             for a, b in zip(ours, theirs, strict=True)]))  # fmt: skip
    assert found.mean() == pytest.approx(tables[0].mean() - tables[1].mean(), abs=0.003)
    assert found.std() == pytest.approx(np.std(loop), rel=0.06)
    low, high = np.percentile(found, [2.5, 97.5])
    assert [low, high] == pytest.approx(np.percentile(loop, [2.5, 97.5]).tolist(), abs=0.012)


def test_the_bootstrap_is_paired_and_by_group():
    """A difference that is the same on every row has no spread; groups are drawn within."""
    values = np.array([[1.0, 0, 1, 0, 1, 1]])
    strata = np.array([0, 0, 0, 0, 1, 1])
    tables = [Table(v, strata, np.arange(6)) for v in (values, values - 0.25)]
    assert np.subtract(*resampled(tables, 50, 0)) == pytest.approx(np.full(50, 0.25))
    found = resampled(tables[:1], 2000, 0)[0]
    assert found.mean() == pytest.approx((0.5 + 1) / 2, abs=0.02)
    assert found.min() >= 0.5  # the second group is always right: half of the value


def test_draws_do_not_depend_on_how_many_fit_at_a_time(monkeypatch):
    tables = [Table(np.array([[1.0, 0, 0, 1, 1]]), np.zeros(5, np.int64), np.arange(5))]
    whole = resampled(tables, 40, 3)
    monkeypatch.setattr("fairseq_metro.evaluate.spread._AT_ONCE", 15)
    np.testing.assert_array_equal(resampled(tables, 40, 3), whole)


def test_quartiles_are_numpys():
    values = [0.1, 0.5, 0.2, 0.9]
    found = quartiles(values)
    assert found["q1"] == pytest.approx(np.quantile(values, 0.25))
    assert (found["min"], found["max"]) == (0.1, 0.9)
    assert found["std"] == pytest.approx(np.std(values, ddof=1))
    assert quartiles([0.3])["std"] == 0.0
