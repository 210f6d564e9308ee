"""Layers by torch.compile: what the fused kernels leave of a layer becomes a few launches."""

import functools

import torch

from fairseq_metro.kernels.choice import asked


def run_layer(layer, x, *inputs):
    """``layer(x, *inputs)``, in training by torch.compile where ``FAIRSEQ_METRO_KERNELS`` has
    ``layers=compiled``.

    x (B, T, C) and every other tensor keep their number of dimensions over the calls. All layers of a
    class share what is compiled; a second shape makes the sizes variables of it. Not for incremental
    decoding, whose caches change in place.
    """
    if layer.training and torch.is_grad_enabled() and asked("compiled", x.device.type):
        return _compiled(type(layer))(layer, x, *inputs)
    return layer(x, *inputs)


@functools.cache
def _compiled(kind):
    return torch.compile(kind.forward)
