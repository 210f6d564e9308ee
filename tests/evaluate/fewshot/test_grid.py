"""Which run counts, which file a split is read from, and which device a process is given."""

import dataclasses

import pytest

from fairseq_metro.common.errors import UserError
from fairseq_metro.evaluate.fewshot import grid, runs
from fairseq_metro.evaluate.fewshot.cells import PROMPT, ZERO_SHOT, Cell
from fairseq_metro.evaluate.fewshot.command import _devices
from fairseq_metro.evaluate.fewshot.loaded import shared
from fairseq_metro.evaluate.fewshot.report import chosen_on_dev, summarize
from fairseq_metro.smash.tasks import load_task


def result(seed, dev, test, lr=0.1):
    return {
        "model": "m", "row": PROMPT, "k": 4, "task": "sst2", "seed": seed, "dev": dev, "lr": lr,
        "key": f"{seed}-{lr}", "test": {"SST-2": {"value": test, "rows": 9}}, "test_rows": 0,
    }  # fmt: skip


def test_of_equal_runs_on_dev_the_first_of_the_grid_counts():
    runs = [result(13, [0.5, 0.75], 0.1, 1), result(13, [0.75], 0.9, 2), result(13, [0.7], 1.0, 3)]
    assert [run["lr"] for run in chosen_on_dev(runs)] == [1]
    assert [run["lr"] for run in chosen_on_dev(runs[1:] + runs[:1])] == [2]


def test_the_table_is_of_the_chosen_run_of_each_split():
    runs = [result(13, [0.5], 0.2, 1), result(13, [0.75], 0.4, 2), result(21, [0.9], 0.8, 1)]
    (line,) = summarize(runs, {"sst2": load_task("sst2")})
    assert line["mean"] == pytest.approx(60) and line["std"] == pytest.approx(20)  # of population
    assert line["splits"] == 2 and line["runs"] == 3


def test_the_teacher_is_its_best_run_of_the_same_split():
    runs = {run["key"]: run for run in (result(13, [0.5], 0, 1), result(13, [0.75], 0, 2))}
    cell = Cell("kd", "m", "w", "sst2", 4, 13, "f", "d", teachers=tuple(runs))
    assert grid._teacher(cell, runs) == "13-2"
    assert grid._teacher(Cell(PROMPT, "m", "w", "sst2", 4, 13, "f", "d"), runs) is None


def test_a_file_is_read_once_for_all_folders_that_hold_the_same(tmp_path):
    folders = [tmp_path / name for name in "abc"]
    for folder, train in zip(folders, "xyx", strict=True):
        folder.mkdir()
        (folder / "test.tsv").write_text("the same")
        (folder / "train.tsv").write_text(train)
    a, b, c = map(str, folders)
    assert [shared("t", folder, "test") for folder in (a, b, c)] == [a, a, a]
    assert [shared("t", folder, "train") for folder in (a, b, c)] == [a, b, a]
    assert [shared("t", folder, "dev") for folder in (a, b)] == [a, b]  # no such file: no guess
    assert shared("other", b, "test") == b


def test_processes_get_devices_in_turn(monkeypatch):
    class Turn:
        value = 0

        def get_lock(self):
            import contextlib

            return contextlib.nullcontext()

    turn, seen = Turn(), []
    for _ in range(3):
        grid._begin(turn, ["cuda:0", "cuda:1"])
        seen.append(grid._device)
    monkeypatch.setattr(grid, "_device", "cpu")
    assert seen == ["cuda:0", "cuda:1", "cuda:0"]


def test_gpus_are_used_where_there_are_any(monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert _devices(None) == _devices("cuda") == ["cuda:0", "cuda:1"] and _devices("cpu") == ["cpu"]
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    assert _devices(None) == ["cpu"]
    with pytest.raises(UserError, match="no GPU is seen here"):
        _devices("cuda")


def test_without_training_splits_of_the_same_tests_are_answered_once(model, splits, monkeypatch):
    asked = []

    def counted(*arguments):
        asked.append(arguments)
        return metric_of(*arguments)

    metric_of = runs.metric_of
    monkeypatch.setattr(runs, "metric_of", counted)
    monkeypatch.setattr(runs, "_zero_shot", {})
    kshot = splits / "kshot" / "SST-2"
    folders = {("sst2", 4, seed): kshot / f"4-{seed}" for seed in (13, 21)}
    wanted = grid.Grid(rows=(ZERO_SHOT,), steps={4: 1}, lrs=(0.1,), batches=(2,))
    first, second = (runs.run_cell(cell) for cell in grid.plan(wanted, [model], folders))
    assert len(asked) == 1
    assert first["test"] == second["test"] and first["key"] != second["key"]
    fewer = dataclasses.replace(wanted, test_rows=3)
    runs.run_cell(grid.plan(fewer, [model], folders)[0])
    assert len(asked) == 2
