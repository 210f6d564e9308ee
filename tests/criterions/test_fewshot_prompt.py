"""Losses over label words against loops in float64."""

import math

import pytest
import torch

from fairseq_metro.criterions.fewshot_prompt import label_losses, predictions


def test_cross_entropy_over_label_words_equals_a_loop_in_float64():
    torch.manual_seed(0)
    scores, target = torch.randn(7, 3) * 4, torch.tensor([0, 1, 2, 2, 1, 0, 0])
    expected = []
    for row, right in zip(scores.double().tolist(), target.tolist(), strict=True):
        expected.append(math.log(sum(math.exp(s) for s in row)) - row[right])
    assert label_losses(scores, target).tolist() == pytest.approx(expected, rel=1e-5, abs=1e-6)
    assert predictions(scores).tolist() == [row.index(max(row)) for row in scores.tolist()]


@pytest.mark.parametrize("regression", ["gold", "pred", "lmbff"])
def test_scores_at_the_bounds_have_finite_losses_and_gradients(regression):
    scores = torch.tensor([[3.0, -40.0], [-40.0, 3.0], [0.0, 0.0]], requires_grad=True)
    losses = label_losses(scores, torch.tensor([0.0, 5.0, 5.0]), (0, 5), regression)
    losses.sum().backward()
    assert losses.isfinite().all() and scores.grad.isfinite().all()
    found = predictions(scores, (0, 5)).tolist()
    assert found == pytest.approx([0, 5, 2.5], abs=1e-5)


def test_the_verbalizer_kl_equals_a_loop_and_is_least_at_gold():
    gold, u = 1.5, 5.0
    q = (1 - gold / u, gold / u)
    for difference in (-2.0, 0.0, math.log(q[1] / q[0]), 1.0):
        high = 1 / (1 + math.exp(-difference))
        expected = sum(a * math.log(a / b) for a, b in zip(q, (1 - high, high), strict=True))
        scores = torch.tensor([[0.0, difference]])
        loss = label_losses(scores, torch.tensor([gold]), (0, 5))
        assert loss.item() == pytest.approx(expected, abs=1e-6)
