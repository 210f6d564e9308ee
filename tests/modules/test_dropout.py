"""The CPU's dropout, and attention with it, against torch's."""

import pytest
import torch
import torch.nn.functional as F

from fairseq_metro.modules import attention as module
from fairseq_metro.modules.attention import attention
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


@pytest.mark.parametrize("hidden", ["nothing", "padding", "causal", "bias", "bias and padding"])
def test_attention_that_drops_nothing_yet_is_torchs(hidden, monkeypatch):
    """The path of training on a CPU, with a dropout that leaves everything."""
    q, k, v = (torch.randn(2, 3, 5, 4, requires_grad=True) for _ in range(3))
    options = {}
    if "padding" in hidden:
        options["key_padding_mask"] = torch.tensor([[False] * 5, [False] * 3 + [True] * 2])
    if "bias" in hidden:
        options["bias"] = torch.randn(3, 5, 5, requires_grad=True)
    options["causal"] = hidden == "causal"
    leaves = [q, k, v, *([options["bias"]] if "bias" in options else [])]
    expected = attention(q, k, v, **options)
    monkeypatch.setattr(module, "drop", lambda x, p: x)
    ours = attention(q, k, v, **options, dropout=0.5)
    torch.testing.assert_close(ours, expected)
    d_out = torch.randn_like(ours)
    for a, b in zip(
        *(torch.autograd.grad(y, leaves, d_out) for y in (ours, expected)), strict=True
    ):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_attentions_dropout_is_of_its_weights():
    torch.manual_seed(0)
    q, k = torch.randn(2, 1, 2, 6, 4)
    v = torch.eye(6).expand(1, 2, 6, 6)  # the output is the weights themselves
    weights = (q @ k.transpose(-1, -2) / 2).softmax(-1)
    dropped = attention(q, k, v, dropout=0.5)
    kept = dropped != 0
    assert 0 < kept.sum() < kept.numel()
    torch.testing.assert_close(dropped[kept], 2 * weights[kept])
    assert F.mse_loss(attention(q, k, v), weights) < 1e-12
