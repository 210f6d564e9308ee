"""Training compute of the reproduced models, by the planner's formulas."""

from functools import cache
from types import SimpleNamespace

from fairseq_metro.models.metro_t5 import ARCHITECTURES, MetroT5Config
from fairseq_metro.recipes.costs import flops_per_token
from fairseq_metro.recipes.parameters import VOCABULARY, count

CPU_VOCABULARY = 2129  # 2,000 pieces, 128 sentinels, the mask, fairseq's four


@cache
def flops(arch, objective, length=512):
    """Training FLOPs for a source token of an architecture; of tiny and small with 2,000 pieces."""
    cfg = SimpleNamespace(**{**vars(MetroT5Config()), **ARCHITECTURES[arch]})
    vocabulary = CPU_VOCABULARY if arch in ("tiny", "small") else VOCABULARY[arch]
    return flops_per_token(objective, cfg, length, vocabulary)


def compute_ratio(arch, length=128):
    """FLOPs of an update of METRO-T5 over those of T5's.

    >>> 1.5 < compute_ratio("small") < 4
    True
    """
    return flops(arch, "metro_t5", length) / flops(arch, "t5", length)


@cache
def parameters(size):
    """Parameters of METRO-T5 with its auxiliary model."""
    return sum(count(size, VOCABULARY[size]).values())
