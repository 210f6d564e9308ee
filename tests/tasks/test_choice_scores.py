"""tasks/choice_scores.py: means of means, choices without a winner, ragged examples."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from fairseq.logging import metrics

from fairseq_metro.data.prompted_batches import ChoiceBatch
from fairseq_metro.tasks.choice_scores import SUMS, SplitScores, choice_sums, mean_of_datasets
from tests import tiny


def task(name, dataset, choices=True):
    return SimpleNamespace(name=name, dataset=dataset, template=name, choices=choices or None)


@pytest.fixture(autouse=True)
def own_meters():
    metrics.reset()
    yield
    metrics.reset()


TASKS = [task("a1", "a"), task("a2", "a"), task("b1", "b"), task("c1", "c"), task("d", None)]


def outputs():
    """Two batches' worth of sums; nothing of c1 was scored."""
    rows = [[6, 2, 4, 3, 1], [2, 2, 2, 3, 1], [1, 4, 5, 0, 1], [2, 4, 10, 0, 1], [1, 2, 2, 0, 0.5]]
    tensors = [torch.tensor(row, dtype=torch.float64) for row in rows]
    whole = dict(zip(SUMS, tensors, strict=True))
    return [{name: value * share for name, value in whole.items()} for share in (0.25, 0.75)]


def logged():
    scores = SplitScores("valid", TASKS)
    with metrics.aggregate(new_root=True) as aggregate:
        for output in outputs():
            scores.log([output])
    return scores, aggregate


def test_every_template_and_then_every_data_set_counts_the_same():
    _, aggregate = logged()
    found = aggregate.get_smoothed_values()
    assert found["accuracy"] == pytest.approx(np.mean([np.mean([0.5, 1]), 0.5, 1]))
    assert found["chance"] == pytest.approx(np.mean([0.5, 0.2, 0.5]))
    assert found["task_loss"] == pytest.approx(np.mean([np.mean([3, 1]), 2, 1, 1]))


def test_the_file_has_every_task_and_mean(tmp_path):
    scores, aggregate = logged()
    path = scores.write(tmp_path, aggregate, 40)
    assert path == tmp_path / "scores" / "valid_40.json"
    found = json.loads(path.read_text())
    assert found["tasks"]["a2"] == {
        "dataset": "a", "template": "a2", "loss": 1, "accuracy": 1, "chance": 0.5, "examples": 4
    }  # fmt: skip
    assert found["tasks"]["c1"]["accuracy"] is None and found["tasks"]["c1"]["examples"] == 0
    assert found["datasets"]["a"] == {"loss": 2, "accuracy": 0.75, "chance": 0.5, "templates": 2}
    assert found["accuracy"] == pytest.approx(0.75) and found["num_updates"] == 40


def test_a_split_without_choices_has_losses_only():
    scores = SplitScores("valid", [task("a", "a", choices=False)])
    with metrics.aggregate(new_root=True) as aggregate:
        one = torch.ones(1, dtype=torch.float64)
        scores.log([{"task_loss": 3 * one, "task_tokens": one}])
    assert not scores.has_choices and aggregate.get_smoothed_values() == {"task_loss": 3}
    assert "accuracy" not in scores.summary(aggregate, 1)


def test_choices_are_counted_for_their_tasks():
    model = tiny.t5()
    arrays = lambda *rows: [np.array([*row, 2]) for row in rows]  # noqa: E731
    sources, choices = arrays([0, 5, 6], [0, 9], [0, 7]), [
        arrays([4], [5, 6]), arrays([4], [8], [9, 9]), arrays([6])
    ]  # fmt: skip
    found = {}
    for gold in range(3):
        batch = ChoiceBatch([2, 0, 0], sources, choices, [gold, gold, 0])
        sums = choice_sums(model, batch, 4, pad=1, decoder_start=2, max_tokens=None)
        assert sums["choice_scored"].tolist() == [2, 0, 1, 0]
        assert sums["choice_chance"].tolist() == pytest.approx([1 / 3 + 1, 0, 1 / 2, 0])
        found[gold] = sums["choice_hits"].tolist()
    # Exactly one choice of each wins; the single one of the third example always does.
    assert np.sum([found[gold] for gold in range(3)], 0).tolist() == [1 + 3, 0, 1, 0]


def test_a_batch_without_choices_adds_nothing():
    sums = choice_sums(
        tiny.t5(), ChoiceBatch([], [], [], []), 2, pad=1, decoder_start=2, max_tokens=9
    )
    assert all(value.tolist() == [0, 0] for value in sums.values())


def test_nothing_scored_has_no_mean():
    assert mean_of_datasets(["a"], np.zeros(1), np.zeros(1)) is None


def split_scores(split, n_tasks):
    tasks = [
        SimpleNamespace(name=f"{split}_{i}", dataset=f"set {i}", template="one", choices=True)
        for i in range(n_tasks)
    ]
    return SplitScores(split, tasks)


def test_splits_with_different_numbers_of_tasks_are_summed_apart():
    """And the same split after its data was built again, since a checkpoint keeps the meters."""
    found = {}
    for split, n_tasks in (("valid", 3), ("heldout", 2), ("valid", 4)):
        scores = split_scores(split, n_tasks)
        with metrics.aggregate(new_root=True) as own:
            for _ in range(2):  # batches; fairseq's trainer names its aggregator for all splits
                with metrics.aggregate("valid"):
                    scores.log([{name: torch.ones(n_tasks).double() for name in SUMS}])
        assert scores.logged(own)
        found[split] = scores.summary(own, 0)
    assert not split_scores("other", 1).logged(own)
    assert [len(found[split]["tasks"]) for split in ("valid", "heldout")] == [4, 2]
    assert found["heldout"]["tasks"]["heldout_1"]["examples"] == 2
