"""Projection heads (METRO-T0, appendix A.2). Vocabulary heads see only rows that carry loss."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from fairseq_metro.kernels.head_loss import head_loss_fused, runs_fused
from fairseq_metro.modules.cpu_head_loss import cpu_head_loss, takes_head_loss


def select_rows(hidden, index):
    """Rows of hidden (B, T, C) at index (M,) int64 into the flattened (B, T): (M, C).

    By index and not by a boolean mask: the number of rows is known without asking the GPU.
    """
    return hidden.reshape(-1, hidden.size(-1)).index_select(0, index)


def project_to_vocabulary(hidden, embedding, bias=None):
    """The tied output layer: hidden (..., C), embedding (V, C), bias (V,) -> (..., V)."""
    return F.linear(hidden, embedding, bias)


class Unprojected(NamedTuple):
    """A vocabulary head but for its last product: states (N, C), table (V, C), bias (V,) or None.

    A head that :func:`takes_targets` goes on from here, so that no logits need be kept.
    """

    states: torch.Tensor
    table: torch.Tensor
    bias: torch.Tensor | None

    def loss(self, target, **options):
        """:class:`~fairseq_metro.kernels.head_loss.HeadLoss` at the targets (N,); options: as
        :func:`~fairseq_metro.kernels.head_loss.head_loss_reference` has them."""
        run = head_loss_fused if runs_fused(self.table) else cpu_head_loss
        return run(self.states, self.table, target, bias=self.bias, **options)


def takes_targets(table):
    """Whether head and loss are one function for this table (V, C), on a GPU or on a CPU."""
    return runs_fused(table) or takes_head_loss(table)


class VocabularyHead(nn.Module):
    """From a model's states to logits through the shared token table.

    in_dim: width of the states; dim: width of the table. transform: dense, ReLU, LayerNorm first;
    otherwise nothing, or one linear map where the widths differ. biases: size of the vocabulary if
    every token has a bias of its own, else 0.
    """

    def __init__(self, in_dim, dim, transform, biases):
        super().__init__()
        self.dense = self.layer_norm = self.bias = None
        if transform or in_dim != dim:
            self.dense = nn.Linear(in_dim, dim)
        if transform:
            self.layer_norm = nn.LayerNorm(dim)
        if biases:
            self.bias = nn.Parameter(torch.zeros(biases))

    def unprojected(self, hidden, embedding):
        """hidden (N, in_dim), embedding (V, dim) -> :class:`Unprojected`."""
        if self.dense is not None:
            hidden = self.dense(hidden)
        if self.layer_norm is not None:
            hidden = self.layer_norm(F.relu(hidden))
        return Unprojected(hidden, embedding, self.bias)

    def forward(self, hidden, embedding):
        """hidden (N, in_dim), embedding (V, dim) -> logits (N, V)."""
        return project_to_vocabulary(*self.unprojected(hidden, embedding))


class RTDHead(nn.Module):
    """Replaced token detection: linear, ReLU, LayerNorm, linear to one logit, as RoBERTa's heads.

    The logit is that of "replaced". The last layer starts at zero, so every token at p = 0.5.
    simple: the last layer alone.
    """

    def __init__(self, dim, simple=False):
        super().__init__()
        self.simple = simple
        if not simple:
            self.dense = nn.Linear(dim, dim)
            self.layer_norm = nn.LayerNorm(dim)
        self.out = nn.Linear(dim, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, hidden):
        """hidden (B, T, C) -> logits (B, T)."""
        if not self.simple:
            hidden = self.layer_norm(F.relu(self.dense(hidden)))
        return self.out(hidden).squeeze(-1)
