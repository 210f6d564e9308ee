"""Projection heads (METRO-T0, appendix A.2). Vocabulary heads see only rows that carry loss."""

import torch.nn.functional as F
from torch import nn


def select_rows(hidden, index):
    """Rows of hidden (B, T, C) at index (M,) int64 into the flattened (B, T): (M, C).

    By index and not by a boolean mask: the number of rows is known without asking the GPU.
    """
    return hidden.reshape(-1, hidden.size(-1)).index_select(0, index)


def project_to_vocabulary(hidden, embedding):
    """The tied output layer, one linear map: hidden (..., C), embedding (V, C) -> (..., V)."""
    return F.linear(hidden, embedding)


class RTDHead(nn.Module):
    """RoBERTa-style head of replaced token detection: linear, ReLU, LayerNorm, linear to one logit.

    The logit is that of "replaced". The last layer starts at zero, so every token at p = 0.5.
    """

    def __init__(self, dim):
        super().__init__()
        self.dense = nn.Linear(dim, dim)
        self.layer_norm = nn.LayerNorm(dim)
        self.out = nn.Linear(dim, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, hidden):
        """hidden (B, T, C) -> logits (B, T)."""
        return self.out(self.layer_norm(F.relu(self.dense(hidden)))).squeeze(-1)
