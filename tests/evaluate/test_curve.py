"""evaluate/curve.py and model_source.py: checkpoints in the order of their updates."""

import json

import torch

from fairseq_metro.evaluate.curve import evaluate_checkpoints
from fairseq_metro.evaluate.model_source import checkpoints_of, model_facts


def checkpoint(path, updates):
    torch.save({"cfg": {"model": {"_name": "x"}}, "model": {"w": torch.zeros(1)}, "task_state": {},
                "extra_state": {"train_iterator": {"epoch": 1}},
                "optimizer_history": [{"num_updates": updates}]}, path)  # fmt: skip


def test_checkpoints_come_by_updates_and_the_last_only_where_it_is_new(tmp_path):
    names = {"checkpoint_1_30.pt": 30, "checkpoint_2_200.pt": 200, "checkpoint_last.pt": 250,
             "checkpoint_best.pt": 30, "checkpoint3.pt": 240}  # fmt: skip
    for name, updates in names.items():
        checkpoint(tmp_path / name, updates)
    found = [(updates, path.name) for updates, path in checkpoints_of(tmp_path)]
    assert found == [(30, "checkpoint_1_30.pt"), (200, "checkpoint_2_200.pt"),
                     (240, "checkpoint3.pt"), (250, "checkpoint_last.pt")]  # fmt: skip
    checkpoint(tmp_path / "checkpoint_last.pt", 240)
    assert [path.name for _, path in checkpoints_of(tmp_path)][-1] == "checkpoint3.pt"
    facts = [model_facts(tmp_path / name) for name in ("checkpoint_last.pt", "checkpoint_1_30.pt")]
    assert facts[0]["sha256"] == model_facts(tmp_path)["sha256"] != facts[1]["sha256"]


def test_a_curve_has_a_point_for_each_checkpoint(tmp_path):
    for updates in (10, 20):
        checkpoint(tmp_path / f"checkpoint_1_{updates}.pt", updates)
    checkpoint(tmp_path / "checkpoint_last.pt", 20)

    def evaluate(path, out):
        value = 0.5 if "10" in path.name else 0.75
        out.mkdir(parents=True)
        sets = [{"label": "Kind", "mean": value - 0.1}, {"label": "Pick", "mean": value + 0.1}]
        return {
            "suites": [{"name": "toys", "title": "Toys", "mean": value, "se": 0.02, "sets": sets}]
        }

    out = tmp_path / "out"
    evaluate_checkpoints(tmp_path, out, evaluate)
    points = json.loads((out / "curve.json").read_text())
    assert [point["updates"] for point in points] == [10, 20]
    assert points[1]["suites"]["toys"]["sets"] == {"Kind": 0.65, "Pick": 0.85}
    assert "| 20 | 65.00 % | 85.00 % | 75.00 % | 2.00 |" in (out / "curve.md").read_text()
    assert (out / "toys_curve.png").stat().st_size > 5000
    assert (out / "checkpoint_1_10").is_dir() and (out / "checkpoint_1_20").is_dir()


def test_a_curve_without_values_shows_no_picture(tmp_path):
    checkpoint(tmp_path / "checkpoint_1_10.pt", 10)

    def evaluate(path, out):
        sets = [{"label": "Kind", "mean": None}]
        return {
            "suites": [{"name": "toys", "title": "Toys", "mean": None, "se": None, "sets": sets}]
        }

    (tmp_path / "out").mkdir()
    evaluate_checkpoints(tmp_path, tmp_path / "out", evaluate)
    text = (tmp_path / "out" / "curve.md").read_text()
    assert "| 10 |  |  |  |" in text and "png" not in text
    assert not list((tmp_path / "out").glob("*.png"))
