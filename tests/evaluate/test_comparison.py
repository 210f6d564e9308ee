"""evaluate/comparison.py and published_rows.py: two folders, published rows, hit counts."""

import copy
import json
import statistics

import numpy as np
import pytest

from fairseq_metro.common.errors import UserError
from fairseq_metro.evaluate.command import main
from fairseq_metro.evaluate.comparison import compare, describe, read_side
from fairseq_metro.evaluate.published_rows import (
    check_hits,
    hit_counts,
    published_row,
    published_rows,
    refuse_unfit_expectation,
)
from fairseq_metro.evaluate.results import claim, read_results, write_result
from fairseq_metro.evaluate.suite import load_suite


def run(name, one, hits, gold=None):
    """A run's file whose rows are right (1) or wrong (0)."""
    gold = gold or [0] * len(hits)
    predictions = [g if hit else g + 1 for g, hit in zip(gold, hits, strict=True)]
    value = sum(hits) / len(hits)
    return {"format": 1, "run": name, "suite": "s", "set": one, "label": one.upper(), "kind": "rank",
            "main": "accuracy", "rows": len(hits), "examples": len(hits), "value": value,
            "metrics": {"accuracy": value}, "hits": sum(hits), "fingerprint": "x", "groups": None,
            "dropped": {}, "template": name,
            "per_example": {"row": [*range(len(hits))], "gold": gold,
                            "prediction": predictions}}  # fmt: skip


def folder(path, name, runs):
    claim(path, {"model": {"name": name, "sha256": name}})
    for one in runs:
        write_result(path, one)
    return str(path)


@pytest.fixture
def two(tmp_path):
    rng = np.random.default_rng(0)
    ours = (rng.random((3, 120)) < 0.7).astype(int).tolist()
    theirs = [[hit * int(rng.random() < 0.8) for hit in line] for line in ours]
    first = [run("a1", "a", ours[0]), run("a2", "a", ours[1]), run("b1", "b", ours[2])]
    second = [run("a1", "a", theirs[0]), run("a2", "a", theirs[1]), run("b1", "b", theirs[2][:120]),
              run("c1", "c", [1, 0])]  # fmt: skip
    return folder(tmp_path / "one", "ours", first), folder(tmp_path / "two", "theirs", second)


def test_differences_are_paired_and_sets_weigh_alike(two):
    found = compare(*map(read_side, two), draws=4000)
    assert [one["set"] for one in found["sets"]] == ["a", "b"] and found["names"] == [
        "ours",
        "theirs",
    ]
    a, b = found["sets"]
    assert (a["templates"], a["rows"]) == (2, 120)
    assert found["all"]["difference"] == pytest.approx((a["difference"] + b["difference"]) / 2)
    for one in (a, b, found["all"]):
        assert 0 < one["low"] < one["difference"] < one["high"]
    # Paired: the error of a mean of differences, closed form, for the one template of b.
    lines = [read_side(side).runs["b"]["b1"]["per_example"] for side in two]
    right = [np.array(e["prediction"]) == np.array(e["gold"]) for e in lines]
    error = (right[0].astype(float) - right[1]).std() / np.sqrt(120)
    assert (b["high"] - b["low"]) / (2 * 1.96) == pytest.approx(error, rel=0.06)
    text = describe(found)
    assert "| A | 2 | 120 |" in text and "| * |" in text


def test_the_other_way_round_is_the_negative(two):
    found, turned = compare(*map(read_side, two)), compare(*map(read_side, two[::-1]))
    assert turned["all"]["difference"] == pytest.approx(-found["all"]["difference"])
    assert turned["all"]["low"] == pytest.approx(-found["all"]["high"])


def test_any_right_answer_counts_in_a_comparison(tmp_path):
    """Which of several right answers a row's target is may differ; which are right may not."""

    def several(name, gold, right, prediction):
        one = run("a1", "a", [0] * 4, gold)
        one["per_example"].update(right=right, prediction=prediction)
        return read_side(folder(tmp_path / name, name, [one]))

    right = [[0, 2]] * 4
    first = several("first", [0] * 4, right, [2, 0, 1, 1])
    second = several("second", [2] * 4, right, [1, 0, 1, 1])
    found = compare(first, second)
    assert (found["all"]["first"], found["all"]["second"]) == (0.5, 0.25)
    with pytest.raises(UserError, match="a1 has other right answers"):
        compare(first, several("third", [0] * 4, [[0, 1]] * 4, [1, 0, 1, 1]))


