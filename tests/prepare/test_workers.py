"""How many workers a command has by default."""

import os

import pytest

from fairseq_metro.prepare.workers import available_cores


@pytest.fixture
def one_core():
    """This process may use one core of the machine's, as under taskset or a job scheduler."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    yield
    os.sched_setaffinity(0, before)


def test_cores_that_others_have_been_given_are_not_counted(one_core, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert available_cores() == 1


def test_no_command_counts_the_cores_of_the_machine(root):
    for folder in ("fairseq_metro", "preprocess", "train_scripts", "eval"):
        for path in (root / folder).rglob("*"):
            if path.suffix in (".py", ".sh"):
                text = path.read_text()
                assert "os.cpu_count" not in text, path
                assert "$(nproc)" not in text, path
