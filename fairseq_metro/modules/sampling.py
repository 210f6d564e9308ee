"""Sampling the auxiliary model's replacements."""

import torch


def sample_tokens(logits, uniform, temperature=1.0):
    """Exact draws from softmax(logits / temperature), by inversion of its cumulative sum.

    logits (M, V) of any float dtype; uniform (M,) in [0, 1), which alone decides the draw: the
    first token whose cumulative sum exceeds it. The
    cumulative sum runs over the vocabulary in order and in float32; u is scaled by its last value
    and kept below it, so a token without mass is never drawn. Returns (M,) int64. No gradient.
    """
    with torch.no_grad():
        mass = torch.softmax(logits.float() / temperature, dim=-1).cumsum(dim=-1)
        total = mass[:, -1:]
        threshold = uniform.to(mass.dtype).unsqueeze(-1) * total
        threshold = torch.minimum(threshold, torch.nextafter(total, torch.zeros_like(total)))
        return torch.searchsorted(mass, threshold, right=True).squeeze(-1)
