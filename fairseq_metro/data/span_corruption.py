"""Span corruption: T5's noise and targets (METRO-T0, equation 1), by the released code's algorithm.

Its steps, for ``n`` tokens that may be masked, masking probability ``m``, share of empty spans ``e``
and longest span ``L``; int(x + u) with u uniform in [0, 1) rounds x at random, right on average:

1. ``int(m (1 - e) n / ((1 + L) / 2) + u)`` anchors, without replacement.
2. Of them, all but one in L, at random, go on with the next token; of those all but one in L - 1;
   and so on: lengths 1 to L are equally frequent. Spans may meet, and run on at the block's start.
3. Empty spans, for what is missing of m n masked tokens, at most a share e of them: a sentinel
   before an unmasked token between unmasked neighbours.

Only ordinary tokens count and are masked, as in METRO's i.i.d. masks, so that both objectives
corrupt the same kind of token, in equal shares; a span that meets ``<s>`` or ``</s>`` goes on behind
it and has another sentinel there. (``--recipe release`` masks them as well.)
"""

import math

import numpy as np


def expected_anchors(n, mask_prob, empty_prob, longest_span):
    """How many spans of lengths 1 to L begin among ``n`` tokens, on average: a float."""
    return mask_prob * (1 - empty_prob) * n / ((1 + longest_span) / 2)


def span_counts(n, mask_prob, empty_prob, longest_span, rng):
    """How many spans have a 1st, 2nd, … L-th token: int64 (L,), never rising.

    >>> span_counts(1000, 0.15, 0.0, 5, np.random.default_rng(0)).tolist()
    [50, 40, 30, 20, 10]
    """
    counts = np.empty(longest_span, dtype=np.int64)
    count = expected_anchors(n, mask_prob, empty_prob, longest_span)
    for i, u in enumerate(rng.random(longest_span)):
        if i > 0:
            count *= 1 - 1 / (longest_span - i + 1)
        counts[i] = count = int(count + u)
    return counts


def choose_masked_in_spans(ordinary, mask_prob, empty_prob, longest_span, rng):
    """Which tokens of a block are masked: bool (T,).

    ordinary: bool (T,), False at tokens that are never masked; rng: a NumPy generator.
    """
    candidates = np.flatnonzero(ordinary)
    n = len(candidates)
    counts = span_counts(n, mask_prob, empty_prob, longest_span, rng)
    # The anchors come in random order, so the first k of them are any k of them.
    anchors = rng.choice(n, counts[0], replace=False)
    masked = np.zeros(len(ordinary), dtype=bool)
    for offset, count in enumerate(counts):
        masked[candidates[(anchors[:count] + offset) % n]] = True
    return masked


def expected_masked_in_spans(n, mask_prob, empty_prob, longest_span):
    """How many of ``n`` ordinary tokens :func:`choose_masked_in_spans` masks on average: a float.

    A token stays unmasked where the k-th before it is none of the first ``counts[k]`` anchors, for
    each k below L. The anchors' order is a random permutation, and the counts never rise, so that is
    the product over k of (n - counts[k] - k) / (n - k).

    >>> round(expected_masked_in_spans(512, 0.15, 0.0, 5), 3)  # spans overlap: fewer than 76.8
    72.737
    """

    def over_counts(counts, expected):
        """The mean over what :func:`span_counts` can be from here on, each rounding up or down."""
        if len(counts) == min(longest_span, n):
            unmasked = math.prod(max(n - c - k, 0) / (n - k) for k, c in enumerate(counts))
            return n * (1 - unmasked)
        lower = int(expected)
        shares = ((lower, 1 - (expected - lower)), (lower + 1, expected - lower))
        factor = 1 - 1 / (longest_span - len(counts))
        return sum(
            share * over_counts([*counts, c], c * factor) for c, share in shares if share > 0
        )

    return over_counts([], expected_anchors(n, mask_prob, empty_prob, longest_span)) if n else 0.0


def span_starts(masked):
    """Positions at which masked spans begin, ascending: bool (T,) -> int64.

    >>> span_starts(np.array([False, True, True, False, True])).tolist()
    [1, 4]
    """
    return np.flatnonzero(masked & ~np.append(False, masked[:-1]))


