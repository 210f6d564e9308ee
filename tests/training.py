"""Run fairseq's own commands inside the test's process, and read what they logged."""

import importlib
import json
import logging
import os
import subprocess
import sys
from collections import defaultdict
from contextlib import contextmanager
from pathlib import Path

import torch
from fairseq import checkpoint_utils
from fairseq.logging import metrics

import fairseq_metro

fairseq_metro.register()  # other tests have imported the package, see its docstring
ROOT = Path(__file__).resolve().parent.parent
SIZES = [
    "--embed-dim=16",
    "--ffn-dim=24",
    "--attention-heads=2",
    "--relative-position-buckets=8",
    "--relative-position-max-distance=20",
    "--max-positions=64",
]
OPTIMIZATION = [
    "--optimizer=fused_adam",
    "--adam-betas=(0.9, 0.98)",
    "--adam-eps=1e-6",
    "--weight-decay=0.01",
    "--clip-norm=2.0",
    "--lr=2e-3",
    "--lr-scheduler=polynomial_decay",
    "--warmup-updates=2",
    "--total-num-update=40",
]
QUIET = ["--log-format=json", "--log-interval=1", "--no-progress-bar", "--no-epoch-checkpoints"]


class Log(logging.Handler):
    """Keeps records; ``lines(name)`` gives the JSON objects that a logger of that name wrote."""

    def __init__(self):
        super().__init__(logging.INFO)
        self.records = []

    def emit(self, record):
        self.records.append((record.name, record.getMessage()))

    def lines(self, name):
        return [
            json.loads(text) for logger, text in self.records if logger == name and text[:1] == "{"
        ]

    def losses(self):
        """Update number -> training loss, as logged."""
        return {int(line["num_updates"]): line["loss"] for line in self.lines("train_inner")}


@contextmanager
def recorded():
    log, root = Log(), logging.getLogger()
    level = root.level
    root.addHandler(log)
    root.setLevel(logging.INFO)
    try:
        yield log
    finally:
        root.removeHandler(log)
        root.setLevel(level)


def forget_earlier_runs():
    """fairseq keeps the best score of a run, its meters and more in module globals."""
    vars(checkpoint_utils.save_checkpoint).pop("best", None)
    metrics.reset()


def command(data, save_dir, *options, architecture="metro_t5_tiny"):
    """The words of a fairseq-train command for a very small model."""
    return [
        str(data),
        f"--user-dir={ROOT / 'fairseq_metro'}",
        "--task=metro_t5",
        f"--arch={architecture}",
        "--criterion=metro_t5",
        "--tokens-per-sample=32",
        "--batch-size=4",
        f"--save-dir={save_dir}",
        "--cpu",
        "--num-workers=0",
        *SIZES,
        *OPTIMIZATION,
        *QUIET,
        *options,
    ]


def call(program, words):
    """``fairseq_cli.<program>.cli_main()`` with a command line, in this process; its log."""
    forget_earlier_runs()
    module = importlib.import_module(f"fairseq_cli.{program}")
    before = sys.argv
    sys.argv = [f"fairseq-{program}", *map(str, words)]
    try:
        with recorded() as log:
            module.cli_main()
    finally:
        sys.argv = before
    return log


def train(data, save_dir, *options, **changes):
    return call("train", command(data, save_dir, *options, **changes))


def spawn(words, **environment):
    """A command as a process of its own: CompletedProcess with text output."""
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(
        list(map(str, words)), capture_output=True, text=True, env=env, timeout=240, cwd=ROOT
    )


def launched(processes, words, path="/usr/bin:/bin"):
    """``fairseq-train`` on so many processes, by launch.sh: what they logged, lists of dicts by kind of
    line. path: where programs are looked for after the environment's own."""
    words = [word for word in words if word != "--cpu"]
    done = spawn(
        ["bash", ROOT / "train_scripts/launch.sh", processes, "fairseq-train", *words],
        PATH=f"{sys.exec_prefix}/bin:{path}",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = defaultdict(list)
    for line in (done.stdout + done.stderr).splitlines():
        parts = line.split(" | ", 3)
        if len(parts) == 4 and parts[3].startswith('{"'):
            found[parts[2]].append(json.loads(parts[3]))
    return found


def same_number(a, b, rel=1e-5):
    """Two logged values agree; a mean over nothing is logged as null, or as nan."""
    a, b = (float("nan") if value is None else float(value) for value in (a, b))
    return (a != a and b != b) or abs(a - b) <= rel * max(abs(a), abs(b))


def parameters(path):
    return torch.load(path, weights_only=True)["model"]


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)
