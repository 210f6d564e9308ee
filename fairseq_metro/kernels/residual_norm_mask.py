"""The dropout mask of :mod:`fairseq_metro.kernels.residual_norm`, in plain torch.

As attention's, see :mod:`fairseq_metro.kernels.attention_mask`: a function of the element's place and
the seed alone; eight neighbouring columns share a call of Philox, 16 random bits each.
"""

import torch

from fairseq_metro.kernels.attention_mask import ROUNDS, lowest_kept
from fairseq_metro.kernels.philox import philox

SHARED = 8  # columns of one call
SITE = 0x52455349  # the counter's last word: attention has another


def keep_mask(seed, rows, dim, dropout):
    """(N, C) bool: the elements that dropout leaves; seed (1,) int64, on the mask's device."""
    row = torch.arange(rows, device=seed.device)[:, None]
    group = torch.arange(-(-dim // SHARED), device=seed.device)
    zero = torch.zeros_like(group)
    words = philox(seed, (group, row, zero, torch.full_like(group, SITE)), ROUNDS)
    halves = torch.stack([half for word in words for half in (word & 0xFFFF, word >> 16)], dim=-1)
    return halves.flatten(-2)[:, :dim] >= lowest_kept(dropout)
