"""Span corruption against lists: a slow reading of the facts, and the block put together again."""

import math
import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairseq_metro.data import span_corruption as sc

SENTINELS = list(range(1000, 1200))
END = 999


def slow_spans(n, mask_prob, empty_prob, longest, rng):
    """The algorithm on n tokens that may all be masked, one token at a time.

    Returns the set of masked positions and the list of positions before which sentinels go.
    """

    def rounded(x):
        return int(x + rng.random())

    frontier = rng.sample(range(n), rounded(mask_prob * (1 - empty_prob) * n / ((1 + longest) / 2)))
    masked = set(frontier)
    for i in range(longest - 1):
        some = rng.sample(frontier, rounded(len(frontier) * (1 - 1 / (longest - i))))
        frontier = [(position + 1) % n for position in some]
        masked.update(frontier)
    missing = max(0, rounded(mask_prob * n - len(masked)))
    free = [p for p in range(n) if not masked & {p - 1, p, p + 1}]
    empty = rng.sample(free, min(missing, int(mask_prob * empty_prob * n + 1), len(free)))
    rises = [p for p in range(n) if p in masked and p - 1 not in masked]
    return masked, sorted(rises + empty)


def put_together(source, target):
    """The original block: each sentinel of the source gives way to what follows it in the target."""
    assert target[-1] == END
    spans, source = {}, list(source)
    for token in target[:-1]:
        if token in SENTINELS:
            spans[token] = []
            last = token
        else:
            spans[last].append(token)
    block = []
    for token in source:
        block += spans.pop(token) if token in SENTINELS else [token]
    assert not spans
    return block


def chi_square(ours, theirs):
    """Homogeneity of two counters: (statistic - freedom) / sqrt(2 freedom), rare values together."""
    rare = [key for key in ours | theirs if ours[key] + theirs[key] < 20]
    a, b = (Counter({key: c[key] for key in c if key not in rare}) for c in (ours, theirs))
    for kept, whole in ((a, ours), (b, theirs)):
        kept["rare"] = sum(whole[key] for key in rare)
    total_a, total_b = sum(a.values()), sum(b.values())
    keys = [key for key in a | b if a[key] + b[key] > 0]
    statistic = 0.0
    for key in keys:
        both = a[key] + b[key]
        for count, total in ((a[key], total_a), (b[key], total_b)):
            expected = both * total / (total_a + total_b)
            statistic += (count - expected) ** 2 / expected
    freedom = max(len(keys) - 1, 1)
    return (statistic - freedom) / math.sqrt(2 * freedom)


def runs(masked, n):
    """Lengths of the runs of masked positions."""
    lengths, run = [], 0
    for position in range(n + 1):
        if position in masked:
            run += 1
        elif run:
            lengths.append(run)
            run = 0
    return lengths


@pytest.mark.parametrize(
    "n, mask_prob, empty_prob, longest", [(63, 0.15, 0.1, 5), (26, 0.4, 0.2, 3), (43, 0.15, 0.1, 1)]
)
def test_spans_are_distributed_as_in_a_slow_reading_of_the_algorithm(
    n, mask_prob, empty_prob, longest
):
    ours, theirs = (
        {name: Counter() for name in ("masked", "lengths", "spans", "empty", "where")}
        for _ in range(2)
    )
    rng, slow_rng = np.random.default_rng(0), random.Random(0)
    ordinary = np.ones(n, dtype=bool)
    for _ in range(4000):
        flags, starts = sc.choose_spans(
            ordinary,
            rng,
            mask_prob=mask_prob,
            empty_prob=empty_prob,
            longest_span=longest,
            sentinels=200,
            longest_source=2 * n,
        )
        fast = set(np.flatnonzero(flags).tolist()), starts.tolist()
        for found, (masked, begins) in (
            (ours, fast),
            (theirs, slow_spans(n, mask_prob, empty_prob, longest, slow_rng)),
        ):
            found["masked"][len(masked)] += 1
            found["lengths"].update(runs(masked, n))
            found["spans"][len(begins)] += 1
            found["empty"][sum(p not in masked for p in begins)] += 1
            found["where"].update(masked)
    for name in ours:
        assert abs(chi_square(ours[name], theirs[name])) < 5, name


