"""Projection heads (METRO-T0, appendix A.2). Vocabulary heads see only rows that carry loss."""

from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import nn

from fairseq_metro.kernels.head_loss import (
    HeadLoss,
    head_loss_fused,
    loss_of_logits,
    runs_fused,
    sample_tokens,
    written,
)
from fairseq_metro.modules.cpu_head_loss import cpu_head_loss, takes_head_loss


def select_rows(hidden, index):
    """Rows of hidden (B, T, C) at index (M,) int64 into the flattened (B, T): (M, C).

    By index and not by a boolean mask: the number of rows is known without asking the GPU.
    """
    return hidden.reshape(-1, hidden.size(-1)).index_select(0, index)


def project_to_vocabulary(hidden, embedding, bias=None):
    """The tied output layer: hidden (..., C), embedding (V, C), bias (V,) -> (..., V)."""
    return F.linear(hidden, embedding, bias)


@dataclass(eq=False)
class Logits:
    """Logits (N, V) that are there already, from which their loss is computed."""

    logits: torch.Tensor

    def loss(self, target, *, row_weight=None, draw=None, temperature=1.0):
        """As :meth:`Unprojected.loss`; the entropy only where replacements are drawn."""
        result = HeadLoss()
        if target is not None:
            result = loss_of_logits(self.logits, target, row_weight, entropy=draw is not None)
        if draw is not None:
            drawn = sample_tokens(self.logits, draw.uniform, temperature)
            result = result._replace(**written(draw, drawn, target))
        return result


@dataclass(eq=False)
class Unprojected:
    """A vocabulary head but for its last product: states (N, C), table (V, C), bias (V,) or None.

    Where :func:`takes_targets` holds, the loss is computed from here and no logits are kept.
    """

    states: torch.Tensor
    table: torch.Tensor
    bias: torch.Tensor | None

    @cached_property
    def logits(self):
        """(N, V), computed when they are first read."""
        return project_to_vocabulary(self.states, self.table, self.bias)

    def loss(self, target, **options):
        """:class:`~fairseq_metro.kernels.head_loss.HeadLoss` at the targets (N,), which may be None;
        options: as :func:`~fairseq_metro.kernels.head_loss.head_loss_reference` has them."""
        if target is None or not takes_targets(self.table):
            return Logits(self.logits).loss(target, **options)
        run = head_loss_fused if runs_fused(self.table) else cpu_head_loss
        return run(self.states, self.table, target, bias=self.bias, **options)


def takes_targets(table):
    """Whether head and loss are one function for this table (V, C), on a GPU or on a CPU."""
    return runs_fused(table) or takes_head_loss(table)


def copy_mixture(logits, copied, rtd_logits):
    """log(p_orig 1[v = copied] + (1 - p_orig) softmax(logits)_v), p_orig = sigmoid(-rtd_logits).

    logits (N, V); copied (N,) int64, the encoder's input tokens; rtd_logits (N,), the logits of
    "replaced", detached here. Returns (N, V) float32. Our reading of Table 4's copy mechanism.
    """
    rtd_logits = rtd_logits.detach().float().unsqueeze(-1)
    log_p = F.log_softmax(logits.float(), dim=-1) + F.logsigmoid(rtd_logits)
    copied = copied.unsqueeze(-1)
    mixed = torch.logaddexp(log_p.gather(1, copied), F.logsigmoid(-rtd_logits))
    return log_p.scatter(1, copied, mixed)


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
        return self.unprojected(hidden, embedding).logits


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
