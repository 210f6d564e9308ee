"""The dropout mask that attention's kernels draw; run by test_attention.py in a process of its own."""

import torch
import triton
import triton.language as tl

from fairseq_metro.kernels.attention_mask import ROUNDS, SITE, keep_mask, lowest_kept
from fairseq_metro.kernels.attention_tiles import kept
from fairseq_metro.kernels.philox import philox
from tests.kernels.apart import device


@triton.jit
def export_kernel(
    seed, out, queries, keys, lowest, M: tl.constexpr, N: tl.constexpr, ROUNDS: tl.constexpr,
    SITE: tl.constexpr,
):  # fmt: skip
    place, first_i = tl.program_id(0), tl.program_id(1) * M
    for first_j in range(0, keys, N):
        keep = kept(tl.load(seed), place, first_i, first_j, lowest, M, N, ROUNDS, SITE)
        i, j = first_i + tl.arange(0, M)[:, None], first_j + tl.arange(0, N)[None, :]
        there = (i < queries) & (j < keys)
        tl.store(out + (place * queries + i) * keys + j, keep.to(tl.int8), mask=there)


def exported(seed, places, queries, keys, dropout, rows):
    out = torch.zeros(places, queries, keys, dtype=torch.int8, device=device())
    export_kernel[(places, -(-queries // rows))](
        seed, out, queries, keys, lowest_kept(dropout), M=rows, N=64, ROUNDS=ROUNDS, SITE=SITE
    )
    return out.bool()


def test_the_kernels_mask_is_the_references_for_every_tile():
    seed = torch.tensor([(77 << 32) + 4000000000], device=device())
    expected = keep_mask(seed, 1, 2, 50, 150, 0.3).view(2, 50, 150)
    for rows in (16, 64):
        assert torch.equal(exported(seed, 2, 50, 150, 0.3, rows), expected)


@triton.jit
def words_kernel(out, seed, ROUNDS: tl.constexpr):
    n = tl.arange(0, 2)
    zero = tl.zeros_like(n)
    a, b, c, d = tl.philox(tl.load(seed), n, zero, zero, zero, ROUNDS)
    tl.store(out + n, a.to(tl.int64))
    tl.store(out + 2 + n, b.to(tl.int64))
    tl.store(out + 4 + n, c.to(tl.int64))
    tl.store(out + 6 + n, d.to(tl.int64))


def test_philox_gives_the_known_answers():
    seed = torch.zeros(1, dtype=torch.int64, device=device())
    out = torch.zeros(8, dtype=torch.int64, device=device())
    words_kernel[(1,)](out, seed, ROUNDS=10)
    counters = torch.arange(2, device=device())
    ours = torch.stack(philox(seed, [counters, *[torch.zeros_like(counters)] * 3]))
    known = ["6627e8d5 f8e4cca4", "e169c58d 5cb200db", "bc57ac4c b1a574eb", "9b00dbd8 097eff67"]
    known = torch.tensor([[int(word, 16) for word in line.split()] for line in known])
    assert torch.equal(out.view(4, 2).cpu(), known) and torch.equal(ours.cpu(), known)
