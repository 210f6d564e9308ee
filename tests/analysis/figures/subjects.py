"""Tiny models with a few batches, as the figures over checkpoints take them."""

import weakref
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


def most_alive(subject, measure, count=6):
    """How many of ``count`` batches are in memory at once, at most, while ``measure(subject)`` runs."""
    first, alive, most = subject.samples[0], [], []

    def batches():
        for _ in range(count):
            tokens = first["net_input"]["src_tokens"].clone()
            inputs = {**first["net_input"], "src_tokens": tokens}
            alive.append(weakref.ref(tokens))
            most.append(sum(each() is not None for each in alive))
            yield {**first, "net_input": inputs}
            del inputs, tokens

    subject.batches = batches
    measure(subject)
    assert len(most) == count
    return max(most)


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
