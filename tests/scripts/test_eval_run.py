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


@pytest.fixture
def told(root, tmp_path):
    """Runs eval/run.sh on stand-ins for the programs: the words of the last one, by folder."""
    programs, record = tmp_path / "programs", tmp_path / "record"
    programs.mkdir()
    for name in ("fairseq-train", "python", "torchrun"):
        (programs / name).write_text(f'#!/bin/sh\nprintf "%s\\n" {name} "$@" > "{record}"\n')
    said = '[ "$1" = -L ] && [ "$FAKE_GPUS" -gt 0 ] && seq "$FAKE_GPUS" | sed "s/^/GPU /"'
    (programs / "nvidia-smi").write_text(f"#!/bin/sh\n{said}\n")
    for program in programs.iterdir():
        program.chmod(0o755)

    def words(gpus=0, **environment):
        command = ["bash", str(root / "eval" / "run.sh"), ".", "--limit", "2"]
        env = {"PATH": f"{programs}:/usr/bin:/bin", "FAKE_GPUS": str(gpus), **environment}
        done = subprocess.run(command, cwd=tmp_path, env=env, text=True, capture_output=True)
        assert done.returncode == 0, done.stderr
        return record.read_text().splitlines()

    return words


def test_the_hub_has_t0s_sets_and_needs_no_files(told, tmp_path):
    model = str(tmp_path)
    assert told(HUB="1") == ["python", "-m", "fairseq_metro", "evaluate", model,
                             "--suite", "t0_eval", "--hub", "--limit", "2"]  # fmt: skip
    words = told(HUB="1", SUITE="mmlu", TASKS=".")  # what is there of files comes first
    assert words[5:] == ["--suite", "mmlu", "--tasks", model, "--hub", "--limit", "2"]


@pytest.mark.parametrize(
    ("gpus", "environment", "processes"),
    [
        (0, {}, 1),
        (0, {"PROCESSES": "3"}, 3),
        (0, {"GPUS": "4"}, 1),  # there are none
        (1, {}, 1),
        (4, {}, 4),
        (4, {"GPUS": "2"}, 2),
        (4, {"GPUS": "1", "PROCESSES": "3"}, 1),
    ],
)
def test_a_process_for_each_gpu_or_as_many_as_are_said(told, gpus, environment, processes):
    words = told(gpus, HUB="1", **environment)
    if processes == 1:
        assert words[:4] == ["python", "-m", "fairseq_metro", "evaluate"]
    else:
        assert words[0] == "torchrun"
        assert words[words.index("--nproc-per-node") + 1] == str(processes)
        assert words[words.index("-m") :][:3] == ["-m", "fairseq_metro", "evaluate"]


def test_an_evaluation_from_another_folder(root, tmp_path, toys):  # noqa: F811
    done = run(root, "model", "--limit", 4, "--device", "cpu", cwd=toys, TASKS="tasks",
               SUITE="suite.yaml", OUT=str(tmp_path / "out"))  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Toy sets:" in done.stderr and (tmp_path / "out" / "report.md").exists()