def test_folders_of_other_rows_are_refused(two, tmp_path):
    other = folder(tmp_path / "other", "other", [run("a1", "a", [1, 0, 1])])
    with pytest.raises(UserError, match="a: ours has 120 rows, other 3"):
        compare(read_side(two[0]), read_side(other))
    gold = folder(tmp_path / "gold", "gold", [run("a1", "a", [1] * 120, [1] * 120)])
    with pytest.raises(UserError, match="a1 has other right answers"):
        compare(read_side(two[0]), read_side(gold))
    nothing = folder(tmp_path / "nothing", "nothing", [run("z1", "z", [1])])
    with pytest.raises(UserError, match="no set in common"):
        compare(read_side(two[0]), read_side(nothing))
    template = folder(tmp_path / "template", "template", [run("a9", "a", [1] * 120)])
    with pytest.raises(UserError, match="no template in common"):
        compare(read_side(two[0]), read_side(template))


def test_as_many_rows_but_others_are_refused(tmp_path):
    one, other = run("a1", "a", [1, 0, 1]), run("a1", "a", [1, 0, 1])
    other["per_example"]["row"] = [0, 1, 3]
    sides = [read_side(folder(tmp_path / n, n, [r])) for n, r in (("one", one), ("two", other))]
    with pytest.raises(UserError, match="a: one has 3 rows, two 3, or others; evaluate both"):
        compare(*sides)


def test_a_run_without_examples_and_half_written_files_are_left_out(tmp_path):
    empty = {**run("b1", "b", [1]), "value": None, "examples": 0,
             "per_example": {"row": [], "gold": [], "prediction": []}}  # fmt: skip
    path = tmp_path / "one"
    folder(path, "one", [run("a1", "a", [1, 0]), empty])
    (path / "results" / ".a2.json").write_text("half")  # a temporary name
    assert list(read_results(path)) == ["a1", "b1"]
    side = read_side(str(path))
    assert side.runs.keys() == {"a"} and side.labels == {"a": "A"}


def test_a_difference_that_may_be_chance_has_no_mark(tmp_path):
    hits = [[1, 0, 1, 0, 1, 1, 0, 1], [0, 1, 1, 0, 1, 1, 0, 1]]
    sides = [read_side(folder(tmp_path / n, n, [run("a1", "a", each)]))
             for n, each in zip(("one", "two"), hits, strict=True)]  # fmt: skip
    found = compare(*sides, draws=500)
    (one,) = found["sets"]
    assert one["low"] < 0 < one["high"] and one["difference"] == 0
    (line,) = [text for text in describe(found).splitlines() if text.startswith("| A |")]
    assert line.endswith("|  |")


def test_published_rows_as_a_side(tmp_path):
    ours = folder(tmp_path / "one", "ours", [run("r1", "super_glue/rte", [1, 1, 0, 1])])
    found = compare(read_side(ours), read_side("t0++/metro-base"), draws=500)
    (rte,) = found["sets"]
    assert rte["difference"] == pytest.approx(0.75 - 0.7204) and rte["low"] < rte["high"]
    turned = compare(read_side("t0++/metro-base"), read_side(ours), draws=500)["sets"][0]
    assert turned["low"] == pytest.approx(-rte["high"])
    both = compare(read_side("t0++/metro-base"), read_side("t0++/t0-base"))
    assert both["all"]["low"] is None and len(both["sets"]) == 11
    assert both["all"]["difference"] == pytest.approx(0.5594 - 0.5320, abs=1e-4)


