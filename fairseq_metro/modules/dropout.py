"""Dropout that costs little on a CPU."""

import torch
import torch.nn.functional as F


def dropout(x, p, training=True):
    """As torch's ``F.dropout``; on a CPU an element takes 16 random bits, so p is a multiple of 2^-16.

    torch draws a float for every element there, which is a sixth of the time of a small model's
    update; one draw of 64 bits serves four elements here.

    >>> x = dropout(torch.ones(10000), 0.25)
    >>> sorted({round(float(value), 4) for value in x}), abs(float(x.mean()) - 1) < 0.03
    ([0.0, 1.3333], True)
    """
    if not training or p == 0.0 or x.device.type != "cpu":
        return F.dropout(x, p, training)
    lowest = min(round(p * 2**16), 2**16 - 1)
    words = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
    bits = words.view(torch.int16)[: x.numel()].view(x.shape)
    kept = bits.ge(lowest - 2**15).to(x.dtype)
    return x * kept.mul_(2**16 / (2**16 - lowest))
