"""Post-LayerNorm Transformer layers, batch first: self-attention, cross-attention, feed-forward.

Queries, keys and values of self-attention share one projection (``qkv_proj``), keys and values of
cross-attention another (``kv_proj``): fewer, larger matrix products.
"""

import torch
import torch.nn.functional as F
from torch import nn

from fairseq_metro.common.errors import UserError
from fairseq_metro.modules.attention import attention, packed_attention, queries_at
from fairseq_metro.modules.dropout import dropout
from fairseq_metro.modules.heads import select_rows
from fairseq_metro.modules.norm import add_dropout_norm, adds_bias, apply_linear
from fairseq_metro.modules.segments import positions_within


def split_heads(x, heads):
    """(B, T, C) -> (B, H, T, D), a view."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def merge_heads(x):
    """(B, H, T, D) -> (B, T, C)."""
    return x.transpose(1, 2).flatten(-2)


class SelfAttention(nn.Module):
    """Self-attention; ``cache`` keeps keys and values of earlier steps in incremental decoding."""

    def __init__(self, dim, heads, dropout):
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.qkv_proj = nn.Linear(dim, 3 * dim)
        self.out_proj = nn.Linear(dim, dim)

    @property
    def last(self):
        """The linear map whose output is this part's."""
        return self.out_proj

    def forward(
        self,
        x,
        bias=None,
        key_padding_mask=None,
        causal=False,
        cache=None,
        visible=None,
        add_bias=True,
        rows=None,
        at=None,
    ):
        """x (B, T, C), key_padding_mask (B, T) bool -> (B, T, C); bias, visible: as
        :func:`~fairseq_metro.modules.attention.packed_attention` has them.

        With a ``cache`` (dict, changed in place) x holds the newest positions only, and there is
        neither. add_bias: add the bias of the last map. rows (M,) int64 into the flattened (B, T):
        the last map is asked at these positions alone -> (M, C); at: of
        :func:`~fairseq_metro.modules.attention.queries_at` for them, or None.
        """
        dropout = self.dropout if self.training else 0.0
        if cache is None:
            mixed = packed_attention(
                *((self.packed(x),) if at is None else self.queries_and_others(x, rows)),
                bias=bias,
                key_padding_mask=key_padding_mask,
                visible=visible,
                causal=causal,
                dropout=dropout,
                at=at,
            )
        else:
            q, k, v = (part.transpose(1, 2) for part in self.packed(x).unbind(2))
            if "key" in cache:
                k = torch.cat([cache["key"], k], dim=2)
                v = torch.cat([cache["value"], v], dim=2)
            cache["key"], cache["value"] = k, v
            mixed = attention(q, k, v, causal=causal, dropout=dropout).transpose(1, 2)
        mixed = mixed.flatten(-2)
        if rows is not None and at is None:
            mixed = select_rows(mixed, rows)
        return apply_linear(self.out_proj, mixed, add_bias)

    def packed(self, x):
        """Queries, keys and values (B, T, 3, H, D)."""
        return self.qkv_proj(x).unflatten(-1, (3, self.heads, -1))

    def queries_and_others(self, x, rows):
        """Queries of the rows (M,) alone (M, 1, H, D), keys and values (B, T, 2, H, D)."""
        dim = x.size(-1)
        weight, bias = self.qkv_proj.weight, self.qkv_proj.bias
        query = F.linear(select_rows(x, rows), weight[:dim], bias[:dim])
        others = F.linear(x, weight[dim:], bias[dim:])
        return query.unflatten(-1, (1, self.heads, -1)), others.unflatten(-1, (2, self.heads, -1))


