"""Files in any packing: the first bytes decide, whatever the name says."""

import bz2
import gzip
import lzma
import os
import random
import tracemalloc

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.sources import check_readable, members, open_bytes
from fairseq_metro.common.sources.kinds import packing_of
from tests.common.sources.packing import in_tar, in_zip


def long_zstd(content):
    parameters = zstandard.ZstdCompressionParameters(window_log=31, enable_ldm=True)
    writer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    return writer.compress(content) + writer.flush()


PACKERS = {
    "gzip": gzip.compress,
    "gzip, two members": lambda b: (
        gzip.compress(b[: len(b) // 2]) + gzip.compress(b[len(b) // 2 :])
    ),
    "bzip2": bz2.compress,
    "bzip2, two streams": lambda b: bz2.compress(b[:1]) + bz2.compress(b[1:]),
    "xz": lzma.compress,
    "xz, two streams": lambda b: lzma.compress(b[:1]) + lzma.compress(b[1:]),
    "lzma": lambda b: lzma.compress(b, format=lzma.FORMAT_ALONE),
    "zstd": zstandard.compress,
    "zstd, two frames": lambda b: zstandard.compress(b[:1]) + zstandard.compress(b[1:]),
    "zstd, a window of 2 GiB": long_zstd,
    "zstd after a frame to skip": lambda b: b"\x50\x2a\x4d\x18\2\0\0\0xx" + zstandard.compress(b),
    "tar": lambda b: in_tar({"inside.txt": b}),
    "old tar": lambda b: old_tar(b),
    "zip": lambda b: in_zip({"inside.txt": b}),
}


def old_tar(content):
    """A tar of the seventies: no mark, only its check sum."""
    archive = bytearray(in_tar({"inside.txt": content}))
    archive[257:512] = bytes(255)
    archive[148:156] = b" " * 8
    archive[148:156] = b"%06o\0 " % sum(archive[:512])
    return bytes(archive)


def read(path):
    return [member.stream.read() for member in members(path)]


@pytest.mark.parametrize("name", ["data", "DATA.TXT.GZ", "data.txt", "data.zst"])
@pytest.mark.parametrize("packer", PACKERS)
def test_any_packing_is_known_by_its_content(tmp_path, packer, name):
    content = "one line\nand another, caf\u00e9\n".encode() * 50
    (tmp_path / name).write_bytes(PACKERS[packer](content))
    assert read(tmp_path / name) == [content]


@given(st.binary(max_size=300), st.lists(st.sampled_from(sorted(PACKERS)), max_size=4))
def test_packings_inside_each_other_are_taken_off(tmp_path_factory, content, packers):
    content = b"text " + content
    packed = content
    for packer in packers:
        packed = PACKERS[packer](packed)
    path = tmp_path_factory.mktemp("nested") / "file"
    path.write_bytes(packed)
    assert read(path) == [content]


@given(st.text(max_size=100))
def test_text_is_never_taken_for_something_packed(text):
    assert packing_of(text.encode("utf-8", "replace").ljust(600, b"x")) is None


def test_an_archive_gives_its_files_in_order_without_notes_of_file_systems(tmp_path):
    files = {"b/2.txt": b"two", "a/1.txt.gz": gzip.compress(b"one"), "a/._1.txt": b"resource",
             ".DS_Store": b"finder", "__MACOSX/b": b"fork", "./c.txt": b"three"}  # fmt: skip
    for pack in (in_tar, in_zip):
        (tmp_path / "x").write_bytes(pack(files))
        assert read(tmp_path / "x") == [b"two", b"one", b"three"]
        places = [member.place for member in members(tmp_path / "x")]
        assert places[1] == f"{tmp_path}/x: a/1.txt.gz"


def test_a_corpus_as_openwebtext_has_it(tmp_path):
    """A tar in xz of tars in xz."""
    parts = {
        f"openwebtext/urlsf_subset{i}_data.xz": lzma.compress(
            in_tar({f"{i}-{j}.txt": f"page {i} {j}".encode() for j in range(3)})
        )
        for i in range(2)
    }
    (tmp_path / "openwebtext.tar.xz").write_bytes(lzma.compress(in_tar(parts)))
    texts = read(tmp_path / "openwebtext.tar.xz")
    assert texts == [f"page {i} {j}".encode() for i in range(2) for j in range(3)]


@pytest.mark.parametrize("cut", [0.3, 0.6, 0.97])
@pytest.mark.parametrize("packer", [p for p in PACKERS if "," not in p and "skip" not in p])
def test_a_cut_off_file_is_one_line(tmp_path, packer, cut):
    content = random.Random(1).randbytes(20_000).hex().encode()
    packed = PACKERS[packer](content)
    (tmp_path / "cut").write_bytes(packed[: int(cut * len(packed))])
    if "tar" in packer and cut == 0.97:
        return  # only the zeros after the last file are gone
    with (
        pytest.raises(UserError, match=r"cut(: inside.txt)?: damaged or cut off"),
        open_bytes(tmp_path / "cut") as stream,
    ):
        stream.read()


@pytest.mark.parametrize(
    "compress", [bz2.compress, lzma.compress, gzip.compress, zstandard.compress]
)
def test_what_follows_the_first_stream_is_not_lost_when_it_is_damaged(tmp_path, compress):
    second = bytearray(compress(b"second"))
    second[1] ^= 0xFF
    (tmp_path / "x").write_bytes(compress(b"first") + second)
    with pytest.raises(UserError, match="x: damaged or cut off"), open_bytes(tmp_path / "x") as s:
        s.read()


def test_a_damaged_header_inside_a_tar_is_no_end_of_it(tmp_path):
    archive = bytearray(in_tar({f"{i}.txt": b"text" for i in range(4)}))
    archive[1024 + 150] ^= 1  # the second file's check sum
    (tmp_path / "x.tar").write_bytes(archive)
    with pytest.raises(UserError, match=r"x\.tar: damaged or cut off \(bad checksum"):
        read(tmp_path / "x.tar")


def test_one_tar_after_the_other_is_read_whole(tmp_path):
    (tmp_path / "x.tar").write_bytes(in_tar({"a": b"1"}) + in_tar({"b": b"2"}))
    assert read(tmp_path / "x.tar") == [b"1", b"2"]


def test_what_is_not_read_is_named(tmp_path):
    for content, words in (
        (b"7z\xbc\xaf\x27\x1c" + bytes(20), "a 7-Zip archive"),
        (b"%PDF-1.4 ...", "a PDF document"),
        (in_zip({"[Content_Types].xml": b"<x/>", "word/document.xml": b"<x/>"}), "office document"),
    ):
        (tmp_path / "file.txt").write_bytes(content)
        with pytest.raises(UserError, match=words):
            read(tmp_path / "file.txt")


def test_an_encrypted_archive_is_one_line(tmp_path):
    packed = bytearray(in_zip({"a.txt": b"secret"}))
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        packed[packed.index(mark) + at] |= 1
    (tmp_path / "a.zip").write_bytes(packed)
    with pytest.raises(UserError, match=r"a.zip: a.txt: is encrypted"):
        read(tmp_path / "a.zip")


def test_one_file_is_wanted_and_an_archive_has_several(tmp_path):
    (tmp_path / "x").write_bytes(in_zip({"a": b"1", "b": b"2"}))
    with (
        pytest.raises(UserError, match="archive of several files"),
        open_bytes(tmp_path / "x") as s,
    ):
        s.read()
    (tmp_path / "x").write_bytes(in_zip({}))
    with pytest.raises(UserError, match="archive without a file"), open_bytes(tmp_path / "x"):
        pass


def test_an_archive_in_itself_has_an_end(tmp_path):
    packed = b"text"
    for _ in range(30):
        packed = gzip.compress(packed)
    (tmp_path / "x").write_bytes(packed)
    with pytest.raises(UserError, match="packed more than"):
        read(tmp_path / "x")


def test_few_bytes_of_zstd_for_many_do_not_fill_the_memory(tmp_path):
    (tmp_path / "x").write_bytes(zstandard.compress(bytes(1 << 28)))
    with open_bytes(tmp_path / "x") as stream:
        tracemalloc.start()
        total = 0
        while block := stream.read(1 << 20):
            total += len(block)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert total == 1 << 28 and peak < 1 << 26


def test_pipes_and_devices_are_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="pipe: is a pipe, not a file"):
        read(tmp_path / "pipe")
    with pytest.raises(UserError, match="/dev/zero: is a device"):
        read("/dev/zero")
    with pytest.raises(UserError, match="is a folder"):
        check_readable(tmp_path)
    with pytest.raises(UserError, match="nowhere: no such file"):
        check_readable(tmp_path / "nowhere")


def test_a_pipe_of_the_shell_is_read_as_it_comes():
    reader, writer = os.pipe()
    os.write(writer, gzip.compress(b"from a pipe"))
    os.close(writer)
    assert read(f"/dev/fd/{reader}") == [b"from a pipe"]
    with pytest.raises(UserError, match="is a pipe"):
        check_readable(f"/dev/fd/{reader}", regular=True)
    os.close(reader)
