"""Figures 1/8, 4 and 5 from hand-made results and logs: every point, against plain arithmetic."""

import json
import statistics
from types import SimpleNamespace

import pytest

from fairseq_metro.analysis.figures import efficiency, scores
from fairseq_metro.analysis.figures.efficiency import running_totals
from fairseq_metro.analysis.figures.plotting import COLOURS
from fairseq_metro.analysis.log import read_log
from fairseq_metro.common.errors import UserError
from tests.analysis.figures.samples import drawn, figure, legend_of, lines, log_of, results

OURS = {
    "super_glue/rte": {"GPT-3 style": 0.5, "can we infer": 0.6, "must be true": 0.8},
    "super_glue/cb": {"GPT-3 style": 0.3, "can we infer": 0.4},
    "toy/kinds": {"is_it": 0.9},
}
THEIRS = {
    "super_glue/rte": {"GPT-3 style": 0.55, "can we infer": 0.45},
    "super_glue/cb": {"GPT-3 style": 0.35, "can we infer": 0.25},
}


@pytest.fixture
def folders(tmp_path):
    return results(tmp_path / "ours", OURS), results(tmp_path / "theirs", THEIRS)


def test_a_point_for_each_template_and_a_median_for_each_model(tmp_path, folders):
    ours, theirs = folders
    words = [f"A={ours}", f"B={theirs}", "--reference", f"C={theirs}", "--published", "t0/t0-3b"]
    rows = figure("templates", tmp_path / "a.png", *words)
    points = {(r["model"], r["task"], r["template"]): float(r["accuracy"]) for r in rows
              if r["kind"] == "template"}  # fmt: skip
    names = {"super_glue/rte": "RTE", "super_glue/cb": "CB", "toy/kinds": "TOY/KINDS"}
    assert points == {
        (model, names[task], template): value
        for model, values in (("A", OURS), ("B", THEIRS))
        for task, templates in values.items()
        for template, value in templates.items()
    }
    medians = {(r["model"], r["task"]): float(r["accuracy"]) for r in rows
               if r["kind"] == "median"}  # fmt: skip
    assert medians["A", "RTE"] == 0.6 and medians["A", "CB"] == pytest.approx(0.35)
    reference = {r["task"]: float(r["accuracy"]) for r in rows if r["kind"] == "reference median"}
    assert reference == pytest.approx({"RTE": 0.5, "CB": 0.3})
    published = {r["task"]: float(r["accuracy"]) for r in rows if r["kind"] == "published mean"}
    assert published == {"RTE": 0.6455, "CB": 0.4536}  # METRO-T0, table 2, T0 3B


def test_the_picture_of_templates_shows_every_point_median_and_reference(folders):
    ours, theirs = folders
    words = [f"A={ours}", f"B={theirs}", "--reference", f"C={theirs}", "--published", "t0/t0-3b"]
    _, picture = drawn("templates", *words)
    panels = {axis.get_title(): axis for axis in picture.axes if axis.get_visible()}
    assert list(panels) == ["RTE", "CB", "TOY/KINDS"]
    expected = {"RTE": [(OURS["super_glue/rte"], 0.6), (THEIRS["super_glue/rte"], 0.5)],
                "CB": [(OURS["super_glue/cb"], 0.35), (THEIRS["super_glue/cb"], 0.3)],
                "TOY/KINDS": [(OURS["toy/kinds"], 0.9), ({}, None)]}  # fmt: skip
    for task, models in expected.items():
        for colour, (templates, median) in zip(COLOURS, models, strict=False):
            points, bar = lines(panels[task], colour) or [[], []]
            assert [y for _, y in points] == pytest.approx([100 * v for v in templates.values()])
            assert len({x for x, _ in points}) == len(templates)  # side by side
            assert [y for _, y in bar] == pytest.approx([100 * median] * 2 if templates else [])
            for x, y in points:
                low, high = panels[task].get_ylim()
                assert bar[0][0] < x < bar[1][0] and low < y < high
    reference, published = lines(panels["RTE"], "#2b2b2b")
    assert (reference[0][1], published[0][1]) == pytest.approx((50.0, 64.55))
    assert legend_of(picture) == ["A", "B", "C", "T0 3B (published mean)"]
    assert "medians" in picture.legends[0].get_title().get_text()


