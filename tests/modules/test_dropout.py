"""The CPU's dropout."""

import pytest
import torch

from fairseq_metro.modules.dropout import dropout


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_as_many_elements_are_dropped_as_asked_for(p, dtype):
    x = dropout(torch.ones(1000, 1001, dtype=dtype), p)
    n, kept = x.numel(), (x != 0).double().mean()
    assert abs(float(kept) - (1 - p)) < 4 * (p * (1 - p) / n) ** 0.5 + 2**-16
    assert x.unique().tolist() == pytest.approx([0, 1 / (1 - p)], rel=1e-2)


def test_elements_are_dropped_independently_of_their_neighbours():
    kept = dropout(torch.ones(1 << 20), 0.5) - 1
    for step in (1, 2, 3, 4, 8):
        assert abs((kept * kept.roll(step)).mean()) < 4 / kept.numel() ** 0.5


def test_gradients_are_dropped_with_their_elements_and_the_generator_decides():
    x = torch.rand(7, 3, requires_grad=True)
    torch.manual_seed(3)
    y = dropout(x, 0.4)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(gradient * x, y)
    torch.manual_seed(3)
    assert torch.equal(dropout(x, 0.4), y) and not torch.equal(dropout(x, 0.4), y)


def test_nothing_is_dropped_outside_training_or_at_zero():
    x = torch.rand(5)
    assert dropout(x, 0.5, training=False) is x and dropout(x, 0.0) is x
    assert dropout(torch.empty(0, 3), 0.5).shape == (0, 3)
    assert torch.isfinite(dropout(x, 0.999999)).all()
