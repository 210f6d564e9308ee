"""From logging outputs to logged means, exact for any number of micro-batches and workers."""

import torch
from fairseq.logging import metrics


def totals(logging_outputs):
    """The sum of each entry over a list of dicts; scalars as Python numbers, one copy from a GPU.

    Tensors of several numbers stay tensors.
    """
    total = {
        key: sum(output[key] for output in logging_outputs if key in output)
        for key in logging_outputs[0]
    }
    names = [key for key, value in total.items() if torch.is_tensor(value) and value.dim() == 0]
    if names:
        numbers = torch.stack([total[name].double() for name in names]).tolist()
        total.update(zip(names, numbers, strict=True))
    return total


def log_mean(name, value, count, empty=None):
    """Log ``value / count`` with the weight ``count``; ``empty`` (or nothing) where there is none."""
    if count > 0:
        metrics.log_scalar(name, value / count, count, round=6)
    elif empty is not None:
        metrics.log_scalar(name, empty, 0, round=6)
