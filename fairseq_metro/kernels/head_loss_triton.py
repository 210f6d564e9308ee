"""Triton kernel of :mod:`fairseq_metro.kernels.head_loss`: all that is asked of a row of logits.

The logits of a chunk of rows are one matrix product of cuBLAS into a buffer that fits the device's
memory many times over. One program then takes one row: it stays in cache while maximum, sums, sample
and gradient pass over it, and the gradient takes its place.
"""

import torch
import triton
import triton.language as tl

from fairseq_metro.kernels.on_device import on_its_device

BLOCK, WARPS = 4096, 8  # tokens of a block of the vocabulary
CHUNK = 2**27  # logits of a chunk of rows
# Gradients of logits are p - 1[target] times a weight: in float16 most of p would be rounded away.
FLOAT16_SCALE = 256.0


@triton.jit
def load_logits(logits, bias, token, vocabulary, HAS_BIAS: tl.constexpr):
    """Logits of the tokens (BLOCK,) in float32, -inf beyond the vocabulary."""
    x = tl.load(logits + token, mask=token < vocabulary, other=-float("inf")).to(tl.float32)
    if HAS_BIAS:
        x += tl.load(bias + token, mask=token < vocabulary, other=0.0).to(tl.float32)
    return x


@triton.jit
def first_beyond(mass, threshold, place, AFTER: tl.constexpr):
    """The first place whose cumulative mass exceeds the threshold; of those that have mass at all,
    the last where none does. Returns it and the mass before it."""
    total = tl.cumsum(mass, axis=0)
    found = tl.min(tl.where((total > threshold) & (mass > 0), place, AFTER), axis=0)
    found = tl.minimum(found, tl.max(tl.where(mass > 0, place, 0), axis=0))
    return found, tl.sum(tl.where(place < found, mass, 0.0), axis=0)


