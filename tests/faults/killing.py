"""Commands as processes that are killed at random instants and begun again.

``FAULT_COUNTS=FILE`` in the environment of the tests appends a line of JSON to FILE for each stage:
what was done to it, how often and how long that took. ``benchmarks/results/faults.jsonl`` is such a
file, of ``bash tests/run.sh -m slow tests/faults``.
"""

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from fairseq_metro.checkpoints import is_whole, read_facts
from fairseq_metro.stamp import commit
from tests.training import ROOT

PYTHON = [sys.executable, "-W", "ignore"]
COUNTS_VARIABLE = "FAULT_COUNTS"


def report(stage, fault, began, **counts):
    """Say what a test has done, since ``began`` of time.monotonic(), and note it where asked."""
    line = {"stage": stage, "fault": fault, **counts}
    line |= {"seconds": round(time.monotonic() - began), "commit": commit()}
    print(f"{stage}, {fault}: " + ", ".join(f"{n} {name}" for name, n in counts.items()))
    if os.environ.get(COUNTS_VARIABLE):
        with open(os.environ[COUNTS_VARIABLE], "a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")


def ours(name, *words):
    """A console command of this package."""
    return [*PYTHON, "-m", "fairseq_metro", name, *map(str, words)]


def fairseq(program, *words):
    """``fairseq-<program>``."""
    code = f"from fairseq_cli.{program} import cli_main; cli_main()"
    return [*PYTHON, "-c", code, *map(str, words)]


@dataclass(frozen=True)
class Stage:
    """words: folder -> the command that works in it; state: folder -> what it leaves, comparable;
    over: folder -> whether there is nothing left to do (fairseq-train, begun again at its last
    update, would make one more)."""

    words: Callable
    state: Callable
    over: Callable = lambda folder: False


def start(words, **options):
    """The process, the first of a group of its own, so that its children can be killed with it."""
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        words, cwd=ROOT, env=env, start_new_session=True, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options,
    )  # fmt: skip


def finish(words, **options):
    """Run to the end: exit status, output, seconds."""
    began = time.monotonic()
    process = start(words, **options)
    said, _ = process.communicate(timeout=280)
    return process.returncode, said, time.monotonic() - began


def killed_after(words, seconds, with_signal=signal.SIGKILL):
    """Whether the command was still at work after so many seconds and was ended by a signal."""
    process = start(words)
    try:
        process.communicate(timeout=seconds)
        return False
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, with_signal)
        process.communicate(timeout=120)
        return True


def endure(name, stage, folder, kills, seed):
    """Kill the stage at random instants, go on each time, and compare what is left in the end.

    Folders ``folder/N`` are used up one after the other: in each the command is begun again after a
    kill until it comes to its end by itself. Every folder must end in the state of one that nobody
    disturbed.
    """
    rng, done, folders, began = random.Random(seed), 0, 0, time.monotonic()
    expected, seconds = undisturbed(stage, folder / "calm")
    while done < kills:
        work = folder / str(folders)
        work.mkdir()
        folders += 1
        # At first it is the interpreter that starts; from then on every instant is as likely.
        ended = False
        while done < kills and not (ended or stage.over(work)):
            ended = not killed_after(stage.words(work), rng.uniform(0.3, 1.0) * seconds)
            done += not ended
        if not (ended or stage.over(work)):
            status, said, _ = finish(stage.words(work))
            assert status == 0, f"folder {folders} after {done} kills: {said[-3000:]}"
        assert stage.state(work) == expected, f"folder {folders} after {done} kills"
        shutil.rmtree(work)
    report(name, "kill -9 at a random instant", began, kills=done, folders=folders, lost=0)


def undisturbed(stage, folder):
    """(state, seconds) of the stage where nobody disturbs it."""
    folder.mkdir(parents=True)
    status, said, seconds = finish(stage.words(folder))
    assert status == 0, said[-3000:]
    state = stage.state(folder)
    assert state
    return state, seconds


def files(folder, *patterns):
    """{name: hash} of the files below a folder that match."""
    found = {path for pattern in patterns for path in folder.rglob(pattern) if path.is_file()}
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in found
    }


def trained(run):
    """{name: tensor's hash} of a run's last checkpoint: the model's and the optimizer's."""
    state = torch.load(Path(run) / "checkpoint_last.pt", weights_only=True)
    found = {"updates": state["optimizer_history"][-1]["num_updates"]}
    for name, value in state["model"].items():
        found[name] = hashlib.sha256(value.contiguous().numpy().tobytes()).hexdigest()
    for number, moments in state["last_optimizer_state"]["state"].items():
        for name, value in moments.items():
            told = value.numpy().tobytes() if torch.is_tensor(value) else str(value).encode()
            found[f"{number} {name}"] = hashlib.sha256(told).hexdigest()
    return found


def finished(run, updates):
    """Whether a run's last checkpoint is there, whole, and of so many updates."""
    path = Path(run) / "checkpoint_last.pt"
    return is_whole(path) and read_facts(path)["num_updates"] >= updates


def json_lines(path, key, without=()):
    """{key's value: line without some fields} of a file of JSON lines."""
    lines = map(json.loads, path.read_text("utf-8").splitlines())
    return {line[key]: {k: v for k, v in line.items() if k not in without} for line in lines}
