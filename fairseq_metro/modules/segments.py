"""Several examples packed into one row: who sees whom, and where positions begin.

Segments are int64 (B, T): 0 at padding, 1, 2, ... over the tokens of each packed example, which are
neighbours. An example of a packed row gets the numbers it would get alone.
"""

import torch


class OwnSegment:
    """Every query sees the keys of its own segment, and with ``causal`` none ahead of itself.

    queries (B, T), keys (B, S): segments. A fused kernel compares them itself; for torch's attention
    ``mask`` says it, made once.
    """

    def __init__(self, queries, keys, causal=False):
        self.queries, self.keys, self.causal, self._mask = queries, keys, causal, None

    @property
    def mask(self):
        """(B, T, S) bool, True where a query sees a key; padding sees everything (behind it)."""
        if self._mask is None:
            seen = see_own_segment(self.queries, self.keys)
            self._mask = seen.tril() if self.causal else seen
        return self._mask


def see_own_segment(queries, keys):
    """Which keys each query may see: queries (B, T), keys (B, S) segments -> (B, T, S) bool.

    Padding sees everything, so that no row is without a key; what it computes is read by nobody.

    >>> see_own_segment(torch.tensor([[1, 2, 0]]), torch.tensor([[1, 1, 2, 0]])).int().tolist()
    [[[1, 1, 0, 0], [0, 0, 1, 0], [1, 1, 1, 1]]]
    """
    own = queries.unsqueeze(-1) == keys.unsqueeze(-2)
    return own | queries.eq(0).unsqueeze(-1)


def positions_within(segments):
    """Position of each token in its own example: (B, T) segments -> (B, T) int64, from 0.

    >>> positions_within(torch.tensor([[1, 1, 1, 2, 2, 0]])).tolist()
    [[0, 1, 2, 0, 1, 0]]
    """
    column = torch.arange(segments.size(1), device=segments.device).expand_as(segments)
    begins = torch.ones_like(segments, dtype=torch.bool)
    begins[:, 1:] = segments[:, 1:] != segments[:, :-1]
    return column - column.masked_fill(~begins, 0).cummax(dim=1).values
