"""Attention of some positions alone: the queries of those rows, the keys and values of all."""

from functools import cached_property

import torch


class QueryRows:
    """Rows index (M,) int64 of the flattened (B, T), laid out as (B, R): as many slots for every
    sequence as the one with the most rows needs. A slot that is nobody's stands at position 0."""

    def __init__(self, index, batch, length):
        self.index, self.batch, self.length = index, batch, length
        sequence = index // length
        count = torch.bincount(sequence, minlength=batch)
        self.width = max(1, int(count.max()))
        order = sequence.argsort(stable=True)
        first = (count.cumsum(0) - count).repeat_interleave(count)
        slot = torch.empty_like(index)
        slot[order] = torch.arange(len(index)) - first
        self.slot = sequence * self.width + slot  # (M,), of the flattened (B, R)

    @cached_property
    def position(self):
        """(B, R) int64: where in its sequence each slot stands."""
        position = self.index.new_zeros(self.batch * self.width)
        return position.index_copy(0, self.slot, self.index % self.length).view(self.batch, -1)

    def spread(self, x):
        """(M, ...) -> (B, R, ...), zeros in slots that are nobody's."""
        out = x.new_zeros(self.batch * self.width, *x.shape[1:])
        return out.index_copy(0, self.slot, x).unflatten(0, (self.batch, self.width))

    def gathered(self, x):
        """The counterpart of :meth:`spread`: (B, R, ...) -> (M, ...)."""
        return x.flatten(0, 1).index_select(0, self.slot)

    def of_bias(self, bias):
        """(H, T, S) -> (B, H, R, S)."""
        return bias[:, self.position].transpose(0, 1)

    def of_hidden(self, hidden):
        """What hides keys, (B or 1, 1, T or 1, S) -> (B or 1, 1, R or 1, S)."""
        if hidden is None or hidden.size(2) == 1:
            return hidden
        hidden = hidden.squeeze(1).expand(self.batch, -1, -1)
        sequence = torch.arange(self.batch).unsqueeze(1)
        return hidden[sequence, self.position].unsqueeze(1)
