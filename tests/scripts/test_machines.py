"""train_scripts/launch.sh on several machines: two torchrun agents of this one, on CPUs."""

import json
import os
import signal
import socket
import subprocess
import sys

import pytest
import torch
from fairseq import options as fairseq_options

from tests.tasks.conftest import corpus, data, vocabulary  # noqa: F401  fixtures
from tests.training import ROOT, command, parameters, same_number, train


def start(machine, port, words, log):
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "MACHINES": "2"}
    env |= {"MACHINE": str(machine), "MASTER": f"127.0.0.1:{port}"}
    env["PATH"] = f"{sys.exec_prefix}/bin:/usr/bin:/bin"
    launch = ["bash", ROOT / "train_scripts" / "launch.sh", "1", "fairseq-train"]
    return subprocess.Popen(
        [*map(str, launch), *words], stdout=log, stderr=subprocess.STDOUT, env=env, cwd=ROOT,
        start_new_session=True,
    )  # fmt: skip


@pytest.mark.timeout(900)  # two starts of torchrun and fairseq, on a machine that may be busy
def test_two_machines_equal_one_process_that_accumulates(data, tmp_path):  # noqa: F811
    options = ["--max-update=3", "--dropout=0", "--attention-dropout=0", "--disable-validation"]
    options += ["--no-initial-validation"]
    one = train(data, tmp_path / "one", "--update-freq=2", *options)
    words = command(data, tmp_path / "two", *options)
    words.remove("--cpu")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    said = []
    with open(tmp_path / "first.log", "w+") as first, open(tmp_path / "second.log", "w+") as second:
        machines = [start(number, port, words, log) for number, log in ((0, first), (1, second))]
        try:
            status = [machine.wait(400) for machine in machines]
        finally:
            for machine in machines:
                if machine.poll() is None:  # the agent with its rank
                    os.killpg(machine.pid, signal.SIGKILL)
        for log in (first, second):
            log.seek(0)
            said.append(log.read())
    assert status == [0, 0], "\n".join(said)
    lines = [line.split(" | ", 3)[3] for line in said[0].splitlines() if "| train_inner |" in line]
    assert len(lines) == 3 and "train_inner |" not in said[1]  # the first machine writes
    for ours, theirs in zip(map(json.loads, lines), one.lines("train_inner"), strict=True):
        assert same_number(ours["loss"], theirs["loss"])
    a, b = (parameters(tmp_path / d / "checkpoint_last.pt") for d in ("one", "two"))
    for key in a:
        torch.testing.assert_close(a[key], b[key], rtol=1e-4, atol=1e-6)


def test_fairseq_train_knows_the_option_by_which_launch_names_a_rank_its_gpu():
    parser = fairseq_options.get_training_parser()
    args, _ = parser.parse_known_args(["DATA", "--device-id", "3", "--distributed-no-spawn"])
    assert args.device_id == 3 and args.distributed_no_spawn
