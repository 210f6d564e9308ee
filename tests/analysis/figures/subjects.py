"""Tiny models with a few batches, as the figures over checkpoints take them."""

from types import SimpleNamespace

import torch

from fairseq_metro.analysis.figures.examples import Subject
from fairseq_metro.criterions.metro_t5 import MetroT5Criterion
from fairseq_metro.criterions.t5 import T5Criterion
from tests import tiny


class Fixed(Subject):
    """A subject with its batches given."""

    def __init__(self, model, criterion, samples):
        self.model, self.criterion, self.samples = model, criterion, samples
        self.device, self.pad = torch.device("cpu"), 1
        self.args = SimpleNamespace(data="nowhere")

    def batches(self):
        return iter(self.samples)


def _batches(data, size=2, count=2):
    return [
        data.collater([data[i] for i in range(begin, begin + size)])
        for begin in range(0, size * count, size)
    ]


def metro_subject():
    criterion = MetroT5Criterion(tiny.task(), 50.0, 1.0, "recipe")
    return Fixed(tiny.model(), criterion, _batches(tiny.dataset(longest=12)))


def pair_subject():
    samples = _batches(tiny.t5_dataset(longest=12))
    return Fixed(tiny.t5(), T5Criterion(tiny.task()), samples)
