"""Triton kernels of :mod:`fairseq_metro.kernels.residual_norm`: memory is read once, written once.

Sums, means and gradients of parameters are float32 whatever the tensors are. A program takes ROWS
rows of WIDTH columns (a power of two, at least the real number; what is too much is masked).
"""

import torch
import triton
import triton.language as tl

from fairseq_metro.kernels.attention_mask import ROUNDS, keep_scale, lowest_kept
from fairseq_metro.kernels.on_device import on_its_device
from fairseq_metro.kernels.residual_norm_mask import SITE

# Elements a program holds at a time, and most programs of a backward pass: each leaves one partial
# sum of every parameter's gradient. Their number follows from the shapes alone, so that gradients
# are the same on every device and in every run.
ELEMENTS, MOST_PROGRAMS = 2048, 1024


@triton.jit
def kept(
    seed, row, lowest, ROWS: tl.constexpr, WIDTH: tl.constexpr, SITE: tl.constexpr, N: tl.constexpr
):
    """(ROWS, WIDTH) bool: the elements that dropout leaves, those whose 16 bits are >= ``lowest``.

    seed int64; row (ROWS,). Columns 8 g to 8 g + 7 have the halves, the lower first, of the four
    words of counter (g, row, 0, SITE), of N rounds.
    """
    group = tl.arange(0, WIDTH // 8)[None, :] + tl.zeros((ROWS, 1), tl.int32)
    place = row[:, None] + tl.zeros_like(group)
    zero = tl.zeros_like(group)
    a, b, c, d = tl.philox(seed, group, place, zero, zero + SITE, N)
    low = tl.join(tl.join(a & 0xFFFF, c & 0xFFFF), tl.join(b & 0xFFFF, d & 0xFFFF))
    high = tl.join(tl.join(a >> 16, c >> 16), tl.join(b >> 16, d >> 16))
    halves = tl.reshape(tl.join(low, high), (ROWS, WIDTH))
    return halves.to(tl.int32) >= lowest


@triton.jit
def forward_kernel(
    residual,
    update,
    update_bias,
    weight,
    bias,
    seed,
    out,
    total,
    means,
    rstds,
    rows,
    dim,
    residual_stride,
    update_stride,
    lowest,
    scale,
    eps,
    HAS_UPDATE_BIAS: tl.constexpr,
    DROPOUT: tl.constexpr,
    KEEP_TOTAL: tl.constexpr,
    ROWS: tl.constexpr,
    WIDTH: tl.constexpr,
    SITE: tl.constexpr,
    ROUNDS: tl.constexpr,
):
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    column = tl.arange(0, WIDTH)
    wide = row[:, None].to(tl.int64)
    there = (row[:, None] < rows) & (column[None, :] < dim)
    x = tl.load(update + wide * update_stride + column[None, :], mask=there, other=0.0)
    x = x.to(tl.float32)
    if HAS_UPDATE_BIAS:
        shift = tl.load(update_bias + column, mask=column < dim, other=0.0).to(tl.float32)
        x += shift[None, :]
    if DROPOUT:
        keep = kept(tl.load(seed), row, lowest, ROWS, WIDTH, SITE, ROUNDS)
        x = tl.where(keep, x * scale, 0.0)
    z = tl.load(residual + wide * residual_stride + column[None, :], mask=there, other=0.0)
    z = tl.where(there, z.to(tl.float32) + x, 0.0)
    if KEEP_TOTAL:
        tl.store(total + wide * dim + column[None, :], z, mask=there)
    mean = tl.sum(z, axis=1) / dim
    centred = tl.where(there, z - mean[:, None], 0.0)
    rstd = 1.0 / tl.sqrt(tl.sum(centred * centred, axis=1) / dim + eps)
    gamma = tl.load(weight + column, mask=column < dim, other=0.0).to(tl.float32)
    beta = tl.load(bias + column, mask=column < dim, other=0.0).to(tl.float32)
    y = centred * rstd[:, None] * gamma[None, :] + beta[None, :]
    tl.store(out + wide * dim + column[None, :], y, mask=there)
    if KEEP_TOTAL:
        tl.store(means + row, mean, mask=row < rows)
        tl.store(rstds + row, rstd, mask=row < rows)


@triton.jit
def backward_kernel(
    d_out,
    total,
    means,
    rstds,
    weight,
    seed,
    d_residual,
    d_update,
    partial,
    rows,
    dim,
    d_out_stride,
    lowest,
    scale,
    DROPOUT: tl.constexpr,
    ROWS: tl.constexpr,
    WIDTH: tl.constexpr,
    SITE: tl.constexpr,
    ROUNDS: tl.constexpr,
):
    column = tl.arange(0, WIDTH)
    gamma = tl.load(weight + column, mask=column < dim, other=0.0).to(tl.float32)
    d_gamma = tl.zeros((WIDTH,), tl.float32)
    d_beta = tl.zeros((WIDTH,), tl.float32)
    d_shift = tl.zeros((WIDTH,), tl.float32)
    step = tl.num_programs(0) * ROWS
    for first in range(tl.program_id(0) * ROWS, rows, step):
        row = first + tl.arange(0, ROWS)
        wide = row[:, None].to(tl.int64)
        there = (row[:, None] < rows) & (column[None, :] < dim)
        g = tl.load(d_out + wide * d_out_stride + column[None, :], mask=there, other=0.0)
        g = g.to(tl.float32)
        z = tl.load(total + wide * dim + column[None, :], mask=there, other=0.0).to(tl.float32)
        mean = tl.load(means + row, mask=row < rows, other=0.0)
        rstd = tl.load(rstds + row, mask=row < rows, other=0.0)
        normal = tl.where(there, (z - mean[:, None]) * rstd[:, None], 0.0)
        d_gamma += tl.sum(g * normal, axis=0)
        d_beta += tl.sum(g, axis=0)
        g *= gamma[None, :]
        along = tl.sum(g * normal, axis=1) / dim
        level = tl.sum(g, axis=1) / dim
        d = (g - level[:, None] - normal * along[:, None]) * rstd[:, None]
        d = tl.where(there, d, 0.0)
        tl.store(d_residual + wide * dim + column[None, :], d, mask=there)
        if DROPOUT:
            keep = kept(tl.load(seed), row, lowest, ROWS, WIDTH, SITE, ROUNDS)
            d = tl.where(keep, d * scale, 0.0)
            tl.store(d_update + wide * dim + column[None, :], d, mask=there)
        d_shift += tl.sum(d, axis=0)
    place = partial + tl.program_id(0).to(tl.int64) * 3 * dim + column
    tl.store(place, d_gamma, mask=column < dim)
    tl.store(place + dim, d_beta, mask=column < dim)
    tl.store(place + 2 * dim, d_shift, mask=column < dim)


@triton.jit
def keep_kernel(
    seed,
    out,
    rows,
    dim,
    lowest,
    ROWS: tl.constexpr,
    WIDTH: tl.constexpr,
    SITE: tl.constexpr,
    ROUNDS: tl.constexpr,
):
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    column = tl.arange(0, WIDTH)
    keep = kept(tl.load(seed), row, lowest, ROWS, WIDTH, SITE, ROUNDS)
    there = (row[:, None] < rows) & (column[None, :] < dim)
    place = row[:, None].to(tl.int64) * dim + column[None, :]
    tl.store(out + place, keep.to(tl.int8), mask=there)


def tiles(dim):
    """ROWS, WIDTH and warps for rows of ``dim`` numbers."""
    width = max(16, triton.next_power_of_2(dim))
    rows = max(1, ELEMENTS // width)
    return {
        "ROWS": rows,
        "WIDTH": width,
        "SITE": SITE,
        "ROUNDS": ROUNDS,
        "num_warps": 4 if width * rows <= 2048 else 8 if width <= 4096 else 16,
    }


def in_rows(tensor):
    """(..., C) -> (N, C) whose rows are dense, without a copy wherever that can be."""
    flat = tensor.reshape(-1, tensor.size(-1))
    return flat if flat.stride(-1) == 1 or flat.size(-1) == 1 else flat.contiguous()


@on_its_device
def forward(residual, update, weight, bias, update_bias, seed, dropout, eps, keep_total):
    """out, and for the backward pass the sum before the norm, means (N,), 1 / deviations (N,)."""
    rows, dim = residual.numel() // residual.size(-1), residual.size(-1)
    dtype = torch.promote_types(residual.dtype, update.dtype)
    out = torch.empty(residual.shape, dtype=dtype, device=residual.device)
    total = torch.empty((rows, dim) if keep_total else (0, dim), dtype=dtype, device=out.device)
    statistics = torch.empty((2, rows if keep_total else 0), dtype=torch.float32, device=out.device)
    if rows:
        left, right, config = in_rows(residual), in_rows(update), tiles(dim)
        forward_kernel[(triton.cdiv(rows, config["ROWS"]),)](
            left,
            right,
            right if update_bias is None else update_bias,
            weight,
            bias,
            left if seed is None else seed,
            out,
            total,
            statistics[0],
            statistics[1],
            rows,
            dim,
            left.stride(0),
            right.stride(0),
            lowest_kept(dropout),
            keep_scale(dropout),
            eps,
            HAS_UPDATE_BIAS=update_bias is not None,
            DROPOUT=seed is not None,
            KEEP_TOTAL=keep_total,
            **config,
        )
    return out, total, statistics


@on_its_device
def backward(d_out, total, statistics, weight, seed, dropout):
    """Gradients of the residual (N, C), of the update (N, C), and (3, C) float32 of weight, bias
    and the update's bias. Without dropout the update's is the residual's and comes out empty."""
    rows, dim = total.shape
    d_residual = torch.empty_like(total)
    d_update = torch.empty_like(total) if seed is not None else total.new_empty((0, dim))
    if not rows:
        return d_residual, d_update, torch.zeros(3, dim, dtype=torch.float32, device=total.device)
    gradient, config = in_rows(d_out), tiles(dim)
    programs = min(MOST_PROGRAMS, triton.cdiv(rows, config["ROWS"]))
    partial = torch.empty(programs, 3, dim, dtype=torch.float32, device=total.device)
    backward_kernel[(programs,)](
        gradient,
        total,
        statistics[0],
        statistics[1],
        weight,
        total if seed is None else seed,
        d_residual,
        d_update,
        partial,
        rows,
        dim,
        gradient.stride(0),
        lowest_kept(dropout),
        keep_scale(dropout),
        DROPOUT=seed is not None,
        **config,
    )
    return d_residual, d_update, partial.sum(0)


def keep_mask(seed, rows, dim, dropout):
    """(rows, dim) bool: what dropout leaves, from the kernels' own function."""
    out, config = torch.empty((rows, dim), dtype=torch.int8, device=seed.device), tiles(dim)
    keep_kernel[(triton.cdiv(rows, config["ROWS"]),)](
        seed, out, rows, dim, lowest_kept(dropout), **config
    )
    return out.bool()
