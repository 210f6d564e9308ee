"""Lists of paths, and files that are whole or absent."""

import pytest

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.files import read_json, split_paths
from fairseq_metro.vocabulary.folder import parse_settings

DEEP = "[" * 100_000 + "]" * 100_000
HUGE = '{"version": ' + "9" * 100_000 + "}"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name in ("a", "b", "2024-01-01T10:00:00", "x:y"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "text, paths",
    [
        ("a:b", ["a", "b"]),
        ("2024-01-01T10:00:00", ["2024-01-01T10:00:00"]),
        ("a:2024-01-01T10:00:00:b", ["a", "2024-01-01T10:00:00", "b"]),
        ("x:y:x:y", ["x:y", "x:y"]),
        ("gone:a", ["gone", "a"]),
        ("gone:x:y", ["gone", "x:y"]),
        ("x:z", ["x", "z"]),
        (":a:", ["a"]),
        ("", []),
        (None, []),
    ],
)
def test_a_path_that_exists_wins_over_a_list_of_paths(folder, text, paths):
    assert split_paths(text) == paths
    joined = ":".join(str(folder / path) for path in paths)
    assert split_paths(joined) == [str(folder / path) for path in paths]


@pytest.mark.parametrize("text", [DEEP, HUGE, "{", "\udcff"])
def test_json_that_cannot_be_read_is_one_line(tmp_path, text):
    path = tmp_path / "x.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(UserError, match=r"x\.json: not valid JSON") as caught:
        read_json(path)
    assert len(str(caught.value)) < 300 and "\n" not in str(caught.value)
    with pytest.raises(UserError, match=r"x\.json: not valid JSON"):
        parse_settings(path.read_bytes(), path)
