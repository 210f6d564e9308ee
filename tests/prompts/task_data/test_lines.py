"""task_data/lines.py: bytes to lines, and bad bytes told by file, line and place."""

import bz2
import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairseq_metro.common.errors import UserError
from fairseq_metro.prompts.task_data.lines import count_lines, decode, text_lines
from tests.prompts.task_data.files import write

TEXTS = st.text(st.characters(exclude_characters="\r\n", exclude_categories=("Cs",)), min_size=1)


@given(st.lists(TEXTS, max_size=12), st.integers(0, 13), st.integers(0, 13), st.booleans())
def test_lines_come_back_whatever_is_in_them(tmp_path_factory, texts, start, stop, packed):
    path = tmp_path_factory.mktemp("lines") / ("t.txt.gz" if packed else "t.txt")
    raw = "".join(f"x{text}\n" for text in texts).encode()
    path.write_bytes(gzip.compress(raw) if packed else raw)
    expected = [(number, f"x{text}") for number, text in enumerate(texts, 1)]
    assert list(text_lines(path)) == expected
    assert list(text_lines(path, start=start, stop=stop)) == expected[start:stop]
    assert count_lines(path) == len(texts)


def test_a_mark_at_the_start_and_windows_line_ends_are_no_text(tmp_path):
    path = write(tmp_path / "t.txt", b"\xef\xbb\xbfone\r\n\r\ntwo")
    assert list(text_lines(path)) == [(1, "one"), (3, "two")]
    assert count_lines(path) == 2


def test_a_byte_that_is_not_utf_8_is_told_by_file_line_and_place(tmp_path):
    path = write(tmp_path / "t.txt", "fine\ncaf\u00e9\n", "latin-1")
    with pytest.raises(
        UserError, match=r"t\.txt: line 2, byte 3 of the line \(0xe9\).*`encoding:`"
    ):
        list(text_lines(path))
    assert [text for _, text in text_lines(path, "latin-1")] == ["fine", "caf\u00e9"]


def test_lines_before_a_range_are_not_decoded(tmp_path):
    path = write(tmp_path / "t.txt", b"\xff\nfine\n")
    assert list(text_lines(path, start=1)) == [(2, "fine")]


def test_every_byte_has_a_meaning_in_windows_1252(tmp_path):
    every = decode(tmp_path, 1, bytes(range(256)), "windows-1252")
    assert len(every) == 256 and every[0x96] == "\u2013" and every[0x81] == "\x81"


def test_an_unknown_encoding_is_an_error(tmp_path):
    with pytest.raises(UserError, match="no encoding 'utf-9'"):
        list(text_lines(write(tmp_path / "t.txt", "a\n"), "utf-9"))


def test_a_damaged_gzip_file_is_an_error(tmp_path):
    path = write(tmp_path / "t.gz", gzip.compress(b"some text\n" * 50)[:-9])
    with pytest.raises(UserError, match=r"t\.gz: damaged or cut off"):
        list(text_lines(path))


def test_how_a_file_is_packed_is_seen_in_it_and_not_in_its_name(tmp_path):
    for name, content in (("a.jsonl", bz2.compress(b"x\ny\n")), ("b.gz", b"x\ny\n"),
                          ("c.ZST", "\ufeffx\ny\n".encode("utf-16-le"))):  # fmt: skip
        assert list(text_lines(write(tmp_path / name, content))) == [(1, "x"), (2, "y")]
