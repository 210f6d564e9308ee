"""Attention with relative-position bias, masks and dropout at once, never holding T x S numbers.

:func:`attention_reference` is plain PyTorch, :func:`attention_fused` has the same signature and
numbers and runs Triton kernels (after Dao, 2023, FlashAttention-2; the bias, its gradient along
diagonals and the dropout mask as a function of the place are ours). Projections come packed, as one
linear map leaves them, and so do their gradients: nothing is copied.
"""

import math
from typing import Optional

import torch

from fairseq_metro.kernels.attention_mask import keep_mask, keep_scale
from fairseq_metro.kernels.choice import fused, interpreted

# ruff: noqa: UP045  torch derives the operators' schema from Optional

WIDEST_HEAD = 128
DTYPES = (torch.float32, torch.float16, torch.bfloat16)


def attention_reference(
    query,
    memory=None,
    *,
    table=None,
    bucket=None,
    key_padding_mask=None,
    query_segments=None,
    key_segments=None,
    causal=False,
    dropout=0.0,
    scale=None,
    seed=None,
):
    """softmax(scale q k^T + bias) v, masked, with dropout of the softmax.

    query (B, T, n, H, D): queries first and, without a memory, keys and values last (n = 3); memory
    (B, S, 2, H, D): keys and values of cross-attention. The last query stands at the position of
    the last key. table (buckets, H): bias; bucket (2R + 1,) int: the table's rows for the distances
    -R to R of key minus query, larger ones have that of R. key_padding_mask (B, S) bool, True at
    padding. query_segments (B, T), key_segments (B, S) int: a query sees keys of its own segment.
    causal: and none behind its position. scale: 1 / sqrt(D) where not given. seed (1,) int64: says
    which weights are dropped, not given: drawn from torch's generator.

    Returns (B, T, H, D); a query that sees no key gets 0 and gives no gradient. Any float dtype.
    """
    memory = query if memory is None else memory
    q, k, v = (x.transpose(1, 2) for x in (query[:, :, 0], memory[:, :, -2], memory[:, :, -1]))
    queries, keys = q.size(2), k.size(2)
    scores = (q @ k.transpose(2, 3)) * (q.size(-1) ** -0.5 if scale is None else scale)
    position = torch.arange(keys - queries, keys, device=q.device)
    distance = torch.arange(keys, device=q.device) - position[:, None]
    if table is not None:
        reach = bucket.numel() // 2
        rows = bucket[distance.clamp(-reach, reach) + reach]
        scores = scores + table[rows].permute(2, 0, 1)
    hidden = torch.zeros(1, 1, queries, keys, dtype=torch.bool, device=q.device)
    if causal:
        hidden = hidden | (distance > 0)
    if key_padding_mask is not None:
        hidden = hidden | key_padding_mask[:, None, None, :]
    if query_segments is not None:
        hidden = hidden | (query_segments[:, None, :, None] != key_segments[:, None, None, :])
    sees = ~hidden.all(-1, keepdim=True)
    weights = scores.masked_fill(hidden & sees, -math.inf).softmax(-1) * sees
    if dropout:
        seed = draw_seed(q.device) if seed is None else seed
        kept = keep_mask(seed, q.size(0), q.size(1), queries, keys, dropout)
        weights = weights * kept * keep_scale(dropout)
    return (weights @ v).transpose(1, 2)


def draw_seed(device):
    """(1,) int64 from torch's generator on the device: recomputed layers draw the same again."""
    return torch.randint(2**62, (1,), dtype=torch.int64, device=device)


def attention_fused(
    query,
    memory=None,
    *,
    table=None,
    bucket=None,
    key_padding_mask=None,
    query_segments=None,
    key_segments=None,
    causal=False,
    dropout=0.0,
    scale=None,
    seed=None,
):
    """As :func:`attention_reference`, in Triton; see :func:`unfit` for what it does not take."""
    if not dropout:
        seed = None
    elif seed is None:
        seed = draw_seed(query.device)
    return attention_op(
        query,
        memory,
        table,
        bucket,
        key_padding_mask,
        query_segments,
        key_segments,
        seed,
        causal,
        float(dropout),
        query.size(-1) ** -0.5 if scale is None else float(scale),
    )[0]


