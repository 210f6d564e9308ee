"""A rehearsal of an original: the same commands with tiny models and few updates."""

from dataclasses import dataclass

from fairseq_metro.common.errors import UserError

LEAST = 40  # updates: 20 points of SMASH's figure 2, and two updates from one to the next
PRETRAINING, FEWSHOT = 2, 1 / 10  # times as many updates as in fine-tuning and distillation


@dataclass(frozen=True)
class Scale:
    """arch: of every model, None for the paper's sizes; updates: of every fine-tuning and
    distillation, None for the paper's numbers.

    A rehearsal's pretraining has twice as many, a few-shot run a tenth; checkpoints are kept
    after the same share of a training. Nothing else is changed.
    """

    arch: str | None = None
    updates: int | None = None

    def __post_init__(self):
        if self.updates is not None and (self.updates < LEAST or self.updates % LEAST):
            raise UserError(f"--rehearse {self.updates}: must be {LEAST} or a multiple of it")

    def arch_of(self, size):
        """ARCH of a model."""
        return self.arch or size

    def updates_of(self, total, share=1):
        """Updates of a training that has ``total`` of them in the paper."""
        return total if self.updates is None else round(self.updates * share)

    def update_at(self, update, total, share=1):
        """The update of a training that stands for the paper's ``update`` of ``total``."""
        return update * self.updates_of(total, share) // total

    def options(self, total, share=1, every=None, keep=False):
        """fairseq-train's options of a training: words.

        every: the paper's updates from a checkpoint that is wanted to the next; keep: whether the
        scripts would remove it otherwise.
        """
        words = []
        if self.updates is not None:
            words += ["--max-update", str(self.updates_of(total, share))]
        if every is not None:
            every = str(self.update_at(every, total, share))
            if self.updates is not None:
                words += ["--save-interval-updates", every]
            words += ["--keep-interval-updates-pattern", every] if keep else []
        return tuple(words)

    def fewshot_options(self):
        """fairseq-metro fewshot's options: words."""
        return () if self.updates is None else ("--steps", str(round(self.updates * FEWSHOT)))