def test_a_single_span_has_every_length_equally_often():
    rng, found = np.random.default_rng(0), Counter()
    for _ in range(20000):
        counts = sc.span_counts(10, 0.15, 0.0, 5, rng)  # half an anchor on average
        assert counts[0] in (0, 1)
        found[int(counts.sum())] += 1
    single = sum(found[length] for length in range(1, 6))
    assert abs(single - 10000) < 5 * math.sqrt(5000)
    statistic = sum((found[length] - single / 5) ** 2 / (single / 5) for length in range(1, 6))
    assert statistic < 4 + 5 * math.sqrt(8)


@pytest.mark.parametrize("longest", [1, 3, 5])
def test_the_masked_share_is_right_on_average(longest):
    """Before spans meet: mask_prob (1 - empty_prob) of the tokens."""
    rng = np.random.default_rng(0)
    sums = [sc.span_counts(101, 0.15, 0.1, longest, rng).sum() for _ in range(20000)]
    error = np.std(sums) / math.sqrt(len(sums))
    assert abs(np.mean(sums) - 0.15 * 0.9 * 101) < 5 * error + 1e-9


def test_roughly_the_share_asked_for_is_masked_in_a_block_of_the_papers_length():
    rng = np.random.default_rng(0)
    ordinary = np.ones(511, dtype=bool)
    masked = [sc.choose_masked_in_spans(ordinary, 0.15, 0.1, 5, rng).sum() for _ in range(500)]
    assert 0.12 < np.mean(masked) / 511 < 0.135  # some spans overlap


blocks = st.lists(st.tuples(st.integers(4, 30), st.integers(0, 5)), min_size=2, max_size=70)
parameters = st.tuples(
    st.sampled_from([0.05, 0.15, 0.5, 1.0]), st.sampled_from([0.0, 0.1, 0.6]), st.integers(1, 6)
)


def choose(items, parameters, seed, sentinels=200, longest_source=None):
    block = np.array([2 if special == 0 else token for token, special in items])
    block[0] = 0
    mask_prob, empty_prob, longest_span = parameters
    masked, starts = sc.choose_spans(
        block >= 4,
        np.random.default_rng(seed),
        mask_prob=mask_prob,
        empty_prob=empty_prob,
        longest_span=longest_span,
        sentinels=sentinels,
        longest_source=longest_source or len(block),
    )
    return block, masked, starts


@given(blocks, parameters, st.integers(0, 1000), st.sampled_from([1, 3, 200]))
def test_source_and_target_hold_the_whole_block(items, parameters, seed, sentinels):
    block, masked, starts = choose(items, parameters, seed, sentinels)
    source, target = sc.corrupt(block, masked, starts, np.array(SENTINELS), END)
    assert put_together(source.tolist(), target.tolist()) == block.tolist()
    used = SENTINELS[: len(starts)]
    assert [t for t in source.tolist() if t in SENTINELS] == used
    assert [t for t in target.tolist() if t in SENTINELS] == used
    assert len(starts) <= sentinels
    assert len(source) <= len(block)
    ordinary = [t for t in target.tolist()[:-1] if t not in SENTINELS]
    assert ordinary == [t for t, m in zip(block.tolist(), masked, strict=True) if m]
    assert all(t >= 4 for t in ordinary)


@given(blocks, parameters, st.integers(0, 1000))
def test_each_span_and_each_empty_span_stands_alone(items, parameters, seed):
    block, masked, starts = choose(items, parameters, seed, longest_source=200)
    padded = [False, *masked.tolist(), False]
    begins = {p for p in range(len(block)) if padded[p + 1] and not padded[p]}
    assert begins <= set(starts.tolist())
    assert starts.tolist() == sorted(set(starts.tolist()))
    empty = set(starts.tolist()) - begins
    for p in empty:
        assert block[p] >= 4 and not any(padded[p : p + 3])
    n = int((block >= 4).sum())
    assert len(empty) <= sc.most_empty(n, *parameters[:2])
    assert not empty or len(empty) + masked.sum() <= parameters[0] * n + 1