def test_one_panel_too_many_is_hidden(tmp_path):
    ours = results(tmp_path / "five", {f"toy/{c}": {"a": 0.5} for c in "vwxyz"})
    _, picture = drawn("templates", ours)
    assert [axis.get_visible() for axis in picture.axes] == [True] * 5 + [False] * 3
    assert all(lines(axis) for axis in picture.axes[:5])


def test_bars_are_means_with_the_standard_deviation_over_templates(tmp_path, folders):
    ours, theirs = folders
    words = [f"A={ours}", f"B={theirs}", "--published", "t0++/metro-large++"]
    rows = figure("task-bars", tmp_path / "a.png", *words)
    found = {(r["model"], r["task"]): (float(r["accuracy"]), float(r["std"])) for r in rows}
    values = list(OURS["super_glue/rte"].values())
    mean = sum(values) / 3
    spread = (sum((v - mean) ** 2 for v in values) / 2) ** 0.5
    assert found["A", "RTE"] == pytest.approx((mean, spread), rel=1e-5)
    assert found["A", "TOY/KINDS"] == (0.9, 0.0)
    # Of the tasks that all three have: TOY/KINDS is A's alone.
    assert found["A", "mean"][0] == pytest.approx((mean + 0.35) / 2, rel=1e-5)
    assert found["METRO-T0++ large++ (published mean)", "mean"][0] == pytest.approx(0.7928)
    assert found["METRO-T0++ large++ (published mean)", "CB"] == (0.7488, 0.0)
    assert len(found) == 4 + 3 + 3


def test_the_picture_of_bars_shows_every_mean_and_error_bar(folders):
    ours, theirs = folders
    rows, picture = drawn("task-bars", f"A={ours}", f"B={theirs}", "--published", "t0/t0-3b")
    (axis,) = picture.axes
    ticks = dict(
        zip((t.get_text() for t in axis.get_xticklabels()), axis.get_xticks(), strict=True)
    )
    assert list(ticks) == ["RTE", "CB", "TOY/KINDS", "mean of 2"]
    shown = {}
    models = list(dict.fromkeys(row["model"] for row in rows))
    bars = [each for each in axis.containers if each.get_label() in models]
    for model, container in zip(models, bars, strict=True):
        for patch in container:
            middle = patch.get_x() + patch.get_width() / 2
            task = min(ticks, key=lambda name: abs(ticks[name] - middle))
            shown[model, task.replace("mean of 2", "mean")] = patch.get_height() / 100
    assert shown == pytest.approx({(r["model"], r["task"]): r["accuracy"] for r in rows})
    spans = [segment[:, 1] for each in axis.collections for segment in each.get_segments()]
    expected = [
        100 * (r["accuracy"] + sign * r["std"]) for r in rows if r["std"] for sign in (-1, 1)
    ]
    assert [y for span in spans for y in span] == pytest.approx(expected) and len(spans) == 4
    assert axis.get_ylim() == (0, 100) and legend_of(picture) == models


def test_models_without_a_task_in_common_have_no_mean(tmp_path, capsys):
    words = [f"{c}={results(tmp_path / c, {f'toy/{c}': {'a': 0.5, 'b': 0.7}})}" for c in "xy"]
    rows = figure("task-bars", tmp_path / "a.png", *words)
    assert [(row["model"], row["task"]) for row in rows] == [("x", "TOY/X"), ("y", "TOY/Y")]
    assert "no task that all models have" in capsys.readouterr().out


