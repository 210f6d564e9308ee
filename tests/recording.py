"""Which samples a run was trained on: in this process, or as a command of its own.

``python -m tests.recording DATA ...`` is fairseq-train; each process adds lines to the file that the
environment variable TRAINED_ON names: [epoch, [samples of a batch]].
"""

import json
import os
from contextlib import contextmanager

from fairseq_cli import train

import fairseq_metro
from fairseq_metro.tasks.base import TextTask

VARIABLE = "TRAINED_ON"


@contextmanager
def recorded_samples(path):
    """Every batch that a task trains on in this context is a line of the file."""
    stock = TextTask.train_step

    def train_step(self, sample, *arguments, ignore_grad=False, **options):
        if not ignore_grad:
            line = json.dumps([self.finite.epoch, sample["id"].tolist()])
            with open(path, "a") as stream:  # short lines of several processes do not mix
                stream.write(line + "\n")
        return stock(self, sample, *arguments, ignore_grad=ignore_grad, **options)

    TextTask.train_step = train_step
    try:
        yield
    finally:
        TextTask.train_step = stock


def samples_of(path, epoch):
    """The samples of an epoch that were trained on, in order, with repetitions."""
    lines = map(json.loads, path.read_text().splitlines())
    return [i for number, batch in lines if number == epoch for i in batch]


if __name__ == "__main__":
    fairseq_metro.register()
    with recorded_samples(os.environ[VARIABLE]):
        train.cli_main()
