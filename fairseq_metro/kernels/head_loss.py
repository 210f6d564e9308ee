"""Vocabulary head and loss in one: linear map, softmax cross entropy, accuracy; for the auxiliary
model also the replacements drawn from it (METRO-T0, equations 6, 7, 10 and 12).

The reference is plain PyTorch and holds logits (N, V) and as many numbers again for the backward
pass. The fused version goes over chunks of rows, takes loss, counts, samples and gradients from each
chunk's logits while they are there, and keeps gradients of the size of its inputs alone.
"""

from typing import NamedTuple, Optional

import torch
import torch.nn.functional as F

from fairseq_metro.kernels.choice import fused

# ruff: noqa: UP045  torch derives the operators' schema from Optional

DTYPES = (torch.float32, torch.float16, torch.bfloat16)


class Draw(NamedTuple):
    """What draws replacements: uniform (N,) float64 in [0, 1); tokens (B, T) int64 into which they
    are written; masked_index (N,) int64, their places in the flattened tokens."""

    uniform: torch.Tensor
    tokens: torch.Tensor
    masked_index: torch.Tensor


class HeadLoss(NamedTuple):
    """loss (): summed over rows, in nats, float32, with a gradient; correct (N,) bool: the likeliest
    token is the target; entropy (): of the softmax, summed over rows; noised (B, T) int64: the
    tokens with the replacements in them; replaced (B, T) bool: where one is not the target.

    Without targets there is only ``noised``."""

    loss: Optional[torch.Tensor] = None
    correct: Optional[torch.Tensor] = None
    entropy: Optional[torch.Tensor] = None
    noised: Optional[torch.Tensor] = None
    replaced: Optional[torch.Tensor] = None


def sample_tokens(logits, uniform, temperature=1.0):
    """Exact draws from softmax(logits / temperature), by inversion of its cumulative sum.

    logits (M, V) of any float dtype; uniform (M,) in [0, 1), which alone decides the draw: the
    first token whose cumulative sum exceeds it. The
    cumulative sum runs over the vocabulary in order and in float32; u is scaled by its last value
    and kept below it, so a token without mass is never drawn. Returns (M,) int64. No gradient.
    """
    with torch.no_grad():
        return drawn_from(torch.softmax(logits.float() / temperature, -1).cumsum(-1), uniform)


def drawn_from(mass, uniform):
    """The draws (M,) of :func:`sample_tokens` from cumulative sums (M, V), which need not end at 1.
    Where these are no numbers, the last token: the loss says so, not a table that has no such row."""
    total = mass[:, -1:]
    threshold = uniform.to(mass.dtype).unsqueeze(-1) * total
    threshold = torch.minimum(threshold, torch.nextafter(total, torch.zeros_like(total)))
    drawn = torch.searchsorted(mass, threshold, right=True).squeeze(-1)
    return drawn.clamp_(max=mass.size(-1) - 1)


def written(draw, drawn, target):
    """The fields ``noised`` and ``replaced`` of :class:`HeadLoss` for the tokens drawn (N,)."""
    tokens, masked_index = draw.tokens, draw.masked_index
    noised = tokens.flatten().index_copy(0, masked_index, drawn).view_as(tokens)
    if target is None:
        return dict(noised=noised)
    replaced = torch.zeros_like(tokens, dtype=torch.bool).flatten()
    replaced = replaced.index_copy(0, masked_index, drawn != target)
    return dict(noised=noised, replaced=replaced.view_as(tokens))


def loss_of_logits(logits, target, row_weight=None, entropy=False):
    """:class:`HeadLoss` of logits (N, V) that are there already, in float32 (float64 stays);
    target (N,) int64; row_weight (N,), detached; entropy: whether it is wanted."""
    log_p = F.log_softmax(logits if logits.dtype == torch.float64 else logits.float(), dim=-1)
    if row_weight is None:
        loss = F.nll_loss(log_p, target, reduction="sum")
    else:
        loss = (F.nll_loss(log_p, target, reduction="none") * row_weight.detach()).sum()
    with torch.no_grad():
        correct = logits.argmax(-1).eq(target)
        spread = -(log_p.exp() * log_p).sum() if entropy else None
    return HeadLoss(loss, correct, spread)


def head_loss_reference(
    hidden, weight, target, *, bias=None, row_weight=None, draw=None, temperature=1.0
):
    """:class:`HeadLoss` of softmax(hidden @ weight^T + bias) at the targets.

    hidden (N, C), weight (V, C), bias (V,) of any float dtype; target (N,) int64; row_weight (N,):
    each row's weight in the loss, detached; draw: a :class:`Draw`, from softmax(logits /
    temperature).
    """
    logits = F.linear(hidden, weight, bias)
    found = loss_of_logits(logits, target, row_weight, entropy=True)
    if draw is None:
        return found
    drawn = sample_tokens(logits, draw.uniform, temperature)
    return found._replace(**written(draw, drawn, target))