def test_a_published_row_without_any_of_the_tasks_is_one_line(tmp_path):
    ours = results(tmp_path / "ours", {"toy/x": {"a": 0.5}})
    for name in ("task-bars", "templates"):
        with pytest.raises(UserError, match="t0/t0-3b: none of TOY/X is in it"):
            drawn(name, ours, "--published", "t0/t0-3b")


def test_every_published_row_averages_to_what_the_paper_prints():
    for row in scores._published()["rows"]:
        assert statistics.fmean(row["values"]) == pytest.approx(row["mean"], abs=0.007), row["id"]
        assert scores.published_row(row["id"])[1]["RTE"] == row["values"][0] / 100


def test_scores_of_prompt_finetuning_are_read(tmp_path):
    path = tmp_path / "heldout_400.json"
    tasks = {
        "rte_a": {"dataset": "super_glue/rte", "template": "a", "accuracy": 0.5, "examples": 9},
        "free": {"dataset": "toy/free", "template": "b", "accuracy": None, "examples": 9},
    }
    path.write_text(json.dumps({"tasks": tasks}))
    assert scores.read_scores(path) == [scores.Score("RTE", "a", 0.5, 9)]


@pytest.mark.parametrize("name", ["t0/t0-2b", "nonsense"])
def test_an_unknown_published_row_is_one_line(tmp_path, folders, name):
    with pytest.raises(UserError, match=f"no published row '{name}'") as error:
        figure("templates", tmp_path / "a.png", folders[0], "--published", name)
    assert "\n" not in str(error.value)


