"""What forward and backward of attention do with a tile of scores, M queries x N keys, in Triton."""

import triton
import triton.language as tl

# Arguments that change from batch to batch or model to model: no kernel is compiled again for them.
CHANGING = ["queries", "keys", "reach", "lowest"]
# Distances beyond the bias's reach that stand beside it, so that no tile has to look for its end.
PAD = 192


@triton.jit
def bias_tile(
    by_distance, first_i, first_j, queries, keys, reach, side,
    BIAS: tl.constexpr, PAD: tl.constexpr, M: tl.constexpr, N: tl.constexpr,
):  # fmt: skip
    """What the product of queries and keys is added to: the bias divided by the softmax's scale.

    by_distance: of a head and the distances from -(reach + PAD) on; side: of :func:`side_of`. The
    last query stands at the position of the last key.
    """
    tile = tl.zeros((M, N), tl.float32)
    if BIAS:
        if side == 0:
            corner = by_distance + (first_j - first_i + queries - keys + reach + PAD)
            tile = tl.load(corner + (tl.arange(0, N)[None, :] - tl.arange(0, M)[:, None]))
        else:
            tile += tl.load(by_distance + reach + PAD + side * reach)
    return tile


@triton.jit
def masked(
    s, first_i, first_j, queries, keys, padding, query_segments, key_segments,
    PADDING: tl.constexpr, SEGMENTS: tl.constexpr, CAUSAL: tl.constexpr, EVEN: tl.constexpr,
    M: tl.constexpr, N: tl.constexpr,
):  # fmt: skip
    """Scores, -inf where a query may not see a key."""
    i, j = first_i + tl.arange(0, M), first_j + tl.arange(0, N)
    if PADDING or not EVEN:
        seen = j < keys
        if PADDING:
            seen = tl.load(padding + j, mask=seen, other=1) == 0
        s = tl.where(seen[None, :], s, float("-inf"))
    if CAUSAL:
        s = tl.where(j[None, :] <= (i + (keys - queries))[:, None], s, float("-inf"))
    if SEGMENTS:
        own = tl.load(query_segments + i, mask=i < queries, other=-1)
        others = tl.load(key_segments + j, mask=j < keys, other=-2)
        s = tl.where(own[:, None] == others[None, :], s, float("-inf"))
    return s


@triton.jit
def end_of_keys(padding, keys, BLOCK: tl.constexpr):
    """1 + the last key of a row of padding (keys,) that is none; 0 where all are."""
    ends = tl.zeros((BLOCK,), tl.int32)
    for first in range(0, keys, BLOCK):
        j = first + tl.arange(0, BLOCK)
        seen = tl.load(padding + j, mask=j < keys, other=1) == 0
        ends = tl.maximum(ends, tl.where(seen, j + 1, 0))
    return tl.max(ends, axis=0)


@triton.jit
def side_of(first_i, first_j, queries, keys, reach, M: tl.constexpr, N: tl.constexpr):
    """-1 or 1 for a tile all of whose keys are at least ``reach`` behind or ahead of its queries,
    so that they share one bias; 0 for the others."""
    lowest = first_j - (first_i + M - 1) + (queries - keys)
    highest = first_j + N - 1 - first_i + (queries - keys)
    return tl.where(lowest >= reach, 1, tl.where(highest <= -reach, -1, 0))


@triton.jit
def kept(
    seed, place, first_i, first_j, lowest, M: tl.constexpr, N: tl.constexpr,
    ROUNDS: tl.constexpr, SITE: tl.constexpr,
):  # fmt: skip
    """Where dropout leaves the weights of a tile, (M, N) bool; place: batch * heads + head.

    See :mod:`fairseq_metro.kernels.attention_mask`. The keys that share a call of Philox are those
    that a thread of a matrix product holds, so its words need no exchange.
    """
    tl.static_assert(N == 64)
    i = first_i + tl.arange(0, M)
    group = first_j // 8 + tl.arange(0, 8)
    zero = tl.zeros((M, 8), tl.uint32)
    a, b, c, d = tl.philox(
        seed, zero + group[None, :], zero + i[:, None], zero + place, zero + SITE, ROUNDS
    )
    # Of the tile's 8 x 8 columns the first number is the half word, the second the call.
    words = tl.join(tl.join(a, c), tl.join(b, d))
    halves = tl.join(words << 16, words)
    halves = tl.permute(tl.reshape(halves, (M, 8, 8)), (0, 2, 1))
    return tl.reshape(halves, (M, N)) >= (tl.zeros((1, 1), tl.uint32) + lowest) << 16


@triton.jit
def diagonal_sums(d, M: tl.constexpr, N: tl.constexpr):
    """Sums along the diagonals of a tile d (M, N) of queries x keys, M <= N: two of (N,).

    Entry e of the first is diagonal e - N (key minus query), of the second diagonal e. Every row is
    turned until its diagonals stand below each other.
    """
    row, column = tl.arange(0, M)[:, None], tl.arange(0, N)[None, :]
    turned = tl.gather(d, (row + column) % N, axis=1)
    below = row + column >= N
    return tl.sum(tl.where(below, turned, 0.0), axis=0), tl.sum(
        tl.where(below, 0.0, turned), axis=0
    )


@triton.jit
def load_rows(
    pointer, first, count, stride, D: tl.constexpr, M: tl.constexpr, WIDTH: tl.constexpr,
    EVEN: tl.constexpr,
):  # fmt: skip
    """Rows first to first + M of a (count, D) matrix, WIDTH >= D columns: zeros where none are."""
    row, column = first + tl.arange(0, M), tl.arange(0, WIDTH)
    place = pointer + row[:, None].to(tl.int64) * stride + column[None, :]
    if EVEN and D == WIDTH:
        return tl.load(place)
    return tl.load(place, mask=(row[:, None] < count) & (column[None, :] < D), other=0.0)


@triton.jit
def store_rows(
    pointer, x, first, count, stride, D: tl.constexpr, M: tl.constexpr, WIDTH: tl.constexpr
):
    """The counterpart of :func:`load_rows`, in the matrix's own dtype."""
    row, column = first + tl.arange(0, M), tl.arange(0, WIDTH)
    place = pointer + row[:, None].to(tl.int64) * stride + column[None, :]
    there = (row[:, None] < count) & (column[None, :] < D)
    tl.store(place, x.to(pointer.dtype.element_ty), mask=there)
