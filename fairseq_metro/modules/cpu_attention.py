"""Attention for training on a CPU in float32: torch's own has no kernel there with dropout or with a
bias that learns, and takes a dozen operations each way over the T x S weights.

Here scale, bias and mask are part of the matrix products, and the gradients of packed projections
are written where they belong.
"""

import functools

import torch
from torch.autograd.function import once_differentiable

from fairseq_metro.modules.dropout import keep_scale, kept_elements


def trains_on_cpu(query, bias, dropout):
    """Whether :func:`cpu_attention` is for these projections; without dropout or a bias that
    learns, in other precisions, and in what torch.compile reads, torch's own attention is."""
    if query.device.type != "cpu" or query.dtype != torch.float32 or torch.compiler.is_compiling():
        return False
    learns = bias is not None and bias.requires_grad and torch.is_grad_enabled()
    return dropout > 0 or learns


def cpu_attention(query, memory=None, *, bias=None, hidden=None, dropout=0.0, scale=None):
    """softmax(scale q k^T + bias + hidden) v, with dropout of the softmax.

    query (B, T, 3, H, D), or (B, T, 1, H, D) with memory (B, S, 2, H, D); bias (H, T, S), or
    (B, H, T, S), which may learn; hidden: of :func:`hidden_keys`. Returns (B, T, H, D). A query that
    sees no key gets finite values.
    """
    scale = query.size(-1) ** -0.5 if scale is None else scale
    return _Attention.apply(query, memory, bias, hidden, dropout, scale)


def hidden_keys(key_padding_mask=None, visible=None, causal=False, length=0):
    """What is added to the scores, broadcast to (B, H, T, S): 0 where a key is seen and float32's
    lowest number where not; None where all are. key_padding_mask (B, S) bool, True at padding;
    visible (B, T, S) bool; causal: query i sees keys 0..i of ``length``."""
    parts = []
    if causal:
        parts.append(_ahead(length))
    if key_padding_mask is not None:
        parts.append(_lowest_at(key_padding_mask[:, None, None, :]))
    if visible is not None:
        parts.append(_lowest_at(~visible.unsqueeze(1)))
    return functools.reduce(torch.minimum, parts) if parts else None


def _lowest_at(hidden):
    zero = torch.zeros(hidden.shape, dtype=torch.float32)
    return zero.masked_fill_(hidden, torch.finfo(torch.float32).min)


@functools.lru_cache(maxsize=8)
def _ahead(length):
    return _lowest_at(torch.ones(1, 1, length, length, dtype=torch.bool).triu(1))


def _parts(packed):
    """(B, T, n, H, D) -> n of (B * H, T, D), dense."""
    return packed.permute(2, 0, 3, 1, 4).contiguous().flatten(1, 2)


def _packed(parts, heads):
    """The counterpart of :func:`_parts`: n of (B * H, T, D) -> (B, T, n, H, D), a view."""
    return parts.unflatten(1, (-1, heads)).permute(1, 3, 0, 2, 4)


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx, query, memory, bias, hidden, dropout, scale):
        own = _parts(query)
        others = own if memory is None else _parts(memory)
        q, k, v = own[0], others[-2], others[-1]
        heads = query.size(3)
        scores = q.new_empty(query.size(0), heads, q.size(1), k.size(1))
        added = [x for x in (hidden, bias) if x is not None]
        if added:
            scores.copy_(added[0])
        if len(added) == 2:
            scores.add_(bias)
        scores = scores.flatten(0, 1).baddbmm_(q, k.mT, beta=float(bool(added)), alpha=scale)
        weights = scores.softmax(-1)
        mixed, kept, keep = weights, None, 1.0
        if dropout:
            kept, keep = kept_elements(weights.shape, dropout, weights.dtype), keep_scale(dropout)
            mixed = weights * kept
        out = torch.baddbmm(q, mixed, v, beta=0.0, alpha=keep)
        ctx.numbers, ctx.one_bias = (heads, scale, keep), bias is not None and bias.dim() == 3
        ctx.save_for_backward(own, None if memory is None else others, weights, kept)
        return _packed(out.unsqueeze(0), heads).squeeze(2)

    @staticmethod
    @once_differentiable
    def backward(ctx, d_out):
        heads, scale, keep = ctx.numbers
        own, others, weights, kept = ctx.saved_tensors
        d_own, d_others = torch.empty_like(own), None
        if others is None:
            others, targets = own, d_own
        else:
            targets = d_others = torch.empty_like(others)
        q, k, v = own[0], others[-2], others[-1]
        d_out = _parts(d_out.unsqueeze(2))[0]
        d_weights = torch.baddbmm(weights, d_out, v.mT, beta=0.0, alpha=keep)
        mixed = weights
        if kept is not None:
            d_weights.mul_(kept)
            mixed = weights * kept
        d_scores = torch._softmax_backward_data(d_weights, weights, -1, weights.dtype)
        d_bias = d_scores.unflatten(0, (-1, heads)) if ctx.needs_input_grad[2] else None
        if d_bias is not None and ctx.one_bias:
            d_bias = d_bias.sum(0)
        d_own[0].baddbmm_(d_scores, k, beta=0.0, alpha=scale)
        targets[-2].baddbmm_(d_scores.mT, q, beta=0.0, alpha=scale)
        targets[-1].baddbmm_(mixed.mT, d_out, beta=0.0, alpha=keep)
        d_memory = None if d_others is None else _packed(d_others, heads)
        return _packed(d_own, heads), d_memory, d_bias, None, None, None
