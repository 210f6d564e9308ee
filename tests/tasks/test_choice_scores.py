"""tasks/choice_scores.py beside fairseq's meters, which outlive a split."""

from types import SimpleNamespace

import pytest
import torch
from fairseq.logging import metrics

from fairseq_metro.tasks.choice_scores import SUMS, SplitScores


def split_scores(split, n_tasks):
    tasks = [
        SimpleNamespace(name=f"{split}_{i}", dataset=f"set {i}", template="one", choices=True)
        for i in range(n_tasks)
    ]
    return SplitScores(split, tasks)


@pytest.fixture(autouse=True)
def own_meters():
    metrics.reset()
    yield
    metrics.reset()


def test_splits_with_different_numbers_of_tasks_are_summed_apart():
    found = {}
    for split, n_tasks in (("valid", 3), ("heldout", 2)):
        scores = split_scores(split, n_tasks)
        with metrics.aggregate(new_root=True) as own:
            for _ in range(2):  # batches; fairseq's trainer names its aggregator for all splits
                with metrics.aggregate("valid"):
                    scores.log([{name: torch.ones(n_tasks).double() for name in SUMS}])
        assert scores.logged(own)
        found[split] = scores.summary(own, 0)
    assert not split_scores("other", 1).logged(own)
    assert [len(found[split]["tasks"]) for split in ("valid", "heldout")] == [3, 2]
    assert found["heldout"]["tasks"]["heldout_1"]["examples"] == 2
