"""Commands as processes that are killed at random instants and begun again.

``FAULT_COUNTS=FILE`` in the environment of the tests appends a line of JSON to FILE for each stage:
what was done to it, how often and how long that took. ``benchmarks/results/faults.jsonl`` is such a
file, of ``bash tests/run.sh -m slow tests/faults``.
"""

import atexit
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.stamp import commit
from fairseq_metro.trainer.checkpoints import is_whole, read_facts
from tests.training import ROOT

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
    return ["fairseq-metro", name, *map(str, words)]


def train(*words):
    """``fairseq-train``."""
    return ["fairseq-train", *map(str, words)]


@dataclass(frozen=True)
class Stage:
    """words: folder -> the command that works in it; state: folder -> what it leaves, comparable."""

    words: Callable
    state: Callable


@cache
def server(folder):
    """A :mod:`tests.faults.server`, which lives as long as the tests do."""
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "tests.faults.server"], cwd=folder, env=env,
        text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # ignored behind an "&"
    )  # fmt: skip
    atexit.register(process.kill)
    return process


def ask(words, seconds=None, with_signal=signal.SIGKILL, limit=None, bound=False, fault=None):
    """Have the server run a command: (its answer, what the command said)."""
    with tempfile.TemporaryDirectory() as folder:
        request = {
            "words": words, "said": f"{folder}/said", "seconds": seconds, "signal": int(with_signal),
            "limit": limit, "bound": bound, "fault": fault,
        }  # fmt: skip
        process = server(ROOT)
        print(json.dumps(request), file=process.stdin, flush=True)
        answer = json.loads(process.stdout.readline())
        said = Path(request["said"]).read_text("utf-8", errors="replace")
    return answer, said


def finish(words, **how):
    """Run to the end: exit status, output, seconds. how: limit, bound, fault, as the server's."""
    answer, said = ask(words, **how)
    assert answer["ended"], f"hangs: {words} {said[-3000:]}"
    return answer["status"], said, answer["seconds"]


def killed_after(words, seconds, with_signal=signal.SIGKILL):
    """Whether the command was still at work after so many seconds and was ended by a signal."""
    answer, _ = ask(words, seconds, with_signal)
    return not answer["ended"]


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
        ended = False
        while done < kills and not ended:
            ended = not killed_after(stage.words(work), rng.uniform(0, seconds))
            done += not ended
        if not ended:
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
    try:
        return is_whole(path) and read_facts(path)["num_updates"] >= updates
    except UserError:  # a running training writes over it
        return False


def json_lines(path, key, without=()):
    """{key's value: line without some fields} of a file of JSON lines."""
    lines = map(json.loads, path.read_text("utf-8").splitlines())
    return {line[key]: {k: v for k, v in line.items() if k not in without} for line in lines}
