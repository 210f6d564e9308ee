"""Tests of kernels in a process of their own: Triton's interpreter is switched on before its import.

A file of such tests has no name that pytest collects; a test of the usual kind runs it by
:func:`run_apart`. In it, :func:`device` is where the kernels run: the GPU, or the interpreter's CPU.
"""

import importlib.metadata
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from fairseq_metro.kernels.choice import interpreted

ROOT = Path(__file__).resolve().parent.parent.parent


def run_apart(name, *options, interpreter, gpu=True):
    """Run tests/kernels/NAME by pytest, in the interpreter or on the GPU; fails as it fails.

    gpu: without the interpreter, whether a GPU is needed (compiling needs none). Skips where Triton
    is not installed or there is no GPU that is needed.
    """
    if importlib.util.find_spec("triton") is None:
        pytest.skip("Triton is not installed; it comes with torch for CUDA, or: pip install triton")
    if gpu and not interpreter and not torch.cuda.is_available():
        pytest.skip("no GPU")
    environment = {**os.environ, "FAIRSEQ_METRO_KERNELS": "fused"}
    environment.pop("TRITON_INTERPRET", None)
    if interpreter:
        environment.update(TRITON_INTERPRET="1", CUDA_VISIBLE_DEVICES="")
    command = [sys.executable, "-m", "pytest", "-q", "-x", "--timeout=1800", *options]
    done = subprocess.run(
        [*command, f"tests/kernels/{name}"],
        cwd=ROOT, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


def device():
    """Where kernels run in this process."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def mend_interpreter():
    """Triton 3.6's interpreter takes int() of arrays of one number, which NumPy 2.4 refuses."""
    from triton.runtime import interpreter

    patch = interpreter._patch_lang_tensor

    def patch_lang_tensor(tensor, scope):
        patch(tensor, scope)
        scope.set_attr(tensor, "__index__", lambda self: int(self.handle.data.item()))

    interpreter._patch_lang_tensor = patch_lang_tensor


if interpreted() and importlib.metadata.version("triton").startswith("3.6."):
    mend_interpreter()

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
