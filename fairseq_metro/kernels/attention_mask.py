"""The dropout mask of attention, in plain torch: what the Triton kernels drop.

Whether a weight is kept is a function of its place (batch, head, query, key) and the seed alone, so
forward and backward, every tile size and every device agree. Of 64 keys, those with the same number
modulo 8 share a call of Philox, 16 random bits each.
"""

import torch

from fairseq_metro.kernels.philox import philox

# 10 rounds are Philox's own; 7 pass all tests of randomness (Salmon et al., 2011, section 4).
ROUNDS = 7
SITE = 0x4154544E  # the counter's last word: other operations have another


def lowest_kept(dropout):
    """16 random bits from this number on keep their weight.

    >>> lowest_kept(0.5), lowest_kept(0.1)
    (32768, 6554)
    """
    return min(round(dropout * 2**16), 2**16 - 1)


def keep_scale(dropout):
    """1 / the share of weights that is kept: dropout as 16 bits can say it."""
    return 2**16 / (2**16 - lowest_kept(dropout))


def keep_mask(seed, batch, heads, queries, keys, dropout):
    """(B, H, T, S) bool: the weights that dropout leaves; seed (1,) int64, on the mask's device."""
    place = torch.arange(batch * heads, device=seed.device)[:, None, None]
    query = torch.arange(queries, device=seed.device)[:, None]
    blocks = -(-keys // 64)
    call = torch.arange(8 * blocks, device=seed.device)
    words = philox(seed, (call, query, place, torch.full_like(place, SITE)), ROUNDS)
    halves = torch.stack([half for word in words for half in (word & 0xFFFF, word >> 16)], dim=-1)
    kept = halves.unflatten(2, (blocks, 8)).transpose(3, 4).flatten(2) >= lowest_kept(dropout)
    return kept[..., :keys].view(batch, heads, queries, keys)
