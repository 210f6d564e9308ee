"""Figures 3a and 3b from hand-made logs: every series, exact values, no hole that is not one."""

import math

import pytest

from fairseq_metro.analysis.figures import clm_loss, rtd_recall
from fairseq_metro.analysis.figures.plotting import COLOURS
from fairseq_metro.common.errors import UserError
from tests.analysis.figures.samples import drawn, figure, legend_of, lines, log_of


def numbers(**lines):
    """update -> {name: value}, straight lines over 400 updates."""
    return lambda update: {name: a + (b - a) * update / 400 for name, (a, b) in lines.items()}


VARIANTS = {
    "RTD on encoder": ("'rtd_on': encoder", 3.0),
    "RTD on decoder": ("'rtd_on': decoder, 'clip_norm': 2.0", 6.0),
    "RTD on decoder, clip norm 0.1": ("'rtd_on': decoder, 'clip_norm': 0.1", 5.0),
    "RTD on decoder, projection": ("'rtd_on': decoder, 'clm_head': projection", 4.0),
}


def test_the_four_series_of_figure_3a_are_those_of_the_logs(tmp_path):
    runs = [
        log_of(tmp_path / f"run{i}", numbers(clm_loss=(7, end)), options)
        for i, (options, end) in enumerate(VARIANTS.values())
    ]
    rows = figure("clm-loss", tmp_path / "a.png", *runs)
    assert list(dict.fromkeys(row["run"] for row in rows)) == list(VARIANTS)
    for label, (_, end) in VARIANTS.items():
        for split, updates in (("train", range(20, 401, 20)), ("valid", (0, 100, 200, 300, 400))):
            found = {
                int(row["update"]): float(row["clm_loss"])
                for row in rows
                if (row["run"], row["split"]) == (label, split)
            }
            expected = {u: 7 + (end - 7) * u / 400 for u in updates}
            assert found.keys() == expected.keys()
            assert all(math.isclose(found[u], expected[u], abs_tol=6e-4) for u in updates)


def test_the_picture_of_figure_3a_shows_every_row_in_its_runs_colour(tmp_path):
    runs = [
        log_of(tmp_path / f"run{i}", numbers(clm_loss=(7, end)), options)
        for i, (options, end) in enumerate(VARIANTS.values())
    ]
    rows, picture = drawn("clm-loss", *runs)
    (axis,) = picture.axes
    for label, colour in zip(VARIANTS, COLOURS, strict=False):
        assert lines(axis, colour) == [
            [(row["update"], row["clm_loss"]) for row in rows
             if (row["run"], row["split"]) == (label, split)] for split in ("train", "valid")
        ]  # fmt: skip
        for (x, y), inside in ((p, axis.get_xlim()) for line in lines(axis, colour) for p in line):
            assert inside[0] < x < inside[1] and axis.get_ylim()[0] < y < axis.get_ylim()[1]
    assert legend_of(axis) == list(VARIANTS)
    assert "nats" in axis.get_ylabel() and axis.get_xlabel() == "pretraining step"


def test_a_loss_that_is_no_number_leaves_a_hole_and_no_nan(tmp_path):
    def broken(update):
        return {"clm_loss": 7.0 if update <= 200 else math.nan}

    rows = figure("clm-loss", tmp_path / "a.png", log_of(tmp_path / "run", broken))
    assert max(int(row["update"]) for row in rows) == 200


def test_recall_of_both_masks_with_the_auc_beside_it(tmp_path):
    runs = [
        log_of(tmp_path / "iid", numbers(rtd_recall=(0, 0.2), rtd_auc=(0.5, 0.7))),
        log_of(tmp_path / "span", numbers(rtd_recall=(0, 0.5), rtd_auc=(0.5, 0.8)),
               "'mask_pattern': span"),
    ]  # fmt: skip
    rows = figure("rtd-recall", tmp_path / "b.png", *runs)
    last = {row["run"]: row for row in rows if row["split"] == "train"}
    assert {label: float(row["rtd_recall"]) for label, row in last.items()} == {
        "i.i.d. masks": 0.2, "span masks": 0.5,
    }  # fmt: skip
    assert float(last["span masks"]["rtd_auc"]) == 0.8


def test_the_picture_of_figure_3b_leaves_out_the_recall_of_the_start_alone(tmp_path):
    """At the start p = 0.5 everywhere and all tokens are called replaced: a recall of 1, unlearned."""

    def values(update):
        return {"rtd_recall": 0.05 if update else 1.0, "rtd_auc": 0.5 + update / 4000}

    rows, picture = drawn("rtd-recall", log_of(tmp_path / "iid", values))
    assert rows[-5]["rtd_recall"] == 1.0 and rows[-5]["update"] == 0
    recall, auc = (lines(axis, COLOURS[0]) for axis in picture.axes)
    assert [x for x, _ in recall[1]] == [100, 200, 300, 400]
    assert auc[1] == [(u, pytest.approx(0.5 + u / 4000)) for u in (0, 100, 200, 300, 400)]
    assert [len(each) for each in (recall[0], auc[0])] == [20, 20]
    assert picture.axes[0].get_ylim()[1] < 0.1 and picture.axes[0].get_ylim()[0] == 0
    assert legend_of(picture) == ["i.i.d. masks", "chance"]
    assert lines(picture.axes[1], "#2b2b2b")[0][0][1] == 0.5


def test_a_run_without_an_auc_is_in_the_legend_all_the_same(tmp_path):
    runs = [log_of(tmp_path / "old", numbers(rtd_recall=(0, 0.2))),
            log_of(tmp_path / "new", numbers(rtd_recall=(0, 0.2), rtd_auc=(0.5, 0.7)))]  # fmt: skip
    _, picture = drawn("rtd-recall", *(f"{run.name}={run}" for run in runs))
    assert legend_of(picture) == ["old", "new", "chance"]
    assert [len(lines(axis, COLOURS[0])) for axis in picture.axes] == [2, 0]


def test_a_run_of_which_only_the_start_is_known_is_drawn_all_the_same(tmp_path):
    rows = [{"run": "x", "split": "valid", "update": 0, "rtd_recall": 1.0, "rtd_auc": 0.5}]
    picture = rtd_recall.draw(rows, None)
    assert lines(picture.axes[0]) == [[(0, 1.0)]]


def test_a_log_without_auc_still_gives_recall(tmp_path):
    rows = figure(
        "rtd-recall", tmp_path / "b.png", log_of(tmp_path / "run", numbers(rtd_recall=(0, 0.2)))
    )
    assert {row["rtd_auc"] for row in rows} == {""}


def test_labels_are_the_users(tmp_path):
    run = log_of(tmp_path / "run", numbers(clm_loss=(7, 3)))
    rows = figure("clm-loss", tmp_path / "a.png", f"ours={run}")
    assert {row["run"] for row in rows} == {"ours"}


@pytest.mark.parametrize("module, name", [(clm_loss, "clm-loss"), (rtd_recall, "rtd-recall")])
def test_a_log_of_another_task_is_one_line(tmp_path, module, name):
    run = log_of(tmp_path / "run", numbers(lm_loss=(7, 3)))
    with pytest.raises(UserError, match="--task metro_t5") as error:
        figure(name, tmp_path / "a.png", run)
    assert "\n" not in str(error.value) and not list(tmp_path.glob("*.*"))


def test_two_runs_of_one_name_are_refused(tmp_path):
    runs = [log_of(tmp_path / name, numbers(clm_loss=(7, 3))) for name in "ab"]
    with pytest.raises(UserError, match="two series are called 'RTD on encoder'"):
        figure("clm-loss", tmp_path / "a.png", *runs)
