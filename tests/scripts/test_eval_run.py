"""eval/run.sh: what it says of mistakes before anything is loaded, and one evaluation."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.evaluate.conftest import toys  # noqa: F401  a fixture


def run(root, *words, cwd, **environment):
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        ["bash", str(root / "eval" / "run.sh"), *map(str, words)], cwd=cwd, text=True,
        capture_output=True, timeout=280, env={**os.environ, "PATH": path, **environment},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("words", "environment", "says"),
    [
        ([], {}, "usage: bash eval/run.sh CHECKPOINT"),
        (["--limit", "3"], {}, "usage: bash eval/run.sh CHECKPOINT"),
        (["nowhere"], {}, "error: nowhere: no such file or folder"),
        (["."], {"TASKS": "none"}, "error: TASKS=none: no such file or folder"),
        (["."], {"TASKS": ".", "SUITE": "mine.yaml"}, "error: SUITE=mine.yaml: no such file"),
        (["."], {"TASKS": ".", "PROCESSES": "two"}, "are numbers, not 'two'"),
    ],
)
def test_a_mistake_is_one_line(root, tmp_path, words, environment, says):
    done = run(root, *words, cwd=tmp_path, **environment)
    assert done.returncode != 0 and says in done.stderr and done.stderr.count("\n") == 1


def test_an_evaluation_from_another_folder(root, tmp_path, toys):  # noqa: F811
    done = run(root, "model", "--limit", 4, "--device", "cpu", cwd=toys, TASKS="tasks",
               SUITE="suite.yaml", OUT=str(tmp_path / "out"))  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Toy sets:" in done.stderr and (tmp_path / "out" / "report.md").exists()
