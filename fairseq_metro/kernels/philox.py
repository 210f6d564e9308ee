"""Philox (Salmon et al., 2011) in plain torch, word by word what the Triton kernels compute."""

import torch

_FACTORS, _STEPS, _LOW = (0xD2511F53, 0xCD9E8D57), (0x9E3779B9, 0xBB67AE85), 0xFFFFFFFF


def philox(seed, counter, rounds=10):
    """Four random words of 32 bits for every counter.

    seed (1,) int64: the key. counter: four int64 tensors that broadcast to one shape (...), of which
    the lower 32 bits count. Returns four int64 tensors (...).

    >>> words = philox(torch.tensor([0]), [torch.tensor(0)] * 4)
    >>> [f"{int(word):08x}" for word in words]
    ['6627e8d5', 'e169c58d', 'bc57ac4c', '9b00dbd8']
    """
    a, b, c, d = (word & _LOW for word in torch.broadcast_tensors(*counter))
    low, high = seed & _LOW, (seed >> 32) & _LOW
    for _ in range(rounds):
        (a_high, a_low), (c_high, c_low) = _product(a, _FACTORS[0]), _product(c, _FACTORS[1])
        a, b, c, d = c_high ^ b ^ low, c_low, a_high ^ d ^ high, a_low
        low, high = (low + _STEPS[0]) & _LOW, (high + _STEPS[1]) & _LOW
    return a, b, c, d


def _product(x, factor):
    """High and low 32 bits of x * factor, both below 2^32; no step leaves 63 bits."""
    upper, lower = x * (factor >> 16), x * (factor & 0xFFFF)
    lower_sum = ((upper & 0xFFFF) << 16) + (lower & _LOW)
    return (upper >> 16) + (lower >> 32) + (lower_sum >> 32), lower_sum & _LOW
