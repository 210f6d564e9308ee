"""Optimizers, one file each; importing this package registers them with fairseq."""

from fairseq_metro.optim import fused_adam, plain_adafactor

__all__ = ["fused_adam", "plain_adafactor"]