class CrossAttention(nn.Module):
    """Attention of the decoder to the encoder's states; keys and values are computed once."""

    def __init__(self, dim, heads, dropout):
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.q_proj = nn.Linear(dim, dim)
        self.kv_proj = nn.Linear(dim, 2 * dim)
        self.out_proj = nn.Linear(dim, dim)

    @property
    def last(self):
        """The linear map whose output is this part's."""
        return self.out_proj

    def forward(
        self,
        x,
        states,
        key_padding_mask=None,
        cache=None,
        visible=None,
        add_bias=True,
        rows=None,
        at=None,
    ):
        """x (B, S, C), states (B, T, C), key_padding_mask (B, T) bool -> (B, S, C); visible: as
        :func:`~fairseq_metro.modules.attention.packed_attention` has it; rows: as self-attention
        has them -> (M, C). at: of them, too; x is (M, C) already then.

        Several targets of each input: x (B * n, S, C), those of an input in neighbouring rows. They
        become one long row of queries (a query sees nothing of the others), so keys and values stay
        (B, ...) and are neither computed nor copied n times.
        """
        dropout, grouped = self.dropout if self.training else 0.0, x
        if at is None:
            inputs = (cache["key"] if cache else states).size(0)
            if x.size(0) % inputs:
                raise ValueError(
                    f"{x.size(0)} targets cannot belong to {inputs} inputs in equal parts"
                )
            grouped = x.reshape(inputs, -1, x.size(-1))
        q = self.q_proj(grouped).unflatten(-1, (1, self.heads, -1))
        if cache is None:
            mixed = packed_attention(
                q,
                self.kv_proj(states).unflatten(-1, (2, self.heads, -1)),
                key_padding_mask=key_padding_mask,
                visible=visible,
                dropout=dropout,
                at=at,
            )
        else:
            if "key" not in cache:
                kv = self.kv_proj(states).unflatten(-1, (2, self.heads, -1)).unbind(2)
                cache["key"], cache["value"] = (part.transpose(1, 2) for part in kv)
            mixed = attention(
                q[:, :, 0].transpose(1, 2),
                cache["key"],
                cache["value"],
                key_padding_mask=key_padding_mask,
                dropout=dropout,
            ).transpose(1, 2)
        mixed = mixed.flatten(-2).view_as(x)
        if rows is not None:
            mixed = select_rows(mixed, rows)
        return apply_linear(self.out_proj, mixed, add_bias)


class FeedForward(nn.Module):
    """Linear, ReLU, linear."""

    def __init__(self, dim, ffn_dim):
        super().__init__()
        self.fc1 = nn.Linear(dim, ffn_dim)
        self.fc2 = nn.Linear(ffn_dim, dim)

    @property
    def last(self):
        """The linear map whose output is this part's."""
        return self.fc2

    def forward(self, x, add_bias=True):
        """x (..., C) -> (..., C)."""
        return apply_linear(self.fc2, F.relu(self.fc1(x)), add_bias)


class EncoderLayer(nn.Module):
    """Self-attention and feed-forward, each followed by residual, dropout and LayerNorm."""

    def __init__(self, cfg):
        super().__init__()
        self.dropout = cfg.dropout
        self.self_attn = SelfAttention(cfg.embed_dim, cfg.attention_heads, cfg.attention_dropout)
        self.self_attn_layer_norm = nn.LayerNorm(cfg.embed_dim)
        self.ffn = FeedForward(cfg.embed_dim, cfg.ffn_dim)
        self.final_layer_norm = nn.LayerNorm(cfg.embed_dim)

    def _post(self, x, norm, part, *inputs, rows=None, **options):
        """LN(x + dropout(part(x, ...))); a fused kernel adds the bias of the part's last map.
        rows (M,) int64: of these rows of x alone, as attention has them."""
        later = adds_bias(x, part.last)
        if rows is not None:
            options["rows"] = rows
        update = part(x, *inputs, **options, add_bias=not later)
        bias = part.last.bias if later else None
        x = x if rows is None else select_rows(x, rows)
        return add_dropout_norm(
            x, update, norm, update_bias=bias, dropout=self.dropout, training=self.training
        )

    def forward(self, x, bias=None, key_padding_mask=None, visible=None, rows=None):
        """x (B, T, C) -> (B, T, C); visible: OwnSegment where examples are packed.

        rows (M,) int64 into the flattened (B, T): the states of these positions alone, (M, C); of
        the others only what they attend with is computed. For a last layer of which no more is
        asked.
        """
        x = self._post(
            x,
            self.self_attn_layer_norm,
            self.self_attn,
            bias,
            key_padding_mask,
            visible=visible,
            rows=rows,
            at=self._queries_at(rows, x, bias),
        )
        return self._post(x, self.final_layer_norm, self.ffn)

    def _queries_at(self, rows, x, bias=None):
        attn = self.self_attn
        return queries_at(rows, x, bias, attn.heads, attn.dropout if attn.training else 0.0)