@given(st.integers(1, 80), parameters, st.integers(0, 1000))
def test_nothing_exceeds_what_was_known_before(n, parameters, seed):
    items = [(5, 1)] * (n + 1)
    block, masked, starts = choose(items, parameters, seed, longest_source=2 * n + 5)
    _, target = sc.corrupt(block, masked, starts, np.array(SENTINELS), END)
    assert len(starts) <= sc.most_spans(n, *parameters)
    assert len(target) <= sc.longest_target(n, *parameters, 200)


def test_the_largest_number_of_spans_is_reached():
    """Two anchors, of which one runs on at the start, and nine empty spans."""
    items, parameters = [(5, 1)] * 25, (0.5, 0.8, 4)
    most = max(len(choose(items, parameters, seed, longest_source=99)[2]) for seed in range(200))
    assert most == sc.most_spans(24, *parameters) == 12


def test_a_span_goes_on_behind_a_special_token_under_another_sentinel():
    items = [(0, 1), *((token, token % 3) for token in range(4, 34))]
    found = Counter()
    for seed in range(50):
        block, masked, starts = choose(items, (0.5, 0.0, 6), seed)
        specials = np.flatnonzero(block < 4)
        inside = [p for p in specials[1:-1] if masked[p - 1] and masked[p + 1]]
        assert set(np.array(inside) + 1) <= set(starts.tolist())
        found["inside"] += len(inside)
    assert found["inside"] > 50


def test_too_few_sentinels_leave_out_whole_spans_of_any_place():
    items, first = [(5, 1)] * 60, Counter()
    for seed in range(300):
        _, all_masked, all_starts = choose(items, (0.3, 0.0, 3), seed)
        _, masked, starts = choose(items, (0.3, 0.0, 3), seed, sentinels=2)
        if len(all_starts) <= 2:
            continue
        assert len(starts) == 2 and set(starts) <= set(all_starts)
        for start in starts:
            end = start
            while end < 60 and all_masked[end]:
                assert masked[end]
                end += 1
            assert end == 60 or not masked[end]
        first[int(starts[0]) // 20] += 1
    assert min(first[0], first[1]) > 20  # not always the spans that come first


def test_an_ordinary_free_block_stays_as_it_is():
    block, masked, starts = choose([(5, 0)] * 6, (0.5, 0.1, 5), 0)
    source, target = sc.corrupt(block, masked, starts, np.array(SENTINELS), END)
    assert source.tolist() == block.tolist() and target.tolist() == [END]


def test_no_source_grows_beyond_its_limit_while_empty_spans_may_lengthen_it():
    items, longer = [(5, 1)] * 40, 0
    for seed in range(200):
        for limit in (40, 80):
            block, masked, starts = choose(items, (0.15, 0.6, 1), seed, longest_source=limit)
            source, _ = sc.corrupt(block, masked, starts, np.array(SENTINELS), END)
            assert len(source) <= limit
            longer += len(source) > 40
    assert longer > 50


@pytest.mark.parametrize("longest", [1, 3, 5])
@pytest.mark.parametrize("n", [1, 2, 4, 9, 40, 200])
def test_the_expected_number_of_masked_tokens_is_that_of_many_draws(n, longest):
    rng, ordinary = np.random.default_rng(n), np.ones(n, dtype=bool)
    draws = [
        sc.choose_masked_in_spans(ordinary, 0.15, 0.0, longest, rng).sum() for _ in range(3000)
    ]
    expected = sc.expected_masked_in_spans(n, 0.15, 0.0, longest)
    assert abs(np.mean(draws) - expected) < 3.5 * np.std(draws) / len(draws) ** 0.5 + 1e-9
