"""Lists of paths, and files that are whole or absent."""

import pytest

from fairseq_metro.common.files import split_paths


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