def test_a_folder_without_results_says_what_to_give(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no accuracy of any template; give a folder"):
        figure("task-bars", tmp_path / "a.png", tmp_path / "empty")


# Figure 4


def clocked(update):
    return {"clm_loss": 5.0, "wall": 100.0 + 2 * update, "wpb": 1000.0 + update}


def test_time_and_tokens_up_to_an_update_are_those_of_a_loop(tmp_path):
    log = read_log(log_of(tmp_path / "run", clocked) / "train.log", running_totals)
    for update in (20, 30, 400):
        seconds, tokens = efficiency.spent(log, update, "run")
        expected, done = 0.0, 0
        for end in range(20, 401, 20):
            steps = min(20, update - done)
            if steps <= 0:
                break
            expected, done = expected + (1000 + end) * steps, done + steps
        assert tokens == pytest.approx(expected, abs=1e-6)
        wall = 100 + 2 * update if update > 20 else 140
        assert seconds == pytest.approx(wall)


def test_a_resumed_run_counts_both_processes_and_no_pause(tmp_path):
    """A clock that was lost: 400 updates in one process, then 400 more on a clock from 0."""
    folder = log_of(tmp_path / "run", lambda update: {"wall": 1.0 * update, "wpb": 10.0})
    later = log_of(tmp_path / "later", lambda update: {"wall": update - 400.0, "wpb": 10.0},
                   first=401, last=800)  # fmt: skip
    with open(folder / "train.log", "a") as stream:
        stream.write((later / "train.log").read_text())
    seconds, tokens = efficiency.spent(read_log(folder / "train.log", running_totals), 800, "run")
    assert (seconds, tokens) == (800.0, 8000.0)


def test_a_log_that_ends_too_early_is_one_line(tmp_path):
    log = read_log(log_of(tmp_path / "run", clocked) / "train.log", running_totals)
    with pytest.raises(UserError, match="its log ends at update 400, before 500"):
        efficiency.spent(log, 500, "run")
    # The last updates come after the last line, at its speed.
    before, last = log.train[-2:]
    beyond = last.update + 0.4 * (last.update - before.update)
    later = [last.values[key] + 0.4 * (last.values[key] - before.values[key])
             for key in ("seconds", "tokens")]  # fmt: skip
    assert efficiency.spent(log, beyond, "run") == pytest.approx(later)


def test_points_of_figure_4(tmp_path, folders, monkeypatch):
    monkeypatch.setattr(efficiency, "flops_of", lambda run: 7.0)
    run = log_of(tmp_path / "run", clocked)
    words = ["--series", "METRO-T5", run, f"400={folders[0]}", f"200={folders[1]}"]
    rows = figure("efficiency", tmp_path / "a.png", *words, "--series", "T5", run,
                  f"400={folders[1]}")  # fmt: skip
    found = {(row["series"], int(row["update"])): row for row in rows}
    assert list(found) == [("METRO-T5", 200), ("METRO-T5", 400), ("T5", 400)]
    assert float(found["METRO-T5", 200]["score"]) == pytest.approx((0.5 + 0.3) / 2)
    # TOY/KINDS is in one of the results alone, and so in no mean.
    assert float(found["METRO-T5", 400]["score"]) == pytest.approx((1.9 / 3 + 0.35) / 2, 1e-5)
    assert float(found["T5", 400]["hours"]) == pytest.approx(900 / 3600, 1e-5)
    for row in rows:
        assert float(row["flops"]) == pytest.approx(7 * float(row["tokens"]), rel=1e-5)


def test_the_picture_of_figure_4_has_every_checkpoint_on_both_axes(tmp_path, folders, monkeypatch):
    monkeypatch.setattr(efficiency, "flops_of", lambda run: 7.0)
    run = log_of(tmp_path / "run", clocked)
    words = ["--series", "A", run, f"400={folders[0]}", f"200={folders[1]}", "--series", "B", run,
             f"400={folders[1]}"]  # fmt: skip
    rows, picture = drawn("efficiency", *words)
    for axis, name in zip(picture.axes, ("hours", "flops"), strict=True):
        assert [line for colour in COLOURS[:2] for line in lines(axis, colour)] == [
            [
                pytest.approx((row[name], 100 * row["score"]))
                for row in rows
                if row["series"] == label
            ]
            for label in "AB"
        ]
        assert [text.get_text() for text in axis.texts] == ["200", "400", "400"]
    assert "hours" in picture.axes[0].get_xlabel() and "FLOPs" in picture.axes[1].get_xlabel()
    assert legend_of(picture.axes[0]) == ["A", "B"]


def test_results_without_a_task_in_common_are_one_line(tmp_path):
    words = [
        f"{i}={results(tmp_path / c, {f'toy/{c}': {'a': 0.5}})}" for i, c in ((1, "x"), (2, "y"))
    ]
    with pytest.raises(UserError, match="no task that all of"):
        drawn("efficiency", "--series", "A", tmp_path, *words)


def test_flops_of_a_run_are_the_planners(tmp_path, monkeypatch):
    cfg = SimpleNamespace(
        task=SimpleNamespace(_name="metro_t5", mask_prob=0.2, tokens_per_sample=64,
                             clm_positions="all"),
        model="model",
    )  # fmt: skip
    task = SimpleNamespace(source_dictionary=range(50))
    asked = {}

    def planned(*words, **details):
        asked.update(words=words, details=details)
        return 3.0

    monkeypatch.setattr(efficiency, "find_checkpoint", lambda run: run)
    monkeypatch.setattr(efficiency, "open_checkpoint", lambda path: (cfg, task, None, None))
    monkeypatch.setattr(efficiency, "flops_per_token", planned)
    assert efficiency.flops_of("run") == 3.0
    assert asked == {"words": ("metro_t5", "model", 64, 50),
                     "details": {"mask_prob": 0.2, "clm_share": 1.0}}  # fmt: skip


@pytest.mark.parametrize(
    "words, said",
    [(["A", "run"], "give the run and at least one"), (["A", "run", "x=y"], "must be UPDATE=")],
)
def test_a_series_that_cannot_be_read_is_one_line(tmp_path, words, said):
    with pytest.raises(UserError, match=said):
        figure("efficiency", tmp_path / "a.png", "--series", *words)
