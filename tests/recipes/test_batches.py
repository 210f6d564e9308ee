"""planning/batches.py: an update shared out, and how many tokens of it are real."""

import numpy as np
import pytest
from fairseq.data import data_utils

from fairseq_metro.common.errors import UserError
from fairseq_metro.data.indexed import IndexedWriter
from fairseq_metro.recipes.batches import batch_sizes, real_tokens, share_out
from fairseq_metro.recipes.table import pretraining
from fairseq_metro.recipes.words import describe

BASE, TINY = pretraining("metro_t5", "base"), pretraining("t5", "tiny")


@pytest.mark.parametrize("processes", [1, 2, 8, 64, 256, 2048])
@pytest.mark.parametrize("most", [None, 512, 5000, 70000])
def test_the_tokens_of_an_update_are_the_constant(processes, most):
    batches = share_out(BASE, processes, most=most)
    assert batches.update == 2048 * 512 and batches.tokens % 512 == 0
    assert batches.tokens <= (most or 8192)


def test_the_largest_batch_that_divides_the_update_is_taken():
    assert share_out(BASE, 8, most=70000).tokens == 65536
    assert share_out(BASE, 1, most=10**9).tokens == 2048 * 512


@pytest.mark.parametrize(
    "row, processes, tokens, most, said",
    [
        (BASE, 3, None, None, "3 processes cannot share"),
        (BASE, 1, 1000, None, "1000 x 1 must divide 1048576"),
        (BASE, 1, 256, None, "hold a block of 512"),
        (BASE, 1, None, 511, "more than the 511 tokens that fit"),
        (TINY, 16, None, None, "16 processes cannot share"),
        (BASE, 0, None, None, "at least 1"),
    ],
)
def test_what_does_not_divide_is_one_line(row, processes, tokens, most, said):
    with pytest.raises(UserError, match=said) as caught:
        share_out(row, processes, tokens, most)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("tokens", [512, 1000, 2048, 8192, 9000])
def test_batches_are_cut_as_fairseq_cuts_them(tokens):
    lengths = np.sort(np.random.default_rng(tokens).integers(2, 513, 700))
    theirs = data_utils.batch_by_size(
        np.arange(700), num_tokens_fn=lambda i: lengths[i], num_tokens_vec=lengths,
        max_tokens=tokens, required_batch_size_multiple=8,
    )  # fmt: skip
    ours, sizes = batch_sizes(lengths.tolist(), tokens), [len(batch) for batch in theirs]
    assert sum(ours) == 700
    assert ours[: len(sizes) - 1] == sizes[:-1]  # fairseq may throw the last one away


def write(folder, sizes):
    writer = IndexedWriter(folder / "train", 100)
    for size in sizes:
        writer.write(np.full(size, 5), [size])
    writer.close()


def test_the_real_tokens_of_an_update_are_those_of_the_datas_blocks(tmp_path):
    write(tmp_path, [511, 1] * 64)  # 64 documents that fill a block each
    assert real_tokens(tmp_path, 512, share_out(BASE, 8)) == (512.0, 2048.0 * 512)


def test_short_documents_are_warned_of(tmp_path):
    write(tmp_path, [99, 1] * 64)
    batches = share_out(BASE, 8, tokens=8192)
    block, update = real_tokens(tmp_path, 512, batches)
    assert block == 100 and update < 2048 * 512
    lines = describe(BASE, batches, tmp_path)
    assert (
        "8 processes x 8,192 tokens x 16 accumulated" in lines[0] and f"{update:,.0f}" in lines[0]
    )
    assert lines[1].startswith("warning: ")
    assert "no size of the paper" in describe(TINY, share_out(TINY, 1))[1]
