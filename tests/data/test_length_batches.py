"""data/length_batches.py: every example once, limits kept, little padding."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairseq_metro.common.errors import UserError
from fairseq_metro.data.length_batches import length_batches

WIDTHS = st.lists(st.tuples(st.integers(1, 12), st.integers(1, 6)), max_size=60)


@given(WIDTHS, st.integers(18 * 8, 600), st.none() | st.integers(1, 9), st.integers(1, 8))
def test_each_index_comes_once_and_no_batch_exceeds_its_limits(widths, tokens, sentences, multiple):
    source = np.array([8 * s for s, _ in widths], dtype=np.int64)
    target = np.array([8 * t for _, t in widths], dtype=np.int64)
    order = np.random.default_rng(0).permutation(len(widths))
    limits = dict(max_tokens=tokens, max_sentences=sentences, batch_multiple=multiple)
    batches = length_batches(source, target, order, **limits)
    assert sorted(np.concatenate([*batches, []]).tolist()) == list(range(len(widths)))
    for place, batch in enumerate(batches):
        assert len(batch) * (source[batch].max() + target[batch].max()) <= tokens
        assert sentences is None or len(batch) <= sentences
        last = place == len(batches) - 1
        assert last or len(batch) <= multiple or len(batch) % multiple == 0


def test_a_batch_is_as_full_as_the_limit_allows():
    widths = np.full(10, 8)
    batches = length_batches(widths, widths, np.arange(10), max_tokens=64)
    assert list(map(len, batches)) == [4, 4, 2]
    batches = length_batches(widths, widths, np.arange(10), max_sentences=6)
    assert list(map(len, batches)) == [6, 4]


def padding_share(batches, source, target):
    padded = sum(len(b) * (source[b].max() + target[b].max()) for b in batches)
    return 1 - (source + target).sum() / padded


def test_batches_are_narrow_in_both_lengths():
    """Sorting by the sum, or by the source alone, leaves much more."""
    rng = np.random.default_rng(1)
    source, target = rng.integers(1, 64, 6000) * 8, rng.integers(1, 32, 6000) * 8
    order = rng.permutation(6000)
    ours = padding_share(length_batches(source, target, order, max_tokens=8192), source, target)
    for key in (source + target, source):
        rows = np.array_split(np.argsort(key), 320)
        assert ours < 0.5 * padding_share(rows, source, target)
    assert ours < 0.12


def test_equal_widths_keep_the_given_order_so_that_epochs_differ():
    widths, order = np.full(40, 8), np.random.default_rng(2).permutation(40)
    batches = length_batches(widths, widths, order, max_sentences=10)
    assert np.concatenate(batches).tolist() == order.tolist()


def test_an_example_above_max_tokens_is_one_line():
    with pytest.raises(
        UserError, match=r"--max-tokens 100: the longest example has 104.*least 104"
    ):
        length_batches(np.array([8, 96]), np.array([8, 8]), [0, 1], max_tokens=100)


def test_no_example_no_batch():
    assert length_batches(np.zeros(0), np.zeros(0), [], max_tokens=8) == []
