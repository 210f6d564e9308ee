"""The backward kernels of attention: scores are computed again, tile by tile, and never stored.

One kernel gives the queries' gradient and that of the bias, one that of keys and values. No sum is
made by atomic additions: the same inputs give the same gradients, bit by bit.

A score's gradient is p (d_p - delta), delta being d_out times the output, as in FlashAttention-2. Where
one weight is nearly 1 the two are equal but for their rounding, at most a few float32 units of the
sum of |d_out| |v|; the sum of p d_p in delta's place would be 0 there, and another pass over all keys.
"""

import triton
import triton.language as tl

from fairseq_metro.kernels.attention_tiles import (
    CHANGING,
    bias_tile,
    diagonal_sums,
    end_of_keys,
    kept,
    load_rows,
    masked,
    side_of,
    store_rows,
)


@triton.jit(do_not_specialize=CHANGING)
def query_kernel(
    q,
    k,
    v,
    by_distance,
    padding,
    query_segments,
    key_segments,
    seed,
    out,
    d_out,
    levels,
    delta,
    d_q,
    diagonals,
    q_batch,
    q_row,
    q_head,
    k_batch,
    k_row,
    k_head,
    d_batch,
    d_row,
    d_head,
    g_batch,
    g_row,
    g_head,
    heads,
    queries,
    keys,
    reach,
    scale,
    softmax_scale,
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
    """A program: M queries of one head, all keys. Also writes delta (B, H, T), the sums of d_out x
    out, for the other kernel, and its row of diagonals (B, H, T / M, S + N, rounded up to tiles):
    entry x is the sum over key - query = x - N - (first query)."""
    tl.static_assert(M <= N or not BIAS)
    blocks = tl.cdiv(queries, M)
    place = tl.program_id(0) // blocks
    first_i = (tl.program_id(0) % blocks) * M
    batch, head = (place // heads).to(tl.int64), place % heads
    padding += batch * keys
    end = end_of_keys(padding, keys, 512) if PADDING else keys
    i = first_i + tl.arange(0, M)
    q_rows = load_rows(
        q + batch * q_batch + head * q_head, first_i, queries, q_row, D, M, WIDTH, EVEN
    )
    d_out += batch * d_batch + head * d_head
    d_rows = load_rows(d_out, first_i, queries, d_row, D, M, WIDTH, EVEN)
    row = heads * D
    out += batch * queries * row + head * D
    out_rows = load_rows(out, first_i, queries, row, D, M, WIDTH, EVEN)
    own = tl.sum(d_rows.to(tl.float32) * out_rows.to(tl.float32), axis=1)
    lines = place.to(tl.int64) * queries + i
    tl.store(delta + lines, own, mask=i < queries)
    base = tl.load(levels + lines, mask=i < queries, other=float("inf"))
    levels += tl.num_programs(0).to(tl.int64) // blocks * queries
    share = tl.load(levels + lines, mask=i < queries, other=0.0)
    own *= share
    share *= keep_scale
    k += batch * k_batch + head * k_head
    v += batch * k_batch + head * k_head
    by_distance += head * (2 * (reach + PAD) + 1)
    query_segments += batch * queries
    key_segments += batch * keys

    key = tl.load(seed) if DROPOUT else 0
    gradient = tl.zeros((M, WIDTH), tl.float32)
    open_sums = tl.zeros((N,), tl.float32)  # diagonals that the next tile adds to
    diagonals += tl.program_id(0).to(tl.int64) * (tl.cdiv(keys, N) + 1) * N + tl.arange(0, N)
    last = keys
    if CAUSAL:
        last = tl.maximum(0, tl.minimum(keys, first_i + M + keys - queries))
    if PADDING:
        last = tl.minimum(last, end)
    for first_j in range(0, last, N):
        side = side_of(first_i, first_j, queries, keys, reach, M, N)
        k_rows = load_rows(k, first_j, keys, k_row, D, N, WIDTH, EVEN)
        v_rows = load_rows(v, first_j, keys, k_row, D, N, WIDTH, EVEN)
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
        p = tl.exp2(s * scale - base[:, None])  # times share: the weight
        d_p = tl.dot(d_rows, tl.trans(v_rows), input_precision=PRECISION)
        if DROPOUT:
            keep = kept(key, place, first_i, first_j, lowest, M, N, ROUNDS, SITE)
            d_p = tl.where(keep, d_p, 0.0)
        d_s = p * (d_p * share[:, None] - own[:, None])
        if BIAS:
            if side == 0:
                behind, ahead = diagonal_sums(d_s, M, N)
            else:  # one bucket: the sum may stand at any of the tile's diagonals
                whole = tl.sum(tl.sum(d_s, axis=1), axis=0)
                behind = tl.where(tl.arange(0, N) == N - 1, whole, 0.0)
                ahead = tl.zeros((N,), tl.float32)
            tl.store(diagonals + first_j, open_sums + behind)
            open_sums = ahead
        gradient = tl.dot(d_s.to(k_rows.dtype), k_rows, gradient, input_precision=PRECISION)
    if BIAS:
        for first_j in range(tl.cdiv(last, N) * N, (tl.cdiv(keys, N) + 1) * N, N):
            tl.store(diagonals + first_j, open_sums)
            open_sums = tl.zeros((N,), tl.float32)
    d_q += batch * g_batch + head * g_head
    store_rows(d_q, gradient * softmax_scale, first_i, queries, g_row, D, M, WIDTH)


@triton.jit(do_not_specialize=CHANGING)
def key_kernel(
    q,
    k,
    v,
    by_distance,
    padding,
    query_segments,
    key_segments,
    seed,
    d_out,
    levels,
    delta,
    d_k,
    d_v,
    q_batch,
    q_row,
    q_head,
    k_batch,
    k_row,
    k_head,
    d_batch,
    d_row,
    d_head,
    g_batch,
    g_row,
    g_head,
    heads,
    queries,
    keys,
    reach,
    scale,
    softmax_scale,
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
    """A program: N keys of one head, all queries; scores are queries x keys, as everywhere."""
    blocks = tl.cdiv(keys, N)
    place = tl.program_id(0) // blocks
    first_j = (tl.program_id(0) % blocks) * N
    batch, head = (place // heads).to(tl.int64), place % heads
    padding += batch * keys
    d_k += batch * g_batch + head * g_head
    d_v += batch * g_batch + head * g_head
    if PADDING:  # nobody sees a tile of padding
        j = first_j + tl.arange(0, N)
        seen = tl.load(padding + j, mask=j < keys, other=1) == 0
        if tl.max(seen.to(tl.int32), axis=0) == 0:
            nothing = tl.zeros((N, WIDTH), tl.float32)
            store_rows(d_k, nothing, first_j, keys, g_row, D, N, WIDTH)
            store_rows(d_v, nothing, first_j, keys, g_row, D, N, WIDTH)
            return
    k_rows = load_rows(k + batch * k_batch + head * k_head, first_j, keys, k_row, D, N, WIDTH, EVEN)
    v_rows = load_rows(v + batch * k_batch + head * k_head, first_j, keys, k_row, D, N, WIDTH, EVEN)
    q += batch * q_batch + head * q_head
    d_out += batch * d_batch + head * d_head
    levels += place.to(tl.int64) * queries
    shares = levels + tl.num_programs(0).to(tl.int64) // blocks * queries
    delta += place.to(tl.int64) * queries
    by_distance += head * (2 * (reach + PAD) + 1)
    query_segments += batch * queries
    key_segments += batch * keys

    key = tl.load(seed) if DROPOUT else 0
    key_gradient = tl.zeros((N, WIDTH), tl.float32)
    value_gradient = tl.zeros((N, WIDTH), tl.float32)
    first = 0
    if CAUSAL:
        first = tl.maximum(0, first_j + queries - keys) // M * M
    for first_i in range(first, queries, M):
        i = first_i + tl.arange(0, M)
        q_rows = load_rows(q, first_i, queries, q_row, D, M, WIDTH, EVEN)
        d_rows = load_rows(d_out, first_i, queries, d_row, D, M, WIDTH, EVEN)
        base = tl.load(levels + i, mask=i < queries, other=float("inf"))
        share = tl.load(shares + i, mask=i < queries, other=0.0)
        own = tl.load(delta + i, mask=i < queries, other=0.0)
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
        p = tl.exp2(s * scale - base[:, None]) * share[:, None]
        d_p = tl.dot(d_rows, tl.trans(v_rows), input_precision=PRECISION)
        left = p
        if DROPOUT:
            keep = kept(key, place, first_i, first_j, lowest, M, N, ROUNDS, SITE)
            left = tl.where(keep, p, 0.0)
            d_p = tl.where(keep, d_p, 0.0)
        value_gradient = tl.dot(
            tl.trans(left.to(d_rows.dtype)), d_rows, value_gradient, input_precision=PRECISION
        )
        d_s = p * (d_p * keep_scale - own[:, None])
        d_s = tl.trans(d_s.to(q_rows.dtype))
        key_gradient = tl.dot(d_s, q_rows, key_gradient, input_precision=PRECISION)

    store_rows(d_k, key_gradient * softmax_scale, first_j, keys, g_row, D, N, WIDTH)
    store_rows(d_v, value_gradient * keep_scale, first_j, keys, g_row, D, N, WIDTH)


@triton.jit(do_not_specialize=CHANGING[:3])
def bucket_kernel(
    diagonals,
    bucket,
    d_table,
    heads,
    queries,
    keys,
    reach,
    M: tl.constexpr,
    N: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """d_table[b, h]: the sum of diagonals (H, T / M, S + N) whose distance has bucket b."""
    own, head = tl.program_id(0), tl.program_id(1)
    width = (tl.cdiv(keys, N) + 1) * N
    size = tl.cdiv(queries, M) * width
    diagonals += head.to(tl.int64) * size
    total = tl.zeros((BLOCK,), tl.float32)
    for first in range(0, size, BLOCK):
        x = first + tl.arange(0, BLOCK)
        distance = x % width - N - (x // width) * M + (queries - keys)
        distance = tl.minimum(tl.maximum(distance, -reach), reach)
        row = tl.load(bucket + reach + distance)
        total += tl.load(diagonals + x, mask=(x < size) & (row == own), other=0.0)
    tl.store(d_table + own * heads + head, tl.sum(total, axis=0))
