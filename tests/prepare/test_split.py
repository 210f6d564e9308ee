"""prepare/split.py: whole documents, each always on the same side."""

import gzip
import lzma

import pytest
import zstandard

from fairseq_metro.common.errors import UserError
from fairseq_metro.prepare.split import documents, split_files

DOCUMENTS = [f"Document {number}.\nIt has a second line: {'word ' * 20}" for number in range(2000)]


def write(path, texts):
    path.write_text("\n\n".join(texts) + "\n")
    return path


def sides(folder):
    return tuple(set(documents([folder / name])) for name in ("train.txt", "valid.txt"))


def test_documents_stay_whole_and_lie_on_one_side_each(tmp_path):
    counts = split_files([write(tmp_path / "a.txt", DOCUMENTS)], tmp_path / "out")
    train, valid = sides(tmp_path / "out")
    assert train | valid == {text.rstrip() for text in DOCUMENTS}
    assert not train & valid
    assert counts == (len(train), len(valid))
    assert 0.03 < len(valid) / 2000 < 0.07


def test_side_depends_on_the_document_alone(tmp_path):
    split_files([write(tmp_path / "a.txt", DOCUMENTS)], tmp_path / "one")
    split_files([write(tmp_path / "b.txt", DOCUMENTS[::-1] + DOCUMENTS[:50])], tmp_path / "two")
    assert sides(tmp_path / "one") == sides(tmp_path / "two")


def test_validation_part_stays_small_however_large_the_text(tmp_path):
    split_files([write(tmp_path / "a.txt", DOCUMENTS)], tmp_path / "out", most_valid_bytes=5000)
    assert (tmp_path / "out" / "valid.txt").stat().st_size < 10_000


def test_compressed_files_are_read_like_plain_ones(tmp_path):
    text = "\n\n".join(DOCUMENTS).encode()
    (tmp_path / "a.gz").write_bytes(gzip.compress(text))
    (tmp_path / "a.xz").write_bytes(lzma.compress(text))
    (tmp_path / "a.zst").write_bytes(zstandard.compress(text))
    expected = [text.rstrip() for text in DOCUMENTS]
    for ending in ("gz", "xz", "zst"):
        assert list(documents([tmp_path / f"a.{ending}"])) == expected


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"", "0 bytes in 0 documents are too little"),
        ("a.txt", b"one short document", "too little to split off a validation part"),
        ("a.txt", b"fine\ncaf\xe9\n", "line 2, byte 8 is not UTF-8"),
        ("a.txt.gz", gzip.compress(b"word\n" * 9999, mtime=0)[:60], "damaged"),
        ("a.txt.xz", lzma.compress(b"word\n" * 9999)[:60], "damaged"),
        ("a.txt.zst", zstandard.compress(b"word\n" * 9999)[:20], "damaged"),
    ],
)
def test_unusable_text_is_one_line_and_leaves_no_output(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        split_files([tmp_path / name], tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_missing_file_and_folder_are_user_errors(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        split_files([tmp_path / "none.txt"], tmp_path / "out")
    with pytest.raises(UserError, match="no file in this folder"):
        split_files([tmp_path], tmp_path / "out")
