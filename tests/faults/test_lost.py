"""What a training may lose under way: a process that reads, a rank, a file, itself inside a copy."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fairseq_metro.trainer.checkpoints import is_whole
from tests.faults.killing import Stage, finish, finished, report, train, trained, undisturbed
from tests.training import ROOT, command

UPDATES = 12
OPTIONS = [f"--max-update={UPDATES}", "--save-interval-updates=1", "--keep-interval-updates=2",
           "--disable-validation"]  # fmt: skip


def stage_of(data, *options):
    return Stage(
        lambda folder: train(*command(data, folder / "run", *OPTIONS, *options)),
        lambda folder: trained(folder / "run"),
    )


@pytest.fixture(scope="module")
def expected(inputs, tmp_path_factory):
    """What the run leaves that nobody disturbed."""
    return undisturbed(stage_of(inputs / "bin"), tmp_path_factory.mktemp("calm") / "it")[0]


def one_line(said):
    (line,) = [line for line in said.splitlines() if line.startswith("error: ")]
    assert "Traceback" not in said
    return line


def goes_on(stage, work, expected):
    """Begun again, it ends as if nothing had been."""
    status, said, _ = finish(stage.words(work))
    assert status == 0, said[-3000:]
    assert stage.state(work) == expected


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "copy, share",
    [pytest.param(1, 0.5, marks=SLOW), pytest.param(6, 0.0, marks=SLOW), (6, 0.999)],
)
def test_killed_inside_a_checkpoints_copy(copy, share, inputs, expected, tmp_path):
    stage = stage_of(inputs / "bin")
    status, _, _ = finish(stage.words(tmp_path), fault=["kill_inside_a_copy", copy, share])
    last = tmp_path / "run" / "checkpoint_last.pt"  # the one before, or none: never a part
    assert status == -signal.SIGKILL and (is_whole(last) or not last.exists())
    goes_on(stage, tmp_path, expected)


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_while_a_checkpoint_gets_its_name(when, inputs, expected, tmp_path):
    stage = stage_of(inputs / "bin")
    status, _, _ = finish(stage.words(tmp_path), fault=["kill_inside_a_save", 5, when])
    assert status == -signal.SIGKILL and not finished(tmp_path / "run", 5)
    goes_on(stage, tmp_path, expected)


def test_a_process_that_reads_is_lost(inputs, expected, tmp_path):
    # Past the updates whose batches are read ahead; the last of them is of this many.
    stage = stage_of(inputs / "bin", "--num-workers=2", "--data-buffer-size=1")
    status, said, _ = finish(stage.words(tmp_path), fault=["kill_a_reader", 2])
    assert status == 1 and not finished(tmp_path / "run", UPDATES)
    line = one_line(said)
    assert "DataLoader worker (pid" in line and "the same command goes on" in line
    goes_on(stage, tmp_path, expected)


REMOVED = ["bin/train.bin", *(pytest.param(name, marks=SLOW) for name in
           ("bin/train.idx", "bin/dict.txt", "bin/vocab", "run"))]  # fmt: skip


@pytest.mark.parametrize("what", REMOVED)
def test_a_file_is_removed_under_a_training(what, inputs, expected, tmp_path):
    """What was opened is read on, and what is written is made anew."""
    shutil.copytree(inputs / "bin", tmp_path / "bin")
    stage = stage_of(tmp_path / "bin")
    status, said, _ = finish(stage.words(tmp_path), fault=["remove", 4, str(tmp_path / what)])
    assert not (tmp_path / what).exists() or what == "run"
    assert status == 0, said[-3000:]
    assert {**stage.state(tmp_path)} == expected


def test_a_removed_file_is_named_by_the_next_start(inputs, tmp_path):
    shutil.copytree(inputs / "bin", tmp_path / "bin")
    (tmp_path / "bin/train.bin").unlink()
    status, said, _ = finish(stage_of(tmp_path / "bin").words(tmp_path))
    assert status == 1 and "train.bin" in one_line(said)


def rank_of(run, rank):
    """The process of a rank of a run in this folder, or None."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if f"--save-dir={run}" in words and "--distributed-rank" in words:
            at = words.index("--distributed-rank") + 1
            if words[at : at + 1] == [str(rank)] and Path(words[0]).name.startswith("python"):
                return int(path.parent.name)
    return None


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_rank_is_lost(inputs, tmp_path):
    began, env = time.monotonic(), {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    env["PATH"] = f"{Path(sys.executable).parent}:{env['PATH']}"

    def words(folder):
        run = command(inputs / "bin", folder / "run", *OPTIONS)
        run.remove("--cpu")
        return ["bash", ROOT / "train_scripts/launch.sh", "2", "fairseq-train", *run]

    def whole(folder):
        done = subprocess.run(
            words(folder), env=env, capture_output=True, text=True, timeout=280, cwd=ROOT
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return trained(folder / "run")

    expected, lost = whole(tmp_path / "calm"), 0
    for rank in (0, 1):
        work = tmp_path / str(rank)
        process = subprocess.Popen(
            words(work), env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            cwd=ROOT, start_new_session=True,
        )  # fmt: skip
        while not finished(work / "run", 2 + rank):
            assert process.poll() is None, process.stdout.read()[-3000:]
            time.sleep(0.02)
        os.kill(rank_of(work / "run", rank), signal.SIGKILL)
        said, _ = process.communicate(timeout=60)
        assert process.returncode != 0 and not finished(work / "run", UPDATES)
        assert "SIGKILL" in said and f"rank      : {rank} (local_rank: {rank})" in said, said[
            -3000:
        ]
        assert whole(work) == expected
        lost += 1
    report("pretrain", "a rank of two is killed", began, kills=lost, lost=0)
