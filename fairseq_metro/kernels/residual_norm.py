"""Residual, bias, dropout and LayerNorm in one pass: y = LN(r + dropout(x + b)) (post-norm).

:func:`residual_norm_reference` is plain PyTorch, :func:`residual_norm_fused` has the same signature
and numbers and reads and writes memory once: forward 2 tensors in, 2 out (the sum before the norm
is kept), backward 2 in, 2 out.
"""

from typing import Optional

import torch
import torch.nn.functional as F

from fairseq_metro.kernels.attention_mask import keep_scale
from fairseq_metro.kernels.choice import fused
from fairseq_metro.kernels.residual_norm_mask import keep_mask

# ruff: noqa: UP045  torch derives the operators' schema from Optional

WIDEST = 8192
DTYPES = (torch.float32, torch.float16, torch.bfloat16)


def residual_norm_reference(
    residual, update, weight, bias, *, update_bias=None, dropout=0.0, seed=None, eps=1e-5
):
    """LayerNorm of residual + dropout(update + update_bias) over the last dimension.

    residual, update (..., C); weight, bias, update_bias (C,); all of any float dtype. dropout:
    probability in [0, 1). seed (1,) int64: the mask is that of the fused version under this seed;
    not given: torch's own generator draws it. Returns (..., C).
    """
    if update_bias is not None:
        update = update + update_bias
    if dropout and seed is not None:
        rows = update.numel() // update.size(-1)
        keep = keep_mask(seed, rows, update.size(-1), dropout).view(update.shape)
        update = torch.where(keep, update * keep_scale(dropout), 0.0)
    elif dropout:
        update = F.dropout(update, dropout)
    return F.layer_norm(residual + update, weight.shape, weight, bias, eps)


def residual_norm(residual, update, weight, bias, **options):
    """:func:`residual_norm_fused` or :func:`residual_norm_reference`: as
    :mod:`fairseq_metro.kernels.choice` decides for the tensors' device."""
    run = residual_norm_fused if runs_fused(residual, update) else residual_norm_reference
    return run(residual, update, weight, bias, **options)


def runs_fused(residual, update):
    """Whether the fused version takes these tensors."""
    unfit = None
    if residual.size(-1) > WIDEST:
        unfit = f"rows of {residual.size(-1)} numbers are wider than {WIDEST}"
    elif residual.dtype not in DTYPES or update.dtype not in DTYPES:
        unfit = f"{residual.dtype} and {update.dtype} are not both of 16 or 32 bits"
    return fused("residual_norm", residual.device.type, unfit)


def residual_norm_fused(
    residual, update, weight, bias, *, update_bias=None, dropout=0.0, seed=None, eps=1e-5
):
    """As :func:`residual_norm_reference`; without a seed one is drawn on the tensors' device, from
    torch's generator there, so that recomputed layers drop the same elements."""
    if not dropout:
        seed = None
    elif seed is None:
        seed = torch.randint(2**62, (1,), dtype=torch.int64, device=residual.device)
    inputs = (residual, update, weight, bias, update_bias)
    keep = torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in inputs)
    return residual_norm_op(*inputs, seed, float(dropout), float(eps), keep)[0]


@torch.library.custom_op("fairseq_metro::residual_norm", mutates_args=())
def residual_norm_op(
    residual: torch.Tensor,
    update: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor,
    update_bias: Optional[torch.Tensor],
    seed: Optional[torch.Tensor],
    dropout: float,
    eps: float,
    keep: bool,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Output; if ``keep``, what the backward pass needs: the sum (N, C), statistics (2, N)."""
    from fairseq_metro.kernels import residual_norm_triton as kernels

    return kernels.forward(residual, update, weight, bias, update_bias, seed, dropout, eps, keep)


@residual_norm_op.register_fake
def _(residual, update, weight, bias, update_bias, seed, dropout, eps, keep):
    dim, dtype = residual.size(-1), torch.promote_types(residual.dtype, update.dtype)
    rows = residual.numel() // dim if keep else 0
    out = residual.new_empty(residual.shape, dtype=dtype)
    return out, out.new_empty((rows, dim)), out.new_empty((2, rows), dtype=torch.float32)


@torch.library.custom_op("fairseq_metro::residual_norm_backward", mutates_args=())
def residual_norm_backward_op(
    d_out: torch.Tensor,
    total: torch.Tensor,
    statistics: torch.Tensor,
    weight: torch.Tensor,
    seed: Optional[torch.Tensor],
    dropout: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Gradients of residual and update (N, C each; without dropout they are one, and the second is
    empty), and (3, C) float32 of weight, bias and the update's bias."""
    from fairseq_metro.kernels import residual_norm_triton as kernels

    return kernels.backward(d_out, total, statistics, weight, seed, dropout)


@residual_norm_backward_op.register_fake
def _(d_out, total, statistics, weight, seed, dropout):
    rows, dim = total.shape
    d_update = total.new_empty((0 if seed is None else rows, dim))
    return torch.empty_like(total), d_update, total.new_empty((3, dim), dtype=torch.float32)


def _setup(ctx, inputs, output):
    residual, update, weight, bias, update_bias, seed, ctx.dropout, _, _ = inputs
    ctx.like = [None if x is None else x.dtype for x in (residual, update, bias, update_bias)]
    ctx.shape = residual.shape
    ctx.save_for_backward(output[1], output[2], weight, seed)
    ctx.mark_non_differentiable(output[1], output[2])


def _backward(ctx, d_out, _d_total, _d_statistics):
    total, statistics, weight, seed = ctx.saved_tensors
    d_residual, d_update, d_parameters = residual_norm_backward_op(
        d_out, total, statistics, weight, seed, ctx.dropout
    )
    if seed is None:
        d_update = d_residual
    of_residual, of_update, of_bias, of_shift = ctx.like
    d_weight, d_bias, d_shift = d_parameters
    return (
        d_residual.view(ctx.shape).to(of_residual),
        d_update.view(ctx.shape).to(of_update),
        d_weight.to(weight.dtype),
        d_bias.to(of_bias),
        None if of_shift is None else d_shift.to(of_shift),
        *[None] * 4,
    )


residual_norm_op.register_autograd(_backward, setup_context=_setup)
