"""T5's relative-position bias, one table for all layers of a stack (Raffel et al., 2020, 2.1)."""

import math

import torch
from torch import nn


def relative_position_bucket(distance, bidirectional, num_buckets, max_distance):
    """T5's bucket of a signed distance (key position minus query position), int64 -> int64.

    bidirectional: half of the buckets for keys behind the query, half for those ahead; otherwise
    all are for keys behind it. Of a direction's N buckets N // 2 hold one distance each, the others
    grow with the logarithm up to ``max_distance``, from which on all share the last. Computed in
    float32, in the order of T5's own code, so that distances on the border of two buckets fall as
    they did in training.

    >>> relative_position_bucket(torch.tensor([-500, -8, -1, 0, 1, 8, 500]), True, 32, 128).tolist()
    [15, 8, 1, 0, 17, 24, 31]
    >>> relative_position_bucket(torch.tensor([-500, -16, -1, 0, 3]), False, 32, 128).tolist()
    [31, 16, 1, 0, 0]
    """
    if bidirectional:
        num_buckets //= 2
        ahead = (distance > 0).long() * num_buckets
        n = distance.abs()
    else:
        ahead = 0
        n = (-distance).clamp(min=0)
    exact = num_buckets // 2
    growth = torch.log(n.clamp(min=1).float() / exact) / math.log(max_distance / exact)
    far = exact + (growth * (num_buckets - exact)).long()
    return ahead + torch.where(n < exact, n, far.clamp(max=num_buckets - 1))


class RelativePositions(nn.Module):
    """One learned number per (bucket, head): the bias of all attention layers of one stack.

    The bias depends on key minus query position only, so one number per distance is looked up and
    every query's row is a window of them. reach: distances that are kept as buckets; longer inputs
    lengthen the list, there is no longest one.
    """

    def __init__(self, num_buckets, max_distance, heads, bidirectional, reach=1024):
        super().__init__()
        self.bidirectional, self.max_distance = bidirectional, max_distance
        reach = max(reach, max_distance + 1)
        self.weight = nn.Parameter(torch.zeros(num_buckets, heads))
        self.register_buffer("bucket", self._buckets(reach), persistent=False)

    def _buckets(self, reach):
        """(2 reach - 1,) int64: of distances 1 - reach to reach - 1. On the CPU, so that distances
        on the border of two buckets fall alike everywhere."""
        distances = torch.arange(1 - reach, reach, device="cpu")
        rows = self.weight.size(0)
        return relative_position_bucket(distances, self.bidirectional, rows, self.max_distance)

    @property
    def near(self):
        """(2R + 1,) int64: buckets of the distances -R to R; farther ones have that of R."""
        middle = self.bucket.size(0) // 2
        return self.bucket[middle - self.max_distance : middle + self.max_distance + 1]

    def forward(self, queries, keys):
        """Bias (H, queries, keys); the last query stands at the position of the last key.

        So ``forward(T, T)`` is a whole input's, ``forward(1, T)`` that of its last position.
        """
        reach = (self.bucket.size(0) + 1) // 2
        if max(queries, keys) > reach:
            reach = max(queries, keys, 2 * reach)
            self.bucket = self._buckets(reach).to(self.weight.device)
        of_distance = self.bucket[reach - keys : reach + queries - 1]  # 1 - keys to queries - 1
        by_distance = self.weight.index_select(0, of_distance).t()
        # Row i's first key is keys - queries + i behind it, which is entry queries - 1 - i.
        return by_distance.unfold(1, keys, 1).flip(1)