class DecoderLayer(EncoderLayer):
    """An encoder layer, causal, with cross-attention between its two parts."""

    def __init__(self, cfg):
        super().__init__(cfg)
        self.encoder_attn = CrossAttention(
            cfg.embed_dim, cfg.attention_heads, cfg.attention_dropout
        )
        self.encoder_attn_layer_norm = nn.LayerNorm(cfg.embed_dim)

    def forward(
        self, x, states, key_padding_mask=None, cache=None, visible=(None, None), rows=None
    ):
        """x (B, S, C) or, with several targets of each input, (B * n, S, C); states (B, T, C) ->
        as x.

        cache: dict with entries ``self`` and ``cross`` in incremental decoding. There x holds either
        the first positions or one new one, which may see every cached one: no causal mask then.
        visible: where examples are packed, OwnSegment of self-attention, causal already, and of
        cross-attention. rows: as :class:`EncoderLayer` has them.
        """
        own, cross = (None, None) if cache is None else (cache["self"], cache["cross"])
        causal = x.size(1) > 1 and visible[0] is None
        at = None
        if cache is None and x.size(0) == states.size(0):
            at = self._queries_at(rows, x)
        x = self._post(
            x,
            self.self_attn_layer_norm,
            self.self_attn,
            causal=causal,
            cache=own,
            visible=visible[0],
            rows=None if at is None else rows,
            at=at,
        )
        attend = self.encoder_attn
        x = self._post(
            x,
            self.encoder_attn_layer_norm,
            attend,
            states,
            key_padding_mask,
            cross,
            visible[1],
            rows=rows if at is None else None,
            at=at,
        )
        return self._post(x, self.final_layer_norm, self.ffn)


class Embedding(nn.Module):
    """Token plus learned absolute position, LayerNorm, dropout.

    The token table is handed in by reference and is not a parameter of this module: main and
    auxiliary model share it. token_dim: its width; a linear map follows it where that is another.
    """

    def __init__(self, cfg, token_dim):
        super().__init__()
        self.token_proj = None
        if token_dim != cfg.embed_dim:
            self.token_proj = nn.Linear(token_dim, cfg.embed_dim, bias=False)
        self.dropout, self.max_positions = cfg.dropout, cfg.max_positions
        self.positions = nn.Embedding(cfg.max_positions, cfg.embed_dim)
        self.layer_norm = nn.LayerNorm(cfg.embed_dim)

    def forward(self, tokens, table, first_position=0, segments=None):
        """tokens (B, T) int64, table nn.Embedding -> (B, T, C); positions count from the first.

        segments (B, T) int64: positions begin anew with every one of them.
        """
        length = tokens.size(1)
        if first_position + length > self.max_positions:
            raise UserError(
                f"an input of {first_position + length} tokens, but the model has "
                f"{self.max_positions} positions; shorten it or train with more --max-positions"
            )
        if segments is None:
            positions = self.positions.weight[first_position : first_position + length]
        else:
            positions = self.positions(positions_within(segments))
        x = table(tokens)
        if self.token_proj is not None:
            x = self.token_proj(x)
        x = self.layer_norm(x + positions)
        return dropout(x, self.dropout, self.training)