def runs_fused(hidden):
    """Whether :mod:`fairseq_metro.kernels.choice` has the fused version for such states."""
    known = hidden.dtype in DTYPES
    unfit = None if known else f"{hidden.dtype} is not of 16 or 32 bits"
    return fused("head_loss", hidden.device.type, unfit)


def head_loss(hidden, weight, target, **options):
    """:func:`head_loss_fused` or :func:`head_loss_reference`: as the choice is."""
    run = head_loss_fused if runs_fused(hidden) else head_loss_reference
    return run(hidden, weight, target, **options)


def head_loss_fused(
    hidden, weight, target, *, bias=None, row_weight=None, draw=None, temperature=1.0
):
    """As :func:`head_loss_reference`. Gradients of the loss are computed with it, so that the
    backward pass only scales them; samples are equal but where u meets a boundary to rounding."""
    kind = hidden.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else hidden.dtype
    hidden, weight = hidden.to(dtype), weight.to(dtype)
    wanted = any(x is not None and x.requires_grad for x in (hidden, weight, bias))
    with_gradient = torch.is_grad_enabled() and wanted
    if row_weight is not None:
        row_weight = row_weight.detach().float()
    found = head_loss_op(
        hidden, weight, bias, target, row_weight, *(draw or [None] * 3), temperature, with_gradient
    )
    written = found[3:5] if draw is not None else ()
    return HeadLoss(*found[:3], *written)


@torch.library.custom_op("fairseq_metro::head_loss", mutates_args=())
def head_loss_op(
    hidden: torch.Tensor,
    weight: torch.Tensor,
    bias: Optional[torch.Tensor],
    target: torch.Tensor,
    row_weight: Optional[torch.Tensor],
    uniform: Optional[torch.Tensor],
    tokens: Optional[torch.Tensor],
    index: Optional[torch.Tensor],
    temperature: float,
    with_gradient: bool,
) -> tuple[
    torch.Tensor,
    torch.Tensor,
    torch.Tensor,
    torch.Tensor,
    torch.Tensor,
    torch.Tensor,
    torch.Tensor,
    torch.Tensor,
]:
    """The fields of :class:`HeadLoss` (without uniform, the last two are empty) and the loss's
    gradients by hidden, weight and bias in float32, empty where they are not wanted."""
    from fairseq_metro.kernels import head_loss_triton as kernels

    draw = None if uniform is None else (uniform, tokens, index)
    return kernels.forward(
        hidden, weight, bias, target, row_weight, draw, temperature, with_gradient
    )


@head_loss_op.register_fake
def _(hidden, weight, bias, target, row_weight, uniform, tokens, index, temperature, with_gradient):
    rows, dim, vocabulary = hidden.size(0), hidden.size(1), weight.size(0)
    number = hidden.new_empty((), dtype=torch.float32)
    shape = (0,) if uniform is None else tokens.shape
    n = int(with_gradient)
    return (
        number,
        target.new_empty((rows,), dtype=torch.bool),
        torch.empty_like(number),
        target.new_empty(shape),
        target.new_empty(shape, dtype=torch.bool),
        number.new_empty((n * rows, dim)),
        number.new_empty((n * vocabulary, dim)),
        number.new_empty((n * vocabulary if bias is not None else 0,)),
    )


@torch.library.custom_op("fairseq_metro::head_loss_backward", mutates_args=())
def head_loss_backward_op(
    gradient: torch.Tensor, d_loss: torch.Tensor, dtype: torch.dtype
) -> torch.Tensor:
    """A gradient of the loss times d_loss (), in its tensor's dtype: read once, written once."""
    return torch.mul(gradient, d_loss, out=torch.empty_like(gradient, dtype=dtype))


@head_loss_backward_op.register_fake
def _(gradient, d_loss, dtype):
    return torch.empty_like(gradient, dtype=dtype)


def _setup(ctx, inputs, output):
    hidden, weight, bias = inputs[:3]
    ctx.dtypes = [x.dtype for x in (hidden, weight, bias) if x is not None]
    ctx.save_for_backward(*output[5:])
    ctx.mark_non_differentiable(*output[1:])


def _backward(ctx, d_loss, *_others):
    pairs = zip(ctx.saved_tensors, ctx.dtypes, strict=False)  # the bias's last, where there is one
    scaled = [head_loss_backward_op(gradient, d_loss, dtype) for gradient, dtype in pairs]
    return (*scaled, *[None] * (10 - len(scaled)))


head_loss_op.register_autograd(_backward, setup_context=_setup)
