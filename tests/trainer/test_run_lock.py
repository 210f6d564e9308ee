"""run_lock.py: one training at a time in a run's folder, and none is kept out by a dead one."""

import os
import signal
import subprocess
import sys

import pytest

from fairseq_metro.common.errors import UserError
from fairseq_metro.trainer import run_lock
from fairseq_metro.trainer.run_lock import NAME, claim_run

HOLD = "import sys; from fairseq_metro.trainer.run_lock import claim_run; claim_run(sys.argv[1]); "
HOLD += "print('held', flush=True); sys.stdin.read()"


@pytest.fixture
def other(root, tmp_path):
    """Another process that holds the folder ``tmp_path / "run"``."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "run")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root,
    )  # fmt: skip
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


def test_a_folder_in_use_is_one_line_that_names_the_other(other, tmp_path):
    with pytest.raises(UserError, match=f"another training writes there .process {other.pid} on "):
        claim_run(tmp_path / "run")
    assert f"process {other.pid} on " in (tmp_path / "run" / NAME).read_text()


def test_a_killed_training_keeps_nobody_out(other, tmp_path):
    other.send_signal(signal.SIGKILL)
    other.wait()
    claim_run(tmp_path / "run")
    claim_run(tmp_path / "run")  # the same process again, as a test that resumes does
    assert f"process {os.getpid()} on " in (tmp_path / "run" / NAME).read_text()
    run_lock._held.pop((tmp_path / "run").absolute() / NAME).close()
