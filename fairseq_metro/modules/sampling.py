"""Sampling the auxiliary model's replacements: the reference of the fused head's own draws."""

from fairseq_metro.kernels.head_loss import sample_tokens

__all__ = ["sample_tokens"]