def test_the_command_prints_and_writes(two, tmp_path, capsys):
    assert main(["--compare", *two, "--out", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out == (tmp_path / "out" / "compare.md").read_text()
    assert len(json.loads((tmp_path / "out" / "compare.json").read_text())["sets"]) == 2
    with pytest.raises(UserError, match=r"no published row .nearest: t0\+\+/metro-base"):
        main(["--compare", two[0], "t0++/metro-bas"])


def test_published_means_are_those_of_their_rows():
    rows = published_rows()
    t0 = {name: row for name, row in rows.items() if row["suite"] == "t0_eval"}
    assert len(t0) == 22 and len(rows) == 41
    for row in t0.values():
        assert statistics.fmean(row["values"].values()) == pytest.approx(row["mean"], abs=0.011)
    names = [one.name for one in load_suite("t0_eval").sets]
    assert all(list(row["values"]) == names for row in t0.values())
    assert published_row("mmlu/t0++/metro-base")["values"] == {"mmlu": 31.9}


def test_hit_counts_are_whole_and_give_the_published_means():
    counts, suite = hit_counts(), load_suite("t0_eval")
    templates = {one.name: len(one.templates) for one in suite.sets}
    assert counts["trials"] == [one.rows * templates[one.name] for one in suite.sets]
    for model in counts["models"].values():
        shares = [100 * h / of for h, of in zip(model["hits"], counts["trials"], strict=True)]
        assert statistics.fmean(shares) == pytest.approx(model["mean"], abs=1e-12)


SETTINGS = {"rank_by": "sum", "dtype": "float32", "shots": 0, "limit": None, "split": None,
            "model": {"name": "my-model"}}  # fmt: skip


def evaluated(changes=None):
    """(suite of a summary, results) with the hits of metro_t0_base, but for ``changes``."""
    counts = hit_counts()
    hits = dict(zip(counts["sets"], counts["models"]["metro_t0_base"]["hits"], strict=True))
    hits |= changes or {}
    sets = [{"name": one, "templates": [{"run": one}]} for one in hits]
    results = {one: {"hits": hits[one], "examples": of}
               for one, of in zip(counts["sets"], counts["trials"], strict=True)}  # fmt: skip
    return {"name": "t0_eval", "sets": sets}, results


def test_the_released_model_is_recognised_by_its_hits_or_its_name():
    suite, results = evaluated()
    lines = check_hits(suite, SETTINGS, results)
    assert "metro_t0_base" in lines[0] and sum("| exact |" in line for line in lines) == 11
    suite, results = evaluated({"hellaswag": 10290, "super_glue/rte": 1600})
    assert check_hits(suite, SETTINGS, results) == []  # nobody we know
    named = copy.deepcopy(SETTINGS) | {"model": {"name": "metro-t0-base"}}
    for lines in (check_hits(suite, named, results),
                  check_hits(suite, SETTINGS, results, "metro_t0_base")):  # fmt: skip
        text = "\n".join(lines)
        assert "| hellaswag | 40168 | 10302 | 10290 | -12, within 3 of 1,000 |" in text
        assert "| super_glue/rte | 2770 | 1707 | 1600 | **-107** |" in text
    del suite["sets"][0]
    assert "Not evaluated whole: super_glue/rte." in check_hits(suite, named, results)


@pytest.mark.parametrize("change", [{"rank_by": "mean"}, {"dtype": "bfloat16"}, {"shots": 2},
                                    {"limit": 9}, {"split": "test"}])  # fmt: skip
def test_other_settings_are_not_compared_with_published_hits(change):
    suite, results = evaluated()
    assert check_hits(suite, SETTINGS | change, results) == []
    assert check_hits(suite, SETTINGS | change, results, "metro_t0_base") == []
    names = {"suites": ["mmlu", "t0_eval"]}
    refuse_unfit_expectation("metro_t0_base", SETTINGS | names)
    with pytest.raises(UserError, match="evaluate so"):
        refuse_unfit_expectation("metro_t0_base", SETTINGS | names | change)
    with pytest.raises(UserError, match="evaluate so"):
        refuse_unfit_expectation("metro_t0_base", SETTINGS | {"suites": ["mmlu"]})
    refuse_unfit_expectation(None, SETTINGS | names | change)