def choose_empty(ordinary, masked, mask_prob, empty_prob, most, rng):
    """Positions of unmasked tokens that get a sentinel in front, an empty span: ascending int64.

    ordinary, masked: bool (T,). most: limit on their number.
    """
    n, n_masked = int(ordinary.sum()), int(masked.sum())
    missing = int(mask_prob * n - n_masked + rng.random()) if mask_prob * n > n_masked else 0
    count = min(missing, most_empty(n, mask_prob, empty_prob), most)
    if count <= 0:
        return np.zeros(0, dtype=np.int64)
    near = masked.copy()
    near[1:] |= masked[:-1]
    near[:-1] |= masked[1:]
    candidates = np.flatnonzero(ordinary & ~near)
    return np.sort(rng.choice(candidates, min(count, len(candidates)), replace=False))


def choose_spans(ordinary, rng, *, mask_prob, empty_prob, longest_span, sentinels, longest_source):
    """Masked tokens of a block and where its spans begin: bool (T,), int64 ascending.

    sentinels: at most so many spans; too many, which only spans that ``</s>`` cuts in two can be,
    leaves some out at random. longest_source: no empty spans beyond this many source tokens (the
    released code cuts the source's end off instead).
    """
    masked = choose_masked_in_spans(ordinary, mask_prob, empty_prob, longest_span, rng)
    starts = span_starts(masked)
    if len(starts) > sentinels:
        span = np.cumsum(np.isin(np.arange(len(masked)), starts)) - 1  # of each masked token
        kept = rng.choice(len(starts), sentinels, replace=False)
        masked &= np.isin(span, kept)
        starts = span_starts(masked)
    room = longest_source - (len(masked) - int(masked.sum()) + len(starts))
    most = min(sentinels - len(starts), room)
    empty = choose_empty(ordinary, masked, mask_prob, empty_prob, most, rng)
    return masked, np.sort(np.append(starts, empty))


def corrupt(block, masked, starts, sentinels, end_of_target):
    """Source and target of a block, int64 each.

    block (T,) int64; masked (T,) bool; starts: positions before which the sentinels go, in order;
    sentinels: their ids, at least as many.

    >>> masked = np.array([False, True, True, False, False, False])
    >>> source, target = corrupt(np.arange(10, 16), masked, np.array([1, 5]), np.array([91, 92]), 2)
    >>> source.tolist(), target.tolist()
    ([10, 91, 13, 14, 92, 15], [91, 11, 12, 92, 2])
    """
    sentinels = sentinels[: len(starts)]
    masked_before = np.append(0, np.cumsum(masked))[starts]
    source = np.insert(block[~masked], starts - masked_before, sentinels)
    target = np.insert(block[masked], masked_before, sentinels)
    return source, np.append(target, end_of_target)


# What can be known before anything is drawn


def most_empty(n, mask_prob, empty_prob):
    """The largest number of empty spans in a block of ``n`` ordinary tokens."""
    return int(mask_prob * empty_prob * n + 1)


def most_spans(n, mask_prob, empty_prob, longest_span):
    """The largest number of spans in ``n`` ordinary tokens in a row, empty ones included.

    >>> most_spans(510, 0.15, 0.1, 5), most_spans(510, 0.15, 0.1, 1)
    (32, 77)
    """
    anchors = math.ceil(expected_anchors(n, mask_prob, empty_prob, longest_span))
    cut_by_the_end = int(longest_span > 1)
    return anchors + cut_by_the_end + most_empty(n, mask_prob, empty_prob)


def longest_target(n, mask_prob, empty_prob, longest_span, sentinels):
    """A length that no target of a block with ``n`` ordinary tokens exceeds.

    >>> longest_target(510, 0.15, 0.1, 5, 128)
    157
    """
    count, masked = expected_anchors(n, mask_prob, empty_prob, longest_span), 0
    for i in range(longest_span):
        count = math.ceil(count * (1 - 1 / (longest_span - i + 1)) if i > 0 else count)
        masked += count
    masked = min(masked, n)
    return masked + min(sentinels, masked + most_empty(n, mask_prob, empty_prob)) + 1
