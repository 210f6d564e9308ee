"""Kernels start on the GPU that holds their tensors, not on the one that happens to be current."""

import functools

import torch


def on_its_device(launch):
    """``launch(tensor, ...)`` while the tensor's GPU is the current one; nothing else on a CPU.

    Triton launches on the current device and its stream, and torch's operators of one's own set none:
    a model on ``cuda:1`` would hand GPU 0 the addresses of another's memory.
    """

    @functools.wraps(launch)
    def launched(tensor, *arguments):
        with torch.cuda.device_of(tensor):
            return launch(tensor, *arguments)

    return launched
