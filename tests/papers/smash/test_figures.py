"""Figures 2a, 2b, 3 and 4: every series, no gap in the numbers, something on the picture."""

import csv
import math
from importlib.resources import files

import pytest
from matplotlib.image import imread

from fairseq_metro.common.errors import user_message
from fairseq_metro.papers.smash.figures import main
from fairseq_metro.papers.smash.published import published
from tests.papers.smash.results import some, write

SETTINGS = [one["name"] for one in published("figures", "2a")["series"]]
CURVES = [
    f"runs/smash-{name}-pair/checkpoint_{epoch}_{100 * epoch}.pt"
    for name in SETTINGS for epoch in (1, 2, 3)
]  # fmt: skip
ROLES = ["runs/student", "runs/middle", "runs/smash-ce-pair"]


def run(tmp_path, number, cells, *options):
    folder = write(tmp_path / "results", cells)
    words = [number, "--results", str(folder), "--out", str(tmp_path / "out"), *options]
    assert main(words) == 0
    with open(tmp_path / "out" / f"figure{number}.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert rows and all(math.isfinite(float(row[key])) for row in rows for key in ("mean", "std"))
    assert imread(tmp_path / "out" / f"figure{number}.png").std() > 0.05
    return rows


def ours(rows, **wanted):
    wanted["source"] = "ours"
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


@pytest.mark.parametrize(("number", "task"), [("2a", "mnli"), ("2b", "sst2")])
def test_settings_by_updates(tmp_path, number, task):
    rows = run(tmp_path, number, some([*CURVES, *ROLES], ["prompt", "zero-shot"], [task]))
    for one in published("figures", number)["series"]:
        mine = ours(rows, series=one["name"])
        assert [row["x"] for row in mine] == ["100", "200", "300"]
        assert {row["splits"] for row in mine} == {"2"}
    for role in ("student", "middle"):
        assert [row["x"] for row in ours(rows, series=role)] == [""]
    theirs = {
        (row["series"], row["x"]): float(row["mean"]) for row in rows if row["source"] == "paper"
    }
    entry = published("figures", number)
    assert theirs["ce", "200000"] == entry["series"][0]["points"][200000][0]
    assert theirs["student", ""] == entry["lines"]["student"][1]


def test_what_is_missing_is_said(tmp_path, capsys):
    run(tmp_path, "2a", some([CURVES[0]], ["prompt"], ["rte"]), "--task", "rte")
    said = capsys.readouterr().out
    assert "nothing of middle-ce, middle-ce+hidn, middle-ce+attn, middle-mlm, rule" in said
    assert "Rl rule is inferior" in said


def test_other_templates_and_words(tmp_path):
    text = (files("fairseq_metro.smash") / "tasks" / "sst2.yaml").read_text()
    tasks = ["sst2"]
    for kind in ("template", "verbalizer"):
        for n in range(1, 6):
            path = tmp_path / f"sst2-{kind}-{n}.yaml"
            path.write_text(text)
            tasks.append(path)
    rows = run(tmp_path, "3", some(ROLES, ["prompt"], tasks))
    for series in published("figures", "3")["series"]:
        for panel in ("sst2: templates", "sst2: verbalizers"):
            mine = ours(rows, series=series, panel=panel)
            assert [row["x"] for row in mine] == ["manual", *"12345"]


def test_a_splits_own_prompts_are_one_point_with_the_other_splits(tmp_path):
    """The i-th best of each split is one variant, though each split has another file for it."""
    text = (files("fairseq_metro.smash") / "tasks" / "mnli.yaml").read_text()
    cells = some(["runs/student"], ["prompt"], ["mnli"])
    for one in list(cells):
        path = tmp_path / f"16-{one['seed']}" / "mnli-template-1.yaml"
        path.parent.mkdir()
        path.write_text(text)
        cells.append({**one, "task": str(path), "key": one["key"] + "v"})
    rows = run(tmp_path, "3", cells)
    for test in ("MNLI-m", "MNLI-mm"):
        mine = ours(rows, series="student", panel=f"mnli, {test}: templates")
        assert [(row["x"], row["splits"]) for row in mine] == [("manual", "2"), ("1", "2")]


def test_by_examples_a_label(tmp_path):
    ks = published("figures", "4")["ticks"]
    rows = run(tmp_path, "4", some(ROLES, ["prompt"], ["rte", "subj"], ks))
    for series in published("figures", "4")["series"]:
        for panel in ("RTE", "Subj"):
            assert [row["x"] for row in ours(rows, series=series, panel=panel)] == list(
                map(str, ks)
            )
    (theirs,) = (r for r in rows if r["source"] == "paper" and r["series"] == "smash")
    assert (theirs["panel"], theirs["x"], float(theirs["mean"])) == ("RTE", "16", 61.7)


def test_results_that_do_not_belong_there_are_one_line(tmp_path):
    folder = write(tmp_path / "results", some(["runs/else"], ["prompt"], ["rte"]))
    with pytest.raises(Exception) as caught:
        main(["2a", "--results", str(folder), "--out", str(tmp_path)])
    assert "no run that belongs into figure 2a" in user_message(caught.value)
    assert not list(tmp_path.glob("figure*"))
