import json
import pickle

import numpy as np
import pytest
import torch
from fairseq.data.indexed_dataset import MMapIndexedDataset, MMapIndexedDatasetBuilder
from hypothesis import given
from hypothesis import strategies as st

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.files import sha256_file
from fairseq_metro.data import indexed
from fairseq_metro.data.indexed import IndexedTokens, IndexedWriter, read_stamp, token_type

LINES = st.lists(st.lists(st.integers(0, 60000), max_size=9), max_size=30)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("indexed")


def written(prefix, lines, vocabulary_size=64000, pieces=3):
    """Write lines by our writer, in several pieces."""
    writer = IndexedWriter(prefix, vocabulary_size)
    for start in range(0, len(lines), pieces):
        part = lines[start : start + pieces]
        flat = [token for line in part for token in line]
        writer.write(np.array(flat, dtype=np.int64), [len(line) for line in part])
    assert writer.close() == sha256_file(f"{prefix}.bin")


@given(LINES, st.sampled_from([64000, 70000]))
def test_the_bytes_are_those_of_fairseqs_builder(place, lines, vocabulary_size):
    written(place / "ours", lines, vocabulary_size)
    builder = MMapIndexedDatasetBuilder(str(place / "theirs.bin"), token_type(vocabulary_size))
    for line in lines:
        builder.add_item(torch.tensor(line, dtype=torch.int64))
    builder.finalize(str(place / "theirs.idx"))
    for suffix in (".bin", ".idx"):
        assert (place / f"ours{suffix}").read_bytes() == (place / f"theirs{suffix}").read_bytes()
    assert not (place / "ours.sizes").exists()


@given(LINES)
def test_what_is_written_is_read_back(place, lines):
    written(place / "x", lines)
    found = IndexedTokens(place / "x")
    assert found.sizes.tolist() == [len(line) for line in lines]
    assert found.tokens.tolist() == [token for line in lines for token in line]
    assert len(found) == len(lines)


def test_fairseqs_reader_and_ours_agree_over_many_blocks_of_offsets(place, monkeypatch):
    rng = np.random.default_rng(0)
    sizes = rng.integers(0, 3, 400_000)  # offsets span more than one block of 1 MiB
    writer = IndexedWriter(place / "many", 100)
    tokens = rng.integers(0, 100, sizes.sum())
    writer.write(tokens, sizes)
    writer.close()
    theirs, ours = MMapIndexedDataset(str(place / "many")), IndexedTokens(place / "many")
    ends = np.cumsum(sizes)
    assert np.array_equal(theirs.sizes, ours.sizes)
    for i in (0, 1, 262_143, 262_144, 262_145, 399_999):
        expected = tokens[ends[i] - sizes[i] : ends[i]]
        assert theirs[i].tolist() == expected.tolist()
        assert ours.tokens[ends[i] - sizes[i] : ends[i]].tolist() == expected.tolist()


def test_token_types_are_fairseqs():
    from fairseq.data.indexed_dataset import best_fitting_int_dtype

    for size in (10, 65499, 65500, 65536, 4294967294, 4294967295):
        assert token_type(size) is best_fitting_int_dtype(size)


def test_tokens_cannot_be_written_to_by_a_reader(place):
    written(place / "ro", [[5, 6], [7]])
    with pytest.raises(ValueError, match="read-only"):
        IndexedTokens(place / "ro").tokens[0] = 1


def test_a_reader_can_be_sent_to_another_process(place):
    written(place / "p", [[5, 6], [7]])
    assert pickle.loads(pickle.dumps(IndexedTokens(place / "p"))).tokens.tolist() == [5, 6, 7]


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("x.bin", lambda b: b[:-1], r"x\.bin: truncated.* 5 bytes instead of 6"),
        ("x.bin", lambda b: b + b"\0\0", "truncated or of another index"),
        ("x.bin", None, r"x\.bin: no such file.*binarize"),
        ("x.idx", None, r"x\.idx: no such file.*binarize"),
        ("x.idx", lambda b: b"TNTIDX" + b[6:], "not an index of fairseq's mmap format"),
        ("x.idx", lambda b: b"", "not an index"),
        ("x.idx", lambda b: b[:20], "truncated, 20 bytes"),
        ("x.idx", lambda b: b[:-1], "truncated, 49 bytes for 2 lines instead of 50"),
        ("x.idx", lambda b: b[:9] + b"\x02" + b[10:], "version 2"),
        ("x.idx", lambda b: b[:17] + b"\x63" + b[18:], "type code 99 is unknown"),
    ],
)
def test_a_damaged_pair_is_one_clear_line(tmp_path, name, change, message):
    written(tmp_path / "x", [[5, 6], [7]])
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).unlink()
    if change is not None:
        (tmp_path / name).write_bytes(change(data))
    with pytest.raises(UserError, match=message):
        IndexedTokens(tmp_path / "x")


def test_abandoning_leaves_no_index(tmp_path):
    writer = IndexedWriter(tmp_path / "x", 100)
    writer.write([5, 2], [2])
    writer.abandon()
    assert [path.name for path in tmp_path.iterdir()] == ["x.bin"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no finished data folder.*binarize"),
        ("{", "not valid JSON"),
        ("[]", "not a stamp"),
        (json.dumps({"splits": {}}), "not a stamp"),
    ],
)
def test_a_folder_without_a_proper_stamp_is_refused(tmp_path, content, message):
    if content is not None:
        (tmp_path / indexed.STAMP).write_text(content)
    with pytest.raises(UserError, match=message):
        read_stamp(tmp_path)
