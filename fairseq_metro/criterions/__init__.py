"""Objectives, one file each; importing this package registers them with fairseq."""

from fairseq_metro.criterions import (
    fewshot_prompt,
    masked_lm,
    metro_t5,
    prompt_distillation,
    prompt_finetuning,
    t5,
)

__all__ = [
    "fewshot_prompt",
    "masked_lm",
    "metro_t5",
    "prompt_distillation",
    "prompt_finetuning",
    "t5",
]
