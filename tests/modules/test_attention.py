import math

import pytest
import torch
from torch import nn

from fairseq_metro.modules.attention import attention
from fairseq_metro.modules.transformer import CrossAttention, SelfAttention
from tests.torch_twins import copy_into_torch, randomize


def slow_attention(q, k, v, bias=None, padding=None, causal=False):
    """Loops in float64."""
    batch, heads, length, dim = q.shape
    out = torch.zeros_like(q)
    for b in range(batch):
        for h in range(heads):
            for i in range(length):
                scores, values = [], []
                for j in range(k.size(2)):
                    if (causal and j > i) or (padding is not None and padding[b, j]):
                        continue
                    score = float(q[b, h, i] @ k[b, h, j]) / math.sqrt(dim)
                    scores.append(score + (0 if bias is None else float(bias[h, i, j])))
                    values.append(v[b, h, j])
                top = max(scores)
                weights = [math.exp(s - top) for s in scores]
                for w, value in zip(weights, values, strict=True):
                    out[b, h, i] += w / sum(weights) * value
    return out


@pytest.mark.parametrize(
    "with_bias, with_padding, causal",
    [
        (False, False, False),
        (True, False, False),
        (False, True, False),
        (True, True, False),
        (False, False, True),  # the decoder's own attention has neither bias nor padding
    ],
)
def test_attention_equals_a_loop_in_float64(with_bias, with_padding, causal):
    torch.manual_seed(1)
    q, k, v = (torch.randn(2, 3, 5, 4, dtype=torch.float64) for _ in range(3))
    bias = torch.randn(3, 5, 5, dtype=torch.float64) if with_bias else None
    padding = torch.tensor([[0, 0, 0, 0, 0], [0, 0, 0, 1, 1]]).bool() if with_padding else None
    ours = attention(q, k, v, bias=bias, key_padding_mask=padding, causal=causal)
    torch.testing.assert_close(ours, slow_attention(q, k, v, bias, padding, causal))


def test_a_row_of_padding_only_stays_finite():
    q, k, v = (torch.randn(2, 1, 3, 4, requires_grad=True) for _ in range(3))
    padding = torch.tensor([[True] * 3, [False] * 3])
    bias = torch.zeros(1, 3, 3)
    out = attention(q, k, v, bias=bias, key_padding_mask=padding)
    out.sum().backward()
    assert torch.isfinite(out).all() and torch.isfinite(q.grad).all()


def test_self_attention_equals_torchs_with_copied_weights():
    torch.manual_seed(2)
    ours = randomize(SelfAttention(12, 3, 0.1))
    theirs = copy_into_torch(ours, 12)
    x, bias = torch.randn(2, 6, 12), torch.randn(3, 6, 6)
    padding = torch.tensor([[0] * 6, [0, 0, 0, 0, 1, 1]]).bool()
    mask = bias.repeat(2, 1, 1) + torch.zeros(2, 3, 6, 6).masked_fill(
        padding[:, None, None, :], -math.inf
    ).flatten(0, 1)
    expected = theirs(x, x, x, attn_mask=mask, need_weights=False)[0]
    torch.testing.assert_close(ours(x, bias, padding), expected, rtol=1e-5, atol=1e-5)


def test_cross_attention_equals_torchs_with_copied_weights():
    torch.manual_seed(3)
    ours = randomize(CrossAttention(12, 3, 0.1))
    theirs = copy_into_torch(ours, 12)
    x, states = torch.randn(2, 4, 12), torch.randn(2, 7, 12)
    padding = torch.tensor([[0] * 7, [0, 0, 0, 0, 1, 1, 1]]).bool()
    expected = theirs(x, states, states, key_padding_mask=padding, need_weights=False)[0]
    torch.testing.assert_close(ours(x, states, padding), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("module, causal", [(SelfAttention, True), (CrossAttention, False)])
def test_causal_and_cross_attention_reach_torchs_fused_function(monkeypatch, module, causal):
    calls = []
    stock = nn.functional.scaled_dot_product_attention

    def spy(*args, **kwargs):
        calls.append(kwargs)
        return stock(*args, **kwargs)

    monkeypatch.setattr(nn.functional, "scaled_dot_product_attention", spy)
    layer = module(8, 2, 0.5).train().double()  # on a CPU, float32 with dropout goes another way
    x, states = torch.randn(2, 3, 8).double(), torch.randn(2, 5, 8).double()
    layer(x, causal=True) if causal else layer(x, states)
    assert len(calls) == 1
    assert calls[0]["is_causal"] is causal and calls[0]["dropout_p"] == 0.5
    assert calls[0]["attn_mask"] is None
