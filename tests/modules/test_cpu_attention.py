"""Attention of training on a CPU, against the plain formula in float64."""

import pytest
import torch
from torch import nn

from fairseq_metro.modules import cpu_attention as module
from fairseq_metro.modules.attention import packed_attention
from fairseq_metro.modules.dropout import keep_scale
from fairseq_metro.modules.segments import OwnSegment

B, T, S, H, D = 2, 6, 4, 3, 5


def formula(query, memory, bias, hidden, kept, scale):
    """hidden, kept: bool, broadcast to (B, H, T, S)."""
    memory = query if memory is None else memory
    q, k, v = (x.transpose(1, 2) for x in (query[:, :, 0], memory[:, :, -2], memory[:, :, -1]))
    scores = q @ k.mT * scale
    scores = scores if bias is None else scores + bias
    weights = scores.masked_fill(hidden, torch.finfo(scores.dtype).min).softmax(-1)
    return (weights * kept @ v).transpose(1, 2)


PADDING = torch.tensor([[False] * T, [False] * 3 + [True] * 3])
SEGMENTS = torch.tensor([[1, 1, 1, 2, 2, 2], [1, 1, 2, 2, 2, 0]])
AHEAD = torch.ones(T, T, dtype=torch.bool).triu(1)
OWN = SEGMENTS[:, :, None] != SEGMENTS[:, None, :]
OWN[1, 5] = False  # padding sees everything, so that no row is without a key
USES = {
    "nothing hidden": ({}, AHEAD & False),
    "padding": (dict(key_padding_mask=PADDING), PADDING[:, None, None]),
    "causal": (dict(causal=True), AHEAD),
    "packed": (dict(visible=OwnSegment(SEGMENTS, SEGMENTS)), OWN[:, None]),
    "packed, causal": (
        dict(visible=OwnSegment(SEGMENTS, SEGMENTS, causal=True)), OWN[:, None] | AHEAD
    ),
}  # fmt: skip


@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize("scale", [None, 1.0])
@pytest.mark.parametrize("use", USES)
def test_output_and_gradients_equal_the_formula_in_float64(use, scale, with_bias, monkeypatch):
    options, hidden = USES[use]
    if use == "packed, causal":
        hidden = hidden.clone()
        hidden[1, :, 5] = AHEAD[5]
    query = torch.randn(B, T, 3, H, D)
    bias = torch.randn(H, T, T) if with_bias else None
    check(query, None, bias, hidden, options, scale, monkeypatch)


@pytest.mark.parametrize("padded", [False, True])
def test_cross_attention_too(padded, monkeypatch):
    query, memory = torch.randn(B, T, 1, H, D), torch.randn(B, S, 2, H, D)
    hidden = PADDING[:, None, None, 1 : 1 + S] if padded else torch.zeros(1, 1, 1, S).bool()
    options = dict(key_padding_mask=PADDING[:, 1 : 1 + S]) if padded else {}
    check(query, memory, None, hidden, options, None, monkeypatch)


def check(query, memory, bias, hidden, options, scale, monkeypatch, p=0.3):
    kept = torch.rand(B, H, T, (query if memory is None else memory).size(1)) < 1 - p

    def drawn(shape, dropout, dtype):
        assert dropout == p
        return kept.view(shape).to(dtype)

    monkeypatch.setattr(module, "kept_elements", drawn)
    leaves = [None if x is None else x.requires_grad_() for x in (query, memory, bias)]
    ours = packed_attention(*leaves[:2], bias=leaves[2], **options, dropout=p, scale=scale)
    exact = [None if x is None else x.detach().double().requires_grad_() for x in leaves]
    expected = formula(*exact, hidden, kept * keep_scale(p), scale or D**-0.5)
    torch.testing.assert_close(ours.double(), expected, rtol=1e-5, atol=1e-6)
    d_out = torch.randn(ours.shape)
    ours.backward(d_out)
    expected.backward(d_out.double())
    for a, b in zip(leaves, exact, strict=True):
        if a is not None:
            torch.testing.assert_close(a.grad.double(), b.grad, rtol=1e-4, atol=1e-5)


def test_a_bias_that_learns_without_dropout_comes_here_and_inference_does_not(monkeypatch):
    query, bias = torch.randn(B, T, 3, H, D), nn.Parameter(torch.randn(H, T, T))
    calls, apply = [], module._Attention.apply
    monkeypatch.setattr(module._Attention, "apply", lambda *a: calls.append(a) or apply(*a))
    ours = packed_attention(query, bias=bias)
    assert len(calls) == 1
    with torch.no_grad():
        torchs = packed_attention(query, bias=bias)
    packed_attention(query)
    packed_attention(query.double(), dropout=0.1)
    assert len(calls) == 1
    torch.testing.assert_close(ours, torchs)


def test_an_input_of_padding_only_stays_finite():
    query, bias = torch.randn(B, T, 3, H, D, requires_grad=True), torch.randn(H, T, T)
    padding = torch.tensor([[True] * T, [False] * T])
    out = packed_attention(query, bias=bias, key_padding_mask=padding, dropout=0.1)
    out.sum().backward()
    assert torch.isfinite(out).all() and torch.isfinite(query.grad).all()


def test_the_generator_decides_which_weights_are_dropped_and_the_backward_pass_drops_the_same():
    query = torch.randn(1, 6, 3, 2, 6)
    query[:, :, 2] = torch.eye(6)[:, None]  # the output is the weights themselves
    query.requires_grad_()
    weights = packed_attention(query).detach()
    torch.manual_seed(1)
    dropped = packed_attention(query, dropout=0.5)
    kept = dropped != 0
    assert 0 < kept.sum() < kept.numel()
    torch.testing.assert_close(dropped[kept], 2 * weights[kept])
    (gradient,) = torch.autograd.grad(dropped[0, 2, 1].sum(), query)
    seen = gradient[0, :, 2, 1].sum(-1) != 0  # values that query 2 of head 1 still sees
    assert torch.equal(seen, kept[0, 2, 1])
    torch.manual_seed(1)
    assert torch.equal(packed_attention(query, dropout=0.5), dropped)
    assert not torch.equal(packed_attention(query, dropout=0.5), dropped)
