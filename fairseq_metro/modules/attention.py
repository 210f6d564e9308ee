"""Attention as one function, which a fused kernel may run.

Where :mod:`fairseq_metro.kernels.choice` says so (on a GPU, by default) no T x S numbers are kept;
elsewhere torch's own attention runs, over masks that hold bias and padding, and in training on a CPU
:mod:`fairseq_metro.modules.cpu_attention`.
"""

import torch
import torch.nn.functional as F

from fairseq_metro.kernels.attention import attention_fused, runs_fused
from fairseq_metro.modules.cpu_attention import cpu_attention, hidden_keys, trains_on_cpu
from fairseq_metro.modules.query_rows import QueryRows


def packed_attention(
    query,
    memory=None,
    *,
    bias=None,
    key_padding_mask=None,
    visible=None,
    causal=False,
    dropout=0.0,
    scale=None,
    at=None,
):
    """Attention over projections as one linear map leaves them.

    query (B, T, 3, H, D): queries, keys and values, or (B, T, 1, H, D) with memory (B, S, 2, H, D).
    bias: a module of relative positions, or (H, T, T), which torch's attention takes; visible:
    :class:`~fairseq_metro.modules.segments.OwnSegment` where examples are packed; the others as
    :func:`attention` has them, scale: 1 / sqrt(D) where not given. Returns (B, T, H, D).

    at: of :func:`queries_at`; query is (M, 1, H, D) then, of these positions alone, with memory, and
    what comes out (M, H, D).
    """
    if at is not None:
        bias = bias(at.length) if callable(bias) else bias
        seen = None if visible is None else visible.mask
        mixed = cpu_attention(
            at.spread(query),
            memory,
            bias=None if bias is None else at.of_bias(bias),
            hidden=at.of_hidden(hidden_keys(key_padding_mask, seen, causal, at.length)),
            dropout=dropout,
            scale=scale,
        )
        return at.gathered(mixed)
    if takes_fused(query) and not isinstance(bias, torch.Tensor):
        return attention_fused(
            query,
            memory,
            table=None if bias is None else bias.weight,
            bucket=None if bias is None else bias.near,
            key_padding_mask=key_padding_mask,
            query_segments=None if visible is None else visible.queries,
            key_segments=None if visible is None else visible.keys,
            causal=causal or (visible is not None and visible.causal),
            dropout=dropout,
            scale=scale,
        )
    bias = bias(query.size(1)) if callable(bias) else bias
    seen = None if visible is None else visible.mask
    if trains_on_cpu(query, bias, dropout):
        hidden = hidden_keys(key_padding_mask, seen, causal, query.size(1))
        return cpu_attention(query, memory, bias=bias, hidden=hidden, dropout=dropout, scale=scale)
    q, *others = (x.transpose(1, 2) for x in query.unbind(2))
    k, v = others or (x.transpose(1, 2) for x in memory.unbind(2))
    mixed = attention(
        q,
        k,
        v,
        bias=bias,
        key_padding_mask=key_padding_mask,
        visible=seen,
        causal=causal,
        dropout=dropout,
        scale=scale,
    )
    return mixed.transpose(1, 2)


def queries_at(rows, x, bias, heads, dropout):
    """:class:`QueryRows` where attention shall be given the queries of rows (M,) of x (B, T, C) alone:
    in training on a CPU; else None."""
    if rows is None or takes_fused(x.unflatten(-1, (heads, -1))):
        return None
    learned = getattr(bias, "weight", bias)
    return QueryRows(rows, *x.shape[:2]) if trains_on_cpu(x, learned, dropout) else None


def takes_fused(query, dtype=None):
    """Whether the fused kernel runs for projections (..., D) of a dtype (given: theirs)."""
    return runs_fused(dtype or query.dtype, query.size(-1), query.device.type)


def attention(
    query,
    key,
    value,
    *,
    bias=None,
    key_padding_mask=None,
    visible=None,
    causal=False,
    dropout=0.0,
    scale=None,
):
    """Scaled dot-product attention with additive bias, through torch's own fused kernels.

    query (B, H, T, D); key, value (B, H, S, D); bias (H, T, S), added to the scaled scores;
    key_padding_mask (B, S) bool, True at padding; visible (B, T, S) bool: the keys that each query
    may see; causal: query i sees keys 0..i (T equals S), not together with a mask; dropout:
    probability of dropping an attention weight. Returns (B, H, T, D).

    A query all of whose keys are padding gets finite values (its row is padding itself).
    """
    mask = None
    if bias is not None:
        mask = bias.unsqueeze(0).to(query.dtype)
    if key_padding_mask is not None:
        mask = hide(mask, key_padding_mask[:, None, None, :])
    if visible is not None:
        mask = hide(mask, ~visible.unsqueeze(1))
    return F.scaled_dot_product_attention(
        query, key, value, attn_mask=mask, dropout_p=dropout, is_causal=causal, scale=scale
    )


def hide(mask, hidden):
    """The mask of torch's attention (None, added numbers, or bool: True is seen) without the
    keys at which ``hidden`` (broadcast to (B, H, T, S), bool) is True."""
    if mask is None:
        return ~hidden
    if mask.dtype == torch.bool:
        return mask & ~hidden
    return mask.masked_fill(hidden, torch.finfo(mask.dtype).min)