@triton.jit
def rows_kernel(
    logits,
    bias,
    target,
    row_weight,
    uniform,
    index,
    loss,
    correct,
    entropy,
    noised,
    replaced,
    vocabulary,
    temperature,
    gradient_scale,
    HAS_BIAS: tl.constexpr,
    HAS_WEIGHT: tl.constexpr,
    SAMPLE: tl.constexpr,
    TEMPERED: tl.constexpr,
    GRADIENT: tl.constexpr,
    BLOCK: tl.constexpr,
    BLOCKS: tl.constexpr,
):
    row = tl.program_id(0)
    logits += row.to(tl.int64) * vocabulary
    block = tl.arange(0, BLOCK)

    highest = tl.full((BLOCK,), -float("inf"), tl.float32)
    highest_at = block
    for first in range(0, vocabulary, BLOCK):
        x = load_logits(logits, bias, first + block, vocabulary, HAS_BIAS)
        highest_at = tl.where(x > highest, first + block, highest_at)
        highest = tl.maximum(highest, x)
    top = tl.max(highest, axis=0)
    best = tl.min(tl.where(highest == top, highest_at, vocabulary), axis=0)

    places = tl.arange(0, BLOCKS)
    masses = tl.zeros((BLOCKS,), tl.float32)
    total = tl.zeros((BLOCK,), tl.float32)
    moment = tl.zeros((BLOCK,), tl.float32)
    for first in range(0, vocabulary, BLOCK):
        x = load_logits(logits, bias, first + block, vocabulary, HAS_BIAS) - top
        e = tl.exp(x)
        total += e
        moment += e * tl.where(e > 0, x, 0.0)
        if SAMPLE:
            mass = tl.exp(x / temperature) if TEMPERED else e
            masses += tl.where(places == first // BLOCK, tl.sum(mass, axis=0), 0.0)
    z = tl.sum(total, axis=0)
    log_z = tl.log(z)

    right = tl.load(target + row)
    reached = tl.load(logits + right).to(tl.float32)
    if HAS_BIAS:
        reached += tl.load(bias + right).to(tl.float32)
    weight = tl.load(row_weight + row).to(tl.float32) if HAS_WEIGHT else 1.0
    tl.store(loss + row, (log_z - (reached - top)) * weight)
    tl.store(correct + row, best == right)
    tl.store(entropy + row, log_z - tl.sum(moment, axis=0) / z)

    if SAMPLE:
        threshold = tl.load(uniform + row).to(tl.float32) * tl.sum(masses, axis=0)
        chosen, before = first_beyond(masses, threshold, places, BLOCKS)
        x = load_logits(logits, bias, chosen * BLOCK + block, vocabulary, HAS_BIAS) - top
        mass = tl.exp(x / temperature) if TEMPERED else tl.exp(x)
        within, _ = first_beyond(mass, threshold - before, block, BLOCK)
        drawn = tl.minimum(chosen * BLOCK + within, vocabulary - 1).to(tl.int64)
        place = tl.load(index + row)
        tl.store(noised + place, drawn)
        tl.store(replaced + place, drawn != right)

    if GRADIENT:
        tl.debug_barrier()  # the row is written over: everyone must have read it
        for first in range(0, vocabulary, BLOCK):
            token = first + block
            x = load_logits(logits, bias, token, vocabulary, HAS_BIAS) - top
            d = tl.exp(x) / z - tl.where(token == right, 1.0, 0.0)
            d *= weight * gradient_scale
            tl.store(logits + token, d, mask=token < vocabulary)


def product_in_float32(a, b):
    """a @ b summed and returned in float32; torch has that for half precision on CUDA only."""
    if a.dtype == torch.float32:
        return a @ b
    if a.is_cuda:
        return torch.mm(a, b, out_dtype=torch.float32)
    return a.float() @ b.float()


@on_its_device
def forward(hidden, weight, bias, target, row_weight, draw, temperature, with_gradient):
    """As :func:`fairseq_metro.kernels.head_loss.head_loss_op`; draw: (uniform, tokens, index)."""
    rows, vocabulary, device = hidden.size(0), weight.size(0), hidden.device
    loss, entropy = torch.empty((2, rows), dtype=torch.float32, device=device)
    correct = torch.empty(rows, dtype=torch.bool, device=device)
    uniform, tokens, index = (loss, target[:0], target) if draw is None else draw
    noised = tokens.clone(memory_format=torch.contiguous_format)
    replaced = torch.zeros(tokens.shape, dtype=torch.bool, device=device)
    gradients = Gradients(hidden, weight, bias, with_gradient)
    weights = loss if row_weight is None else row_weight.contiguous()
    target, uniform, index = target.contiguous(), uniform.contiguous(), index.contiguous()
    step = max(1, CHUNK // vocabulary)
    for part in (slice(first, first + step) for first in range(0, rows, step)):
        logits = torch.mm(hidden[part], weight.t())
        rows_kernel[(len(logits),)](
            logits,
            logits if bias is None else bias,
            target[part],
            weights[part],
            uniform[part],
            index[part],
            loss[part],
            correct[part],
            entropy[part],
            noised,
            replaced,
            vocabulary,
            temperature,
            gradients.scale,
            HAS_BIAS=bias is not None,
            HAS_WEIGHT=row_weight is not None,
            SAMPLE=draw is not None,
            TEMPERED=temperature != 1.0,
            GRADIENT=with_gradient,
            **tiles(vocabulary),
        )
        gradients.add(part, logits, hidden[part], weight)
    return loss.sum(), correct, entropy.sum(), noised, replaced, *gradients.sums()


class Gradients:
    """Gradients of the summed loss by states, weight and bias, float32; all empty if not wanted."""

    def __init__(self, hidden, weight, bias, wanted):
        like = dict(dtype=torch.float32, device=hidden.device)
        self.wanted, n = wanted, int(wanted)
        self.hidden = torch.empty((n * hidden.size(0), hidden.size(1)), **like)
        self.weight = torch.zeros((n * weight.size(0), weight.size(1)), **like)
        self.bias = torch.zeros(n * weight.size(0) if bias is not None else 0, **like)
        self.scale = FLOAT16_SCALE if hidden.dtype == torch.float16 else 1.0

    def add(self, part, d_logits, hidden, weight):
        """What the rows of ``part`` give: d_logits (n, V), hidden (n, C), weight (V, C)."""
        if not self.wanted:
            return
        self.hidden[part] = product_in_float32(d_logits, weight)
        self.weight += product_in_float32(d_logits.t(), hidden)
        if len(self.bias):
            self.bias += d_logits.sum(0, dtype=torch.float32)

    def sums(self):
        found = self.hidden, self.weight, self.bias
        return found if self.scale == 1.0 else tuple(gradient / self.scale for gradient in found)


def tiles(vocabulary):
    """BLOCK, BLOCKS and warps for rows of ``vocabulary`` logits."""
    block = min(BLOCK, max(16, triton.next_power_of_2(vocabulary)))
    blocks = triton.next_power_of_2(triton.cdiv(vocabulary, block))
    return {"BLOCK": block, "BLOCKS": blocks, "num_warps": WARPS if block == BLOCK else 4}
