"""Kernels start on their tensors' GPU; how float32 is multiplied there."""

import sys
from pathlib import Path

import pytest
import torch

from fairseq_metro.kernels.on_device import on_its_device

KERNELS = Path(sys.modules[on_its_device.__module__].__file__).parent


class Tensor:
    """Of GPU 1, as far as a launch looks at it."""

    is_cuda = True

    def get_device(self):
        return 1


def test_the_tensors_gpu_is_current_during_the_launch(monkeypatch):
    current = [0]

    def exchange(device):
        before, current[0] = current[0], current[0] if device < 0 else device
        return before

    monkeypatch.setattr(torch.cuda, "_exchange_device", exchange)
    monkeypatch.setattr(torch.cuda, "_maybe_exchange_device", exchange)
    launch = on_its_device(lambda tensor, more: (current[0], more))
    assert launch(Tensor(), "x") == (1, "x") and current == [0]
    assert launch(torch.zeros(1), "x") == (0, "x")  # on a CPU nothing is exchanged


def test_every_launch_is_guarded():
    """The functions that start kernels are those whose names the operators call."""
    starts = {"attention_launch": 2, "head_loss_triton": 1, "residual_norm_triton": 2}
    for name, count in starts.items():
        text = (KERNELS / f"{name}.py").read_text("utf-8")
        assert text.count("@on_its_device\ndef ") == count, name
        assert text.count("\ndef forward(") + text.count("\ndef backward(") == count, name


@pytest.mark.parametrize(
    "older, newer, expected",
    [(True, None, "tf32"), (False, None, "ieee"), (None, "tf32", "tf32"), (None, "ieee", "ieee")],
)
def test_float32_is_multiplied_as_torch_multiplies_it(older, newer, expected):
    """By either of torch's two settings; one cannot be read where the other was set."""
    pytest.importorskip("triton")
    from fairseq_metro.kernels.attention_launch import precision

    chosen = torch.backends.cuda.matmul
    before = chosen.allow_tf32
    try:
        if newer is None:
            chosen.allow_tf32 = older
        else:
            chosen.fp32_precision = newer
        assert precision(torch.float32) == expected
        assert precision(torch.bfloat16) == "ieee"
    finally:
        chosen.allow_tf32 = before
