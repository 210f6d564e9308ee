import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fairseq_metro.common.errors import UserError
from fairseq_metro.smash.regression import (
    LEAST_GOLD,
    gold_points,
    predicted_scores,
    regression_loss,
)

SCORES = torch.tensor([0.0, 0.4, 2.5, 3.7, 5.0])


def by_hand(logits, y, low, high, direction):
    """One example in float64: logits of the low and the high word."""
    largest = max(logits)
    scale = sum(math.exp(x - largest) for x in logits)
    log_p = [x - largest - math.log(scale) for x in logits]
    q = [(high - y) / (high - low), (y - low) / (high - low)]
    if direction == "gold":
        return sum(a * (math.log(a) - b) for a, b in zip(q, log_p, strict=True) if a > 0)
    if direction == "pred":
        q = [min(max(a, LEAST_GOLD), 1 - LEAST_GOLD) for a in q]
        return sum(math.exp(b) * (b - math.log(a)) for a, b in zip(q, log_p, strict=True))
    return sum(math.exp(a) * (a - b) for a, b in zip(q, log_p, strict=True))


@pytest.mark.parametrize("direction", ["gold", "pred", "lmbff"])
@given(
    st.lists(
        st.tuples(st.floats(-20, 20), st.floats(-20, 20), st.floats(0, 5)), min_size=1, max_size=5
    )
)
def test_losses_are_those_of_a_loop(direction, rows):
    logits = torch.tensor([row[:2] for row in rows], dtype=torch.float32)
    scores = torch.tensor([row[2] for row in rows], dtype=torch.float32)
    found = regression_loss(logits, scores, 0, 5, direction)
    expected = [
        by_hand(pair, y, 0, 5, direction)
        for pair, y in zip(logits.double().tolist(), scores.double().tolist(), strict=True)
    ]
    torch.testing.assert_close(
        found.double(), torch.tensor(expected).double(), atol=2e-5, rtol=1e-5
    )


def test_torch_has_the_same_kl_and_lmbffs_flag():
    torch.manual_seed(1)
    logits, q = torch.randn(5, 2), gold_points(SCORES, 0, 5)
    log_p = logits.log_softmax(-1)
    kl = torch.nn.functional.kl_div(log_p, q, reduction="none").sum(-1)
    torch.testing.assert_close(regression_loss(logits, SCORES, 0, 5), kl)
    flag = torch.nn.functional.kl_div(log_p, q, reduction="none", log_target=True).sum(-1)
    torch.testing.assert_close(regression_loss(logits, SCORES, 0, 5, "lmbff"), flag)


@pytest.mark.parametrize(
    ("direction", "expected"),
    [
        ("gold", [0, 1, 2, 3, 4, 5]),
        ("pred", [0, 1, 2, 3, 4, 5]),
        ("lmbff", [1.345, 1.772, 2.251, 2.749, 3.228, 3.655]),
    ],
)
def test_each_loss_is_least_where_it_should_be(direction, expected):
    scores = torch.arange(6.0)
    logits = torch.zeros(6, 2, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([logits], max_iter=200, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = regression_loss(logits, scores, 0, 5, direction).sum()
        loss.backward()
        return loss

    for _ in range(5):
        optimizer.step(closure)
    found = predicted_scores(logits.detach(), 0, 5)
    torch.testing.assert_close(found, torch.tensor(expected).float(), atol=6e-3, rtol=0)


@pytest.mark.parametrize("direction", ["gold", "pred", "lmbff"])
def test_finite_at_the_ends_of_the_interval(direction):
    logits = torch.tensor([[40.0, -40.0], [-40.0, 40.0]], requires_grad=True)
    for scores in (torch.tensor([0.0, 0.0]), torch.tensor([5.0, 5.0])):
        loss = regression_loss(logits, scores, 0, 5, direction)
        (gradient,) = torch.autograd.grad(loss.sum(), logits)
        assert loss.isfinite().all() and gradient.isfinite().all()


def test_kl_is_zero_with_zero_gradient_at_the_gold_point_and_never_below():
    q = gold_points(SCORES[1:4], 0, 5)
    logits = q.log().requires_grad_()
    loss = regression_loss(logits, SCORES[1:4], 0, 5)
    (gradient,) = torch.autograd.grad(loss.sum(), logits)
    torch.testing.assert_close(loss, torch.zeros(3), atol=1e-6, rtol=0)
    torch.testing.assert_close(gradient, torch.zeros(3, 2), atol=1e-6, rtol=0)
    torch.manual_seed(0)
    assert (regression_loss(torch.randn(5, 2) * 5, SCORES, 0, 5) >= 0).all()


def test_predictions_stay_inside_and_rise_with_the_high_word():
    difference = torch.linspace(-30, 30, 61)
    logits = torch.stack([torch.zeros(61), difference], dim=-1)
    found = predicted_scores(logits, 1, 5)
    assert (found >= 1).all() and (found <= 5).all() and (found.diff() >= 0).all()
    assert found[30] == 3 and found[35] > found[30]


def test_low_precision_is_raised_before_the_softmax():
    logits = torch.tensor([[300.0, 299.0]])
    exact = regression_loss(logits, torch.tensor([4.0]), 0, 5)
    half = regression_loss(logits.bfloat16(), torch.tensor([4.0]), 0, 5)
    assert half.dtype == torch.float32
    torch.testing.assert_close(
        half, regression_loss(logits.bfloat16().float(), torch.tensor([4.0]), 0, 5)
    )
    assert exact.isfinite().all()


def test_wrong_scores_and_names_are_one_line():
    for bad in (5.1, -0.1, float("nan")):
        with pytest.raises(UserError, match="lies outside"):
            regression_loss(torch.zeros(1, 2), torch.tensor([bad]), 0, 5)
    with pytest.raises(UserError, match="must be one of gold, pred, lmbff"):
        regression_loss(torch.zeros(1, 2), torch.zeros(1), 0, 5, "kl")


def test_an_interval_that_does_not_begin_at_zero():
    scores = torch.tensor([1.0, 3.0, 5.0])
    assert gold_points(scores, 1, 5).tolist() == [[1, 0], [0.5, 0.5], [0, 1]]
