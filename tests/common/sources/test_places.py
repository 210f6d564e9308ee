"""Names, folders and patterns to files: what exists under a name is meant, whatever it looks like."""

import pytest

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.sources import expand


def test_a_files_own_name_goes_before_a_pattern(tmp_path):
    for name in ("a[1].txt", "a1.txt", "b*.txt", "b2.txt"):
        (tmp_path / name).write_text("text")
    for name in ("a[1].txt", "b*.txt"):
        assert expand([tmp_path / name]) == [str(tmp_path / name)]
    (tmp_path / "a[1].txt").unlink()
    assert expand([tmp_path / "a[1].txt"]) == [str(tmp_path / "a1.txt")]


def test_what_stands_for_no_file_is_an_error(tmp_path):
    (tmp_path / "empty").mkdir()
    for name, says in (
        ("empty", "no file in this"),
        ("x*", "quote patterns"),
        ("x", "no such file"),
    ):
        with pytest.raises(UserError, match=says):
            expand([tmp_path / name])
