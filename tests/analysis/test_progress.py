"""analysis/progress.py: what is shown, kept, and handed back."""

import io
import os
import signal
import subprocess
import sys
import time

import pytest

from fairseq_metro.analysis.progress import Display, run_and_show
from tests.analysis.fairseq_logs import write_log

PROGRESS = [sys.executable, "-m", "fairseq_metro.analysis.progress"]


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def display(every=10.0, terminal=False):
    stream, clock = io.StringIO(), Clock()
    stream.isatty = lambda: terminal
    return Display(stream, every=every, clock=clock), stream, clock


def feed(shown, clock, **process):
    lines = io.StringIO()
    write_log(lines, **process)
    for line in lines.getvalue().splitlines():
        clock.now += 0.5 if "train_inner" in line else 0
        shown.output(line)


def test_progress_line_has_losses_speed_and_time_left():
    shown, stream, clock = display()
    feed(shown, clock, last=200)
    # 20 updates take 0.5 s of the clock here, so that the 200 left take 5 s.
    assert (
        shown.line() == "update 200/400  mlm 5.500  rtd 0.400  clm 5.750  19.2k tokens/s  0:05 left"
    )
    said = stream.getvalue().splitlines()
    assert said[0] == "valid, before update 1  mlm 7.000  rtd 0.450  clm 7.000"
    assert said[2] == "valid, update 200  mlm 5.500  rtd 0.400  clm 5.750"
    assert len(said) == 3


def test_without_a_terminal_a_line_comes_every_ten_seconds():
    shown, stream, clock = display()
    for _ in range(100):
        clock.now += 0.25
        shown.tick()
    assert stream.getvalue().splitlines() == ["starting, 0:10", "starting, 0:20"]


def test_on_a_terminal_the_line_is_refreshed_in_place_and_left_at_the_end():
    shown, stream, clock = display(terminal=True)
    feed(shown, clock, last=60, valid_every=1000)
    clock.now += 1
    shown.tick()
    assert "\n" not in stream.getvalue().split("clm 7.000\n")[1]
    shown.close()
    assert stream.getvalue().endswith(shown.line() + "\n")


def test_warnings_and_errors_pass_through_and_information_does_not():
    shown, stream, _ = display()
    shown.output("2026-01-31 04:00:00 | INFO | fairseq.trainer | a detail")
    shown.output("  (encoder): Encoder(")
    shown.output("2026-01-31 04:00:00 | WARNING | fairseq.trainer | something odd")
    shown.error("error: train.bin is truncated")
    assert stream.getvalue().splitlines() == [
        "warning: something odd",
        "error: train.bin is truncated",
    ]


@pytest.mark.parametrize(("ending", "status"), [("exit 3", 3), ("kill -9 $$", 137), ("true", 0)])
def test_status_is_handed_back_and_the_log_keeps_everything(tmp_path, ending, status):
    shown, stream, _ = display()
    command = ["bash", "-c", f"echo out; echo bad >&2; {ending}"]
    for _ in range(2):
        assert run_and_show(command, tmp_path / "log", shown) == status
    assert sorted((tmp_path / "log").read_text().split()) == ["bad", "bad", "out", "out"]
    assert stream.getvalue().split() == ["bad", "bad"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_command_does_not_outlive_an_interrupted_display(tmp_path, root, number):
    command = f'echo $$ > "{tmp_path}/pid"; exec sleep 60'
    process = subprocess.Popen(
        [*PROGRESS, "--log", str(tmp_path / "log"), "--", "bash", "-c", command],
        cwd=root,
    )
    deadline = time.monotonic() + 30
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text().strip():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(number)
    assert process.wait(20) == 128 + number
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_command_that_is_not_there_is_one_line(tmp_path, root):
    done = subprocess.run(
        [*PROGRESS, "--log", str(tmp_path / "log"), "--", "no-such-program"],
        cwd=root, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (
        1,
        "error: no-such-program: cannot be run (No such file or directory)\n",
    )
