"""Objectives, one file each; importing this package registers them with fairseq."""

from fairseq_metro.criterions import (
    masked_lm,
    metro_t5,
    prompt_distillation,
    prompt_finetuning,
    t5,
)

__all__ = ["masked_lm", "metro_t5", "prompt_distillation", "prompt_finetuning", "t5"]
