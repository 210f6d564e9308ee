"""SIGTERM, SIGINT, a disk that is full, a folder that nobody may write to."""

import random
import signal
import time

import pytest

from tests.faults.killing import finish, killed_after, report, undisturbed
from tests.faults.test_kills import binarize_stage, pretrain_stage

STAGES = {"binarize": binarize_stage, "pretrain": pretrain_stage}


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", STAGES)
@pytest.mark.parametrize("said", [signal.SIGTERM, signal.SIGINT], ids=lambda s: s.name)
def test_asked_to_end_it_ends_and_goes_on(name, said, inputs, tmp_path):
    stage, work, rng = STAGES[name](inputs), tmp_path / "work", random.Random(said)
    began = time.monotonic()
    expected, seconds = undisturbed(stage, tmp_path / "calm")
    work.mkdir()
    asked = sum(killed_after(stage.words(work), rng.uniform(0, seconds), said) for _ in range(4))
    status, output, _ = finish(stage.words(work))
    assert status == 0, output[-3000:]
    assert asked and stage.state(work) == expected
    report(name, said.name, began, asked=asked, lost=0)


@pytest.mark.parametrize("name", ["binarize", pytest.param("pretrain", marks=pytest.mark.slow)])
def test_a_full_disk_is_said_and_harms_nothing(name, inputs, tmp_path):
    stage, work = STAGES[name](inputs), tmp_path / "work"
    expected, _ = undisturbed(stage, tmp_path / "calm")
    work.mkdir()
    status, said, _ = finish(stage.words(work), limit=20_000)
    assert status != 0
    assert "file too large" in said.lower() or "file write failed" in said, said[-2000:]
    if name == "binarize":
        (line,) = [line for line in said.splitlines() if line.startswith("error: ")]
        assert str(work) in line and "Traceback" not in said
        assert not list(work.rglob("train.bin"))
    status, said, _ = finish(stage.words(work))
    assert status == 0, said[-3000:]
    assert stage.state(work) == expected


@pytest.mark.parametrize("name", STAGES)
def test_a_folder_nobody_may_write_to(name, inputs, tmp_path):
    stage, work = STAGES[name](inputs), tmp_path / "work"
    work.mkdir()
    work.chmod(0o500)
    status, said, _ = finish(stage.words(work), bound=True)
    work.chmod(0o700)
    assert status == 1 and not any(work.iterdir())
    (line,) = [line for line in said.splitlines() if line.startswith("error: ")]
    assert str(work) in line and "Traceback" not in said
