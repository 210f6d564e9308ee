"""RoBERTa as fairseq and Hugging Face's ``RobertaForMaskedLM`` compute it (Liu et al., 2019).

No token types: the one row of a converted model is part of its position table.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from fairseq.models import BaseFairseqModel, register_model
from torch import nn

from fairseq_metro.common.errors import UserError
from fairseq_metro.models.checked_loading import CheckedLoading
from fairseq_metro.models.metro_t5.stacks import at_last, padding_mask
from fairseq_metro.models.roberta.config import RobertaMLMConfig
from fairseq_metro.models.roberta.layers import RobertaLayer
from fairseq_metro.models.sizes import check_sizes
from fairseq_metro.modules.compiled import run_layer
from fairseq_metro.modules.heads import project_to_vocabulary, select_rows


@dataclass(frozen=True)
class RobertaStates:
    """last: (B, T, C), or (M, C) of the rows asked for. hidden: L + 1 tensors (B, T, C), the
    embeddings' output first, then each layer's; attention: L tensors (B, H, T, T), scores before
    the softmax, padded keys included. Both empty unless asked for."""

    last: torch.Tensor
    hidden: tuple = ()
    attention: tuple = ()


def leaves_out(mask, rows):
    """Whether the layers shall be given no padding: on a CPU, which takes as long as there are
    rows, and where none of the rows asked for is padding. A GPU would have to be waited for.

    mask (B, T) bool or None, rows (M,) int64 or None.
    """
    if mask is None or mask.device.type != "cpu":
        return False
    return rows is None or not mask.flatten()[rows].any()


class RobertaEncoder(nn.Module):
    """Tokens and learned positions, LayerNorm, layers."""

    def __init__(self, cfg, symbols, pad):
        super().__init__()
        self.pad, self.max_positions, self.dropout = pad, cfg.max_positions, cfg.dropout
        self.embed_tokens = nn.Embedding(symbols, cfg.embed_dim, pad)
        self.embed_positions = nn.Embedding(cfg.max_positions + pad + 1, cfg.embed_dim, pad)
        self.layernorm_embedding = nn.LayerNorm(cfg.embed_dim, cfg.layer_norm_epsilon)
        self.layers = nn.ModuleList(RobertaLayer(cfg) for _ in range(cfg.encoder_layers))

    def positions(self, tokens):
        """(B, T) int64 -> rows of the position table: padding has its own id, the n-th other token
        of a row n more than that, so that padding on either side shifts nothing."""
        real = tokens.ne(self.pad)
        positions = real.cumsum(1) * real + self.pad
        # Only a width beyond the table can be too much: nothing is asked of a GPU before that.
        if tokens.size(1) > self.max_positions:
            longest = int(positions.max()) - self.pad
            if longest > self.max_positions:
                raise UserError(
                    f"an input of {longest} tokens, but the model has {self.max_positions} "
                    "positions; shorten it or train with more --max-positions"
                )
        return positions

    def forward(self, tokens, padded=None, hidden=False, attention=False, rows=None):
        """See :meth:`RobertaMLMModel.encode`."""
        mask, positions = padding_mask(tokens, self.pad, padded), self.positions(tokens)
        shape, real = tokens.shape, None
        if not (hidden or attention) and leaves_out(mask, rows):
            real = mask.logical_not().flatten().nonzero().squeeze(1)
            tokens, positions = tokens.flatten()[real], positions.flatten()[real]
        x = self.embed_tokens(tokens) + self.embed_positions(positions)
        x = F.dropout(self.layernorm_embedding(x), self.dropout, self.training)
        states, scores = [x], []
        for layer, wanted in zip(self.layers, at_last(self.layers, rows), strict=True):
            if attention or wanted is not None or real is not None:
                x, shown = layer(x, mask, attention, wanted, real)
            else:
                x, shown = run_layer(layer, x, mask)
            if hidden:
                states.append(x)
            if attention:
                scores.append(shown)
        if real is not None and rows is None:
            x = x.new_zeros(shape.numel(), x.size(-1)).index_copy(0, real, x).view(*shape, -1)
        return RobertaStates(x, tuple(states) if hidden else (), tuple(scores))


class MaskedLMHead(nn.Module):
    """Dense, GELU, LayerNorm before the tied table, and a bias for each symbol."""

    def __init__(self, cfg, symbols):
        super().__init__()
        self.dense = nn.Linear(cfg.embed_dim, cfg.embed_dim)
        self.layer_norm = nn.LayerNorm(cfg.embed_dim, cfg.layer_norm_epsilon)
        self.bias = nn.Parameter(torch.zeros(symbols))

    def forward(self, states):
        """(..., C) -> (..., C), what the table is multiplied with."""
        return self.layer_norm(F.gelu(self.dense(states)))


@register_model("roberta_mlm", dataclass=RobertaMLMConfig)
class RobertaMLMModel(CheckedLoading, BaseFairseqModel):
    """RoBERTa with its masked-LM head, which sees only the rows it is asked about.

    The output layer is the token table itself: there is one parameter, so nothing can untie it.
    """

    def __init__(self, cfg, dictionary):
        super().__init__()
        check_sizes(cfg)
        if cfg.embed_dim % cfg.attention_heads:
            raise UserError(
                f"--embed-dim {cfg.embed_dim} is no multiple of --attention-heads "
                f"{cfg.attention_heads}; change one of them"
            )
        self.cfg, self.num_updates = cfg, 0
        self.encoder = RobertaEncoder(cfg, len(dictionary), dictionary.pad())
        self.lm_head = MaskedLMHead(cfg, len(dictionary))

    @classmethod
    def build_model(cls, cfg, task):
        model = cls(cfg, task.source_dictionary)
        initialize(model)
        return model

    def max_positions(self):
        return self.encoder.max_positions

    def set_num_updates(self, num_updates):
        super().set_num_updates(num_updates)
        self.num_updates = num_updates

    def forward(
        self,
        src_tokens,
        masked_index=None,
        padded=None,
        hidden=False,
        attention=False,
        **unused,
    ):
        """src_tokens (B, T) int64 -> logits (B, T, V).

        masked_index (M,) int64 into the flattened (B, T): logits (M, V), of these positions only.
        padded: whether there is padding, as far as the caller knows. hidden, attention: return
        (logits, :class:`RobertaStates` with those) instead.
        """
        if hidden or attention:
            states = self.encode(src_tokens, padded, hidden, attention)
            last = states.last if masked_index is None else select_rows(states.last, masked_index)
            return self.project(self.lm_head(last)), states
        return self.project(self.lm_head(self.encode(src_tokens, padded, rows=masked_index).last))

    def encode(self, src_tokens, padded=None, hidden=False, attention=False, rows=None):
        """src_tokens (B, T) int64 -> :class:`RobertaStates`.

        hidden, attention: whether hidden states and attention scores are wanted too; without scores
        attention runs torch's fused kernels, which never hold them. rows (M,) int64 into the
        flattened (B, T), with neither: only these positions go through the last layer, but for its
        keys and values.
        """
        if rows is not None and (hidden or attention):
            raise ValueError("hidden states and scores are those of all positions, not of rows")
        return self.encoder(src_tokens, padded, hidden, attention, rows)

    def mask_vector(self, src_tokens, masked_index, padded=None):
        """src_tokens (B, T), masked_index (M,) int64 into the flattened (B, T) -> (M, C), which
        :meth:`project` multiplies with the token table."""
        return self.lm_head(self.encode(src_tokens, padded, rows=masked_index).last)

    def project(self, vector):
        """(..., C) -> logits (..., V)."""
        return project_to_vocabulary(vector, self.encoder.embed_tokens.weight, self.lm_head.bias)


def initialize(model):
    """BERT's: linear maps and tables N(0, 0.02), biases and the rows of padding 0."""
    for module in model.modules():
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, std=0.02)
        if isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            with torch.no_grad():
                module.weight[module.padding_idx].zero_()
