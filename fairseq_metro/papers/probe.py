"""A short benchmark of this machine, from which the time of a plan is estimated."""

import time

import torch

from fairseq_metro.models.metro_t5 import ARCHITECTURES, MetroT5Config, MetroT5Model
from fairseq_metro.models.metro_t5.initialization import INITIALIZATIONS
from fairseq_metro.models.symbols import Symbols
from fairseq_metro.papers.steps import PRETRAINING, PROBE

UPDATES = 4
PIECES = 2000
MFU = 0.3  # of what a GPU's matrix products reach, in training


def slowness(updates=UPDATES):
    """How many times slower this CPU is now than the one of steps.py: seconds of an update of a small
    METRO-T5 (1,024 tokens, forward and backward, one thread) over those there."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        seconds = min(_seconds(*_batch()) for _ in range(updates))
    finally:
        torch.set_num_threads(before)
    return seconds / PRETRAINING["metro_t5", PROBE]


def _batch():
    torch.manual_seed(0)
    cfg = MetroT5Config(**{**ARCHITECTURES[PROBE], "dropout": 0.0, "attention_dropout": 0.0})
    model = MetroT5Model(cfg, Symbols(PIECES))
    INITIALIZATIONS[cfg.initialization](model)
    return model, torch.randint(4, PIECES, (8, 128)), torch.arange(0, 1024, 7)


def _seconds(model, tokens, masked):
    began = time.perf_counter()
    out = model(
        tokens, torch.full((8,), 128), tokens, masked_index=masked, padded=False,
        uniform=torch.rand(len(masked), dtype=torch.float64),
    )  # fmt: skip
    (out.mlm_logits.sum() + out.clm_logits.sum() + out.rtd_logits.sum()).backward()
    return time.perf_counter() - began


def gpu_flops(size=4096, seconds=1.0):
    """FLOPs that this GPU's bfloat16 matrix products reach a second; None without a GPU."""
    if not torch.cuda.is_available():
        return None
    a = torch.randn(size, size, device="cuda", dtype=torch.bfloat16)
    a @ a
    torch.cuda.synchronize()
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        for _ in range(10):
            a @ a
        torch.cuda.synchronize()
        count += 10
    return 2 * size**3 * count / (time.perf_counter() - began)