def unfit(dtype, head_dim, device_type):
    """Why the fused version cannot take such inputs, as words for one line, or None."""
    if dtype not in DTYPES:
        return f"numbers are {dtype}, and the kernels know 16 and 32 bits"
    if head_dim > WIDEST_HEAD:
        return f"a head is {head_dim} wide, and the kernels go up to {WIDEST_HEAD}"
    if dtype == torch.bfloat16 and device_type != "cuda" and interpreted():
        return "Triton's interpreter multiplies bfloat16 wrongly"
    return None


def runs_fused(dtype, head_dim, device_type):
    """Whether :func:`attention_fused` is to take such inputs here (see
    :mod:`fairseq_metro.kernels.choice`)."""
    return fused("attention", device_type, unfit(dtype, head_dim, device_type))


@torch.library.custom_op("fairseq_metro::attention", mutates_args=())
def attention_op(
    query: torch.Tensor,
    memory: Optional[torch.Tensor],
    table: Optional[torch.Tensor],
    bucket: Optional[torch.Tensor],
    key_padding_mask: Optional[torch.Tensor],
    query_segments: Optional[torch.Tensor],
    key_segments: Optional[torch.Tensor],
    seed: Optional[torch.Tensor],
    causal: bool,
    dropout: float,
    scale: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Output (B, T, H, D), and two numbers of every query's softmax (2, B, H, T) for the backward
    pass."""
    from fairseq_metro.kernels import attention_launch

    return attention_launch.forward(
        query, memory, table, bucket, key_padding_mask, query_segments, key_segments, seed, causal,
        dropout, scale,
    )  # fmt: skip


@attention_op.register_fake
def _(query, memory, table, bucket, padding, own, others, seed, causal, dropout, scale):
    batch, queries, _, heads, dim = query.shape
    levels = query.new_empty((2, batch, heads, queries), dtype=torch.float32)
    return query.new_empty((batch, queries, heads, dim)), levels


@torch.library.custom_op("fairseq_metro::attention_backward", mutates_args=())
def attention_backward_op(
    d_out: torch.Tensor,
    out: torch.Tensor,
    levels: torch.Tensor,
    query: torch.Tensor,
    memory: Optional[torch.Tensor],
    table: Optional[torch.Tensor],
    bucket: Optional[torch.Tensor],
    key_padding_mask: Optional[torch.Tensor],
    query_segments: Optional[torch.Tensor],
    key_segments: Optional[torch.Tensor],
    seed: Optional[torch.Tensor],
    causal: bool,
    dropout: float,
    scale: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Gradients of query, memory and table (float32); empty ones of what is absent."""
    from fairseq_metro.kernels import attention_launch

    return attention_launch.backward(
        d_out, out, levels, query, memory, table, bucket, key_padding_mask, query_segments,
        key_segments, seed, causal, dropout, scale,
    )  # fmt: skip


@attention_backward_op.register_fake
def _(d_out, out, levels, query, memory, table, *others):
    d_memory = query.new_empty((0,) if memory is None else memory.shape)
    d_table = levels.new_empty((0, 0) if table is None else table.shape)
    return query.new_empty(query.shape), d_memory, d_table


def _setup(ctx, inputs, output):
    *tensors, ctx.causal, ctx.dropout, ctx.scale = inputs
    ctx.save_for_backward(*output, *tensors)
    ctx.mark_non_differentiable(output[1])


def _backward(ctx, d_out, _):
    out, levels, query, memory, table, *others = ctx.saved_tensors
    d_query, d_memory, d_table = attention_backward_op(
        d_out, out, levels, query, memory, table, *others, ctx.causal, ctx.dropout, ctx.scale
    )
    d_memory = None if memory is None else d_memory
    d_table = None if table is None else d_table.to(table.dtype)
    return d_query, d_memory, d_table, *[None] * 8


attention_op.register_autograd(_backward, setup_context=_setup)
