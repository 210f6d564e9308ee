import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairseq_metro.data.blocks import cut_blocks


def slow_blocks(sizes, limit, mode):
    """Token by token, with lists."""
    begin, pieces = 0, []  # (first token, length, is separator)
    for size in sizes:
        for offset in range(0, size, limit):
            pieces.append((begin + offset, min(limit, size - offset), size == 1))
        begin += size
    if mode == "none":
        total = sum(sizes)
        blocks = [(s, min(limit, total - s)) for s in range(0, total, limit)]
        return [b for b in blocks if b[1] > 1]
    blocks, current = [], None
    for first, length, separator in pieces:
        if mode == "complete_doc" and separator:
            blocks, current = blocks + ([current] if current else []), None
        elif mode == "eos":
            blocks.append((first, length))
        elif current and current[1] + length <= limit:
            current = (current[0], current[1] + length)
        else:
            blocks, current = blocks + ([current] if current else []), (first, length)
    blocks += [current] if current else []
    return [b for b in blocks if b[1] > 1]


@given(
    st.lists(st.integers(1, 30), max_size=40),
    st.integers(2, 12),
    st.sampled_from(["none", "complete", "complete_doc", "eos"]),
)
def test_blocks_equal_a_token_by_token_loop(sizes, limit, mode):
    ours = cut_blocks(np.array(sizes, dtype=np.int32), limit, mode)
    pairs = zip(ours.starts.tolist(), ours.lengths.tolist(), strict=True)
    assert list(pairs) == slow_blocks(sizes, limit, mode)
    assert ours.counts["tokens"] + ours.counts["dropped_tokens"] == sum(sizes)


def test_counts_say_what_happened():
    counts = cut_blocks(np.array([3, 1, 25, 4, 1, 2]), 10, "complete_doc").counts
    assert counts == {
        "lines": 4,
        "documents": 3,
        "long_lines": 1,
        "tokens": 34,
        "dropped_tokens": 2,
    }


def test_blocks_of_complete_doc_never_cross_a_document():
    rng = np.random.default_rng(0)
    sizes = np.where(rng.random(3000) < 0.1, 1, rng.integers(2, 40, 3000))
    separators = np.cumsum(sizes)[sizes == 1] - 1
    blocks = cut_blocks(sizes, 64, "complete_doc")
    for start, length in zip(blocks.starts, blocks.lengths, strict=True):
        assert not ((separators >= start) & (separators < start + length)).any()


def test_blocks_equal_fairseqs_where_no_line_is_too_long():
    from fairseq.data.token_block_utils_fast import _get_slice_indices_fast

    rng = np.random.default_rng(1)
    sizes = np.where(rng.random(500) < 0.1, 1, rng.integers(2, 60, 500)).astype(np.int64)
    for mode in ("complete", "complete_doc", "none"):
        theirs = np.asarray(_get_slice_indices_fast(sizes, mode, 64, 1))
        theirs = theirs[theirs[:, 1] - theirs[:, 0] > 1]
        ours = cut_blocks(sizes, 64, mode)
        assert ours.starts.tolist() == theirs[:, 0].tolist()
        assert ours.lengths.tolist() == (theirs[:, 1] - theirs[:, 0]).tolist()


@pytest.mark.parametrize("mode", ["none", "complete", "complete_doc", "eos"])
def test_blocks_with_single_tokens_kept_equal_fairseqs(mode):
    """The authors' code is fairseq's: it drops blocks of one token under complete_doc alone."""
    from fairseq.data.token_block_utils_fast import _get_slice_indices_fast

    sizes = np.array([3, 1, 1, 5, 63, 64, 1, 2, 1, 30, 64, 1], dtype=np.int64)
    limit = 64 if mode != "none" else int(sizes.sum()) - 1  # a remainder of one token
    reference = np.asarray(_get_slice_indices_fast(sizes, mode, limit, 1))
    ours = cut_blocks(sizes, limit, mode, keep_single=True)
    assert ours.starts.tolist() == reference[:, 0].tolist()
    assert ours.lengths.tolist() == (reference[:, 1] - reference[:, 0]).tolist()
    assert (ours.lengths == 1).any() == (mode != "complete_doc")
    assert (cut_blocks(sizes, limit, mode).lengths > 1).all()


def test_an_unknown_mode_is_refused():
    with pytest.raises(ValueError, match="sample_break_mode"):
        cut_blocks(np.array([3]), 8, "sentence")
