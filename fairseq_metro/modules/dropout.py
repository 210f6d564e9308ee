"""Dropout that costs little on a CPU."""

import torch
import torch.nn.functional as F


def dropout(x, p, training=True):
    """As torch's ``F.dropout``; on a CPU an element takes 16 random bits, so p is a multiple of 2^-16.

    torch draws a float for every element there, which is a sixth of the time of a small model's
    update; one draw of 64 bits serves four elements here. In what torch.compile reads it is torch's.

    >>> x = dropout(torch.ones(10000), 0.25)
    >>> sorted({round(float(value), 4) for value in x}), abs(float(x.mean()) - 1) < 0.03
    ([0.0, 1.3333], True)
    """
    if not training or p == 0.0 or x.device.type != "cpu" or torch.compiler.is_compiling():
        return F.dropout(x, p, training)
    return x * kept_elements(x.shape, p, x.dtype).mul_(keep_scale(p))


def kept_elements(shape, p, dtype):
    """1 where dropout leaves an element and 0 elsewhere, on a CPU; torch's generator draws them."""
    kept = torch.empty(shape, dtype=dtype)
    words = torch.empty(-(-kept.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
    bits = words.view(torch.int16)[: kept.numel()].view(shape)
    return torch.ge(bits, _lowest(p) - 2**15, out=kept)


def keep_scale(p):
    """1 over the share of elements that is left."""
    return 2**16 / (2**16 - _lowest(p))


def _lowest(p):
    return min(round(p * 2**16), 2**16 - 1)
