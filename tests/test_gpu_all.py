"""benchmarks/gpu_all.sh: refuses in one line, and runs every part."""

import os
import re
import subprocess
import sys

import pytest
import torch

from tests.training import ROOT

SCRIPT = ROOT / "benchmarks" / "gpu_all.sh"
# A Python that runs the script's own question on a machine that seems to have a GPU and no
# tensorboardX, of whose absence fairseq logs a line; and that only notes the parts.
PROGRAM = """#!/bin/sh
case "$*" in
    *pytest*|*benchmarks/*) echo "$FAIRSEQ_METRO_KERNELS $*" >> "$RECORD"; exit 0 ;;
    *) exec {python} "$@" ;;
esac
"""
MACHINE = """import sys
sys.modules["tensorboardX"] = None
import torch
torch.cuda.is_available = lambda: True
torch.cuda.get_device_capability = lambda *device: {capability}
torch.cuda.get_device_name = lambda *device: "Test GPU"
"""


def start(tmp_path, capability):
    (tmp_path / "python").write_text(PROGRAM.format(python=sys.executable))
    (tmp_path / "python").chmod(0o755)
    (tmp_path / "sitecustomize.py").write_text(MACHINE.format(capability=capability))
    environment = {**os.environ, "PYTHON": str(tmp_path / "python"), "PYTHONPATH": str(tmp_path),
                   "RECORD": str(tmp_path / "record")}  # fmt: skip
    return subprocess.run(["bash", SCRIPT, tmp_path / "out"], env=environment, capture_output=True,
                          text=True, timeout=240)  # fmt: skip


def test_every_part_is_run_whatever_packages_log(tmp_path):
    pytest.importorskip("triton")
    done = start(tmp_path, (9, 0))
    assert done.returncode == 0, done.stdout + done.stderr
    said = SCRIPT.read_text("utf-8")
    named = set(re.findall(r"^(?:part|tests) ([a-z]\w+)", said, re.M))
    named |= {"residual_norm", "head_loss", "model"}
    summary = (tmp_path / "out" / "summary.txt").read_text().splitlines()
    assert {line.split()[0] for line in summary} == named and len(summary) == len(named)
    assert all(" status   0 " in line for line in summary)
    record = (tmp_path / "record").read_text().splitlines()
    assert len(record) == len(named)
    files = re.findall(r"(?:tests|benchmarks)/[\w/]+\.py", " ".join(record))
    assert len(set(files)) > 12 and all((ROOT / path).is_file() for path in files)


def test_an_old_gpu_and_none_are_one_line(tmp_path):
    done = start(tmp_path, (7, 5))
    (line,) = done.stderr.strip().splitlines()
    assert done.returncode == 2 and "Test GPU is older" in line
    if torch.cuda.is_available():
        return
    done = subprocess.run(["bash", SCRIPT, tmp_path / "out"], capture_output=True, text=True,
                          env={**os.environ, "PYTHON": sys.executable})  # fmt: skip
    (line,) = done.stderr.strip().splitlines()
    assert done.returncode == 2 and "sees no GPU" in line
    assert not (tmp_path / "record").exists() and not (tmp_path / "out").exists()
