"""The forward kernel of attention: softmax over tiles of keys, no scores in memory."""

import triton
import triton.language as tl

from fairseq_metro.kernels.attention_tiles import (
    CHANGING,
    bias_tile,
    end_of_keys,
    kept,
    load_rows,
    masked,
    side_of,
    store_rows,
)


@triton.jit(do_not_specialize=CHANGING)
def forward_kernel(
    q,
    k,
    v,
    by_distance,
    padding,
    query_segments,
    key_segments,
    seed,
    out,
    levels,
    q_batch,
    q_row,
    q_head,
    k_batch,
    k_row,
    k_head,
    heads,
    queries,
    keys,
    reach,
    scale,
    lowest,
    keep_scale,
    BIAS: tl.constexpr,
    PADDING: tl.constexpr,
    SEGMENTS: tl.constexpr,
    CAUSAL: tl.constexpr,
    DROPOUT: tl.constexpr,
    EVEN: tl.constexpr,
    PAD: tl.constexpr,
    D: tl.constexpr,
    WIDTH: tl.constexpr,
    M: tl.constexpr,
    N: tl.constexpr,
    PRECISION: tl.constexpr,
    ROUNDS: tl.constexpr,
    SITE: tl.constexpr,
):
    """A program: M queries of one head, all keys. levels (2, B, H, T): log2 of the largest
    exponential, and 1 over their sum when divided by it; infinite and 0 for a query that sees
    nothing. Apart, since at scores of 1e4 their product's logarithm has no digits left."""
    blocks = tl.cdiv(queries, M)
    place = tl.program_id(0) // blocks
    first_i = (tl.program_id(0) % blocks) * M
    batch, head = (place // heads).to(tl.int64), place % heads
    q_rows = load_rows(
        q + batch * q_batch + head * q_head, first_i, queries, q_row, D, M, WIDTH, EVEN
    )
    k += batch * k_batch + head * k_head
    v += batch * k_batch + head * k_head
    by_distance += head * (2 * (reach + PAD) + 1)
    padding += batch * keys
    query_segments += batch * queries
    key_segments += batch * keys
    i = first_i + tl.arange(0, M)

    key = tl.load(seed) if DROPOUT else 0
    top = tl.full((M,), float("-inf"), tl.float32)
    total = tl.zeros((M,), tl.float32)
    mixed = tl.zeros((M, WIDTH), tl.float32)
    last = keys
    if CAUSAL:
        last = tl.minimum(keys, first_i + M + keys - queries)
    if PADDING:  # tiles wholly of padding are not read
        last = tl.minimum(last, end_of_keys(padding, keys, 512))
    for first_j in range(0, last, N):
        k_rows = load_rows(k, first_j, keys, k_row, D, N, WIDTH, EVEN)
        side = side_of(first_i, first_j, queries, keys, reach, M, N)
        s = tl.dot(
            q_rows,
            tl.trans(k_rows),
            bias_tile(by_distance, first_i, first_j, queries, keys, reach, side, BIAS, PAD, M, N),
            input_precision=PRECISION,
        )
        s = masked(
            s, first_i, first_j, queries, keys, padding, query_segments, key_segments,
            PADDING, SEGMENTS, CAUSAL, EVEN, M, N,
        )  # fmt: skip
        higher = tl.maximum(top, tl.max(s, axis=1))
        base = tl.where(higher == float("-inf"), 0.0, higher * scale)  # no key seen yet
        p = tl.exp2(s * scale - base[:, None])
        shrink = tl.exp2(top * scale - base)
        total = total * shrink + tl.sum(p, axis=1)
        if DROPOUT:
            keep = kept(key, place, first_i, first_j, lowest, M, N, ROUNDS, SITE)
            p = tl.where(keep, p, 0.0)
        v_rows = load_rows(v, first_j, keys, k_row, D, N, WIDTH, EVEN)
        mixed = tl.dot(
            p.to(v_rows.dtype), v_rows, mixed * shrink[:, None], input_precision=PRECISION
        )
        top = higher

    seen = total > 0
    mixed *= (tl.where(seen, keep_scale / tl.where(seen, total, 1.0), 0.0))[:, None]
    row = heads * D
    out += batch * queries * row + head * D
    store_rows(out, mixed, first_i, queries, row, D, M, WIDTH)
    levels += place.to(tl.int64) * queries + i
    base = tl.where(seen, top * scale, float("inf"))
    tl.store(levels, base, mask=i < queries)
    levels += tl.num_programs(0).to(tl.int64) // blocks * queries
    tl.store(levels, tl.where(seen, 1.0 / tl.where(seen, total, 1.0), 0.0), mask=i < queries)


@triton.jit
def spread_kernel(
    table, bucket, by_distance, heads, reach, scale, PAD: tl.constexpr, HEADS: tl.constexpr,
    N: tl.constexpr,
):  # fmt: skip
    """by_distance[h, d] = table[bucket[d], h] / scale for distances up to reach + PAD, those beyond
    the reach as at it; table (buckets, H), by_distance (H, 2 (reach + PAD) + 1)."""
    x, size = tl.program_id(0) * N + tl.arange(0, N), 2 * (reach + PAD) + 1
    h = tl.arange(0, HEADS)
    row = tl.load(bucket + tl.minimum(tl.maximum(x - PAD, 0), 2 * reach))
    there = (h[:, None] < heads) & (x[None, :] < size)
    bias = tl.load(table + row[None, :] * heads + h[:, None], mask=there, other=0.0)
    tl.store(by_distance + h[:, None] * size + x[None, :], bias.to(tl.float32) / scale, mask=there)
