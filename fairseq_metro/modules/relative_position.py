"""Learned relative-position bias of the encoder's self-attention."""

import math

import numpy as np
import torch
from torch import nn
from torch.autograd.function import once_differentiable


def relative_position_bucket(distance, num_buckets, max_distance):
    """Bucket of a signed distance (key position minus query position), as the METRO release has it.

    With H = num_buckets // 2 and E = H // 2, distances below E have a bucket each, larger ones
    share logarithmic buckets up to ``max_distance``; negative distances mirror positive ones around
    bucket H - 1. So num_buckets - 1 buckets are used. distance: int array; returns int64.

    >>> relative_position_bucket(np.array([-500, -1, 0, 1, 7, 8, 127, 500]), 32, 128).tolist()
    [0, 14, 15, 16, 22, 23, 30, 30]
    """
    half = num_buckets // 2
    exact = half // 2
    n = np.abs(np.asarray(distance, dtype=np.int64))
    ratio = np.log(np.maximum(n, exact) / exact) / math.log((max_distance - 1) / exact)
    far = exact + np.ceil(ratio * (half - 1 - exact)).astype(np.int64)
    bucket = np.where(n < exact, n, np.minimum(half - 1, far))
    return np.sign(distance) * bucket + half - 1


class RelativePositionBias(nn.Module):
    """One learned number per (bucket, head); ``forward(T)`` gives the bias (H, T, T).

    The bias depends on j - i only, so the 2T - 1 distances are looked up and every query's row is a
    window of them: the gradient is summed along diagonals before it reaches the table.
    """

    def __init__(self, num_buckets, max_distance, heads, max_positions):
        super().__init__()
        self.max_positions, self.reach = max_positions, min(max_distance, max_positions - 1)
        self.weight = nn.Parameter(torch.zeros(num_buckets, heads))
        distances = np.arange(1 - max_positions, max_positions)
        buckets = relative_position_bucket(distances, num_buckets, max_distance)
        self.register_buffer("bucket", torch.from_numpy(buckets), persistent=False)

    @property
    def near(self):
        """(2R + 1,) int64: buckets of the distances -R to R; farther ones have that of R."""
        middle = self.max_positions - 1
        return self.bucket[middle - self.reach : middle + self.reach + 1]

    def forward(self, length):
        middle = self.max_positions - 1
        of_distance = self.bucket[middle - length + 1 : middle + length]
        return _Windows.apply(self.weight.index_select(0, of_distance).t(), length)


class _Windows(torch.autograd.Function):
    """by_distance (H, 2T - 1) -> (H, T, T) whose row i begins at distance -i, entry T - 1 - i."""

    @staticmethod
    def forward(ctx, by_distance, length):
        return by_distance.unfold(1, length, 1).flip(1)

    @staticmethod
    @once_differentiable
    def backward(ctx, d):
        heads, length, _ = d.shape
        # Every row is put where its distances stand, so that a diagonal becomes a column.
        turned = d.new_zeros(heads, length, 2 * length - 1)
        strides = (turned.stride(0), 2 * length - 2, 1)
        turned.as_strided(d.shape, strides, length - 1).copy_(d)
        return turned.sum(1), None
