"""Vocabulary head and loss on a CPU in float32.

torch's own functions write logits, log-probabilities, probabilities, cumulative sums and gradients,
each as large as the logits. Here a block of rows is finished while the cache holds it, one softmax
serves loss, entropy and draws, and the gradient takes the logits' place.
"""

import itertools

import torch
import torch.nn.functional as F
from torch.autograd.function import once_differentiable

from fairseq_metro.kernels.head_loss import HeadLoss, drawn_from, written

BLOCK = 2**18  # logits of a block of rows: 1 MB


def takes_head_loss(weight):
    """Whether :func:`cpu_head_loss` is for a head with this table (V, C)."""
    plain = weight.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
    return plain and weight.device.type == "cpu"


def cpu_head_loss(
    hidden, weight, target, *, bias=None, row_weight=None, draw=None, temperature=1.0
):
    """As :func:`~fairseq_metro.kernels.head_loss.head_loss_reference`, but for the entropy, which is
    there only where something is drawn. The draws are the reference's: at temperature 1 bit by bit."""
    uniform = None if draw is None else draw.uniform
    weights = None if row_weight is None else row_weight.detach().float()
    loss, correct, entropy, drawn = _HeadLoss.apply(
        hidden, weight, bias, target, weights, uniform, temperature
    )
    found = HeadLoss(loss, correct)
    if draw is None:
        return found
    return found._replace(entropy=entropy, **written(draw, drawn, target))


class _HeadLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx, hidden, weight, bias, target, row_weight, uniform, temperature):
        logits = F.linear(hidden, weight, bias)
        with_gradient = any(ctx.needs_input_grad[:3])
        rows = max(1, BLOCK // logits.size(1))
        uniforms = itertools.repeat(None) if uniform is None else uniform.split(rows)
        blocks = zip(logits.split(rows), target.unsqueeze(1).split(rows), uniforms, strict=False)
        parts = [_block(*block, temperature, with_gradient) for block in blocks]
        loss, correct, entropy, drawn = (
            None if part[0] is None else torch.cat(part) for part in zip(*parts, strict=True)
        )
        if row_weight is not None:
            loss = loss * row_weight
        if with_gradient:
            ctx.save_for_backward(hidden, weight, logits, row_weight)
        ctx.has_bias = bias is not None
        found = loss.sum(), correct, None if entropy is None else entropy.sum(), drawn
        ctx.mark_non_differentiable(*[x for x in found[1:] if x is not None])
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx, d_loss, *_others):
        hidden, weight, d_logits, row_weight = ctx.saved_tensors
        # The factors of rows go to the narrow side of each product.
        scale = d_loss.expand(len(hidden)) if row_weight is None else d_loss * row_weight
        scale = scale.unsqueeze(1)
        d_hidden = d_weight = d_bias = None
        if ctx.needs_input_grad[0]:
            d_hidden = (d_logits @ weight).mul_(scale)
        if ctx.needs_input_grad[1]:
            d_weight = d_logits.t() @ (hidden * scale)
        if ctx.has_bias and ctx.needs_input_grad[2]:
            d_bias = d_logits.t() @ scale.squeeze(1)
        return d_hidden, d_weight, d_bias, None, None, None, None


def _block(x, target, uniform, temperature, with_gradient):
    """Loss (N,), correct (N,), and with uniform (N,) entropy (N,) and draws (N,), else None, of
    logits x (N, V) and target (N, 1). x becomes the loss's gradient by it where one is wanted."""
    top = x.amax(-1, keepdim=True)
    at = x.gather(1, target)
    correct = _largest(x, top, at, target)
    p = torch.softmax(x, -1, out=x if uniform is None else torch.empty_like(x))
    log_z = p.amax(-1, keepdim=True).log().neg_()  # of exp(x - top), whose largest is 1
    loss = (top - at + log_z).squeeze(1)
    entropy = drawn = None
    if uniform is not None:
        entropy = log_z.squeeze(1) - torch.linalg.vecdot(p, x.sub_(top))
        mass = p if temperature == 1.0 else torch.softmax(x.div_(temperature), -1)
        drawn = drawn_from(torch.cumsum(mass, -1, out=x), uniform)
        if with_gradient:
            x.copy_(p)
    if with_gradient:
        x.scatter_add_(1, target, torch.full_like(at, -1.0))
    return loss, correct, entropy, drawn


def _largest(x, top, at, target):
    """Whether the target is the first of the largest logits (torch's argmax reads all slowly)."""
    correct = (at == top).squeeze(1)
    rows = correct.nonzero().squeeze(1)
    correct[rows] = x[rows].argmax(-1) == target[rows, 0]
    return correct
