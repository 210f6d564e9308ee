"""The layers of METRO-T5 for Hugging Face, under the names of fairseq_metro's parameters."""

import math

import torch
import torch.nn.functional as F
from torch import nn


def attend(heads, query, key, value, mask, dropout):
    """query (B, S, C), key, value (B, H, T, D), mask broadcast to (B, H, S, T) -> (B, S, C)."""
    mixed = F.scaled_dot_product_attention(
        split(query, heads), key, value, attn_mask=mask, dropout_p=dropout
    )
    return mixed.transpose(1, 2).flatten(-2)


def split(x, heads):
    """(B, T, C) -> (B, H, T, D)."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


class SelfAttention(nn.Module):
    """Queries, keys and values from one projection."""

    def __init__(self, dim, heads, dropout):
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.qkv_proj = nn.Linear(dim, 3 * dim)
        self.out_proj = nn.Linear(dim, dim)

    def forward(self, x, mask, cache=None, layer=0):
        query, key, value = self.qkv_proj(x).chunk(3, -1)
        key, value = split(key, self.heads), split(value, self.heads)
        if cache is not None:
            key, value = cache.self_attention_cache.update(key, value, layer)
        dropout = self.dropout if self.training else 0.0
        return self.out_proj(attend(self.heads, query, key, value, mask, dropout))


class CrossAttention(nn.Module):
    """Attention to the encoder's states, whose keys and values are computed once for an input."""

    def __init__(self, dim, heads, dropout):
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.q_proj = nn.Linear(dim, dim)
        self.kv_proj = nn.Linear(dim, 2 * dim)
        self.out_proj = nn.Linear(dim, dim)

    def forward(self, x, states, mask, cache=None, layer=0):
        if cache is not None and cache.is_updated.get(layer):
            held = cache.cross_attention_cache.layers[layer]
            key, value = held.keys, held.values
        else:
            key, value = (split(part, self.heads) for part in self.kv_proj(states).chunk(2, -1))
            if cache is not None:
                key, value = cache.cross_attention_cache.update(key, value, layer)
                cache.is_updated[layer] = True
        dropout = self.dropout if self.training else 0.0
        return self.out_proj(attend(self.heads, self.q_proj(x), key, value, mask, dropout))


class FeedForward(nn.Module):
    """Linear, ReLU, linear."""

    def __init__(self, dim, inner):
        super().__init__()
        self.fc1 = nn.Linear(dim, inner)
        self.fc2 = nn.Linear(inner, dim)

    def forward(self, x):
        return self.fc2(F.relu(self.fc1(x)))


class EncoderLayer(nn.Module):
    """Self-attention and feed-forward, each followed by dropout, residual and LayerNorm."""

    def __init__(self, config):
        super().__init__()
        dim = config.embed_dim
        self.dropout = nn.Dropout(config.dropout)
        self.self_attn = SelfAttention(dim, config.attention_heads, config.attention_dropout)
        self.self_attn_layer_norm = nn.LayerNorm(dim)
        self.ffn = FeedForward(dim, config.ffn_dim)
        self.final_layer_norm = nn.LayerNorm(dim)

    def forward(self, x, mask):
        x = self.self_attn_layer_norm(x + self.dropout(self.self_attn(x, mask)))
        return self.final_layer_norm(x + self.dropout(self.ffn(x)))


class DecoderLayer(EncoderLayer):
    """The same with cross-attention in the middle."""

    def __init__(self, config):
        super().__init__(config)
        dim = config.embed_dim
        self.encoder_attn = CrossAttention(dim, config.attention_heads, config.attention_dropout)
        self.encoder_attn_layer_norm = nn.LayerNorm(dim)

    def forward(self, x, mask, states, states_mask, cache, layer):
        update = self.self_attn(x, mask, cache, layer)
        x = self.self_attn_layer_norm(x + self.dropout(update))
        update = self.encoder_attn(x, states, states_mask, cache, layer)
        x = self.encoder_attn_layer_norm(x + self.dropout(update))
        return self.final_layer_norm(x + self.dropout(self.ffn(x)))


class Embedding(nn.Module):
    """Token plus learned position, LayerNorm, dropout; token_dim: width of the table of tokens."""

    def __init__(self, config, token_dim):
        super().__init__()
        self.max_positions = config.max_positions
        self.token_proj = None
        if token_dim != config.embed_dim:
            self.token_proj = nn.Linear(token_dim, config.embed_dim, bias=False)
        self.positions = nn.Embedding(config.max_positions, config.embed_dim)
        self.layer_norm = nn.LayerNorm(config.embed_dim)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, tokens, table, positions, longest):
        """tokens, positions (B, T) int64, table (V, C); longest: the largest number of tokens."""
        if longest > self.max_positions:
            raise ValueError(
                f"an input of {longest} tokens, but the model has {self.max_positions} positions; "
                "shorten it (truncation=True)"
            )
        x = F.embedding(tokens, table)
        if self.token_proj is not None:
            x = self.token_proj(x)
        return self.dropout(self.layer_norm(x + self.positions(positions)))


def relative_bucket(distance, buckets, max_distance):
    """Row of a relative table for key minus query, int64 -> int64 of that shape.

    Half of them for either sign; of these the first half alone, the others in logarithmic steps up
    to max_distance, as the METRO release has them.
    """
    half = buckets // 2
    exact = half // 2
    n = distance.abs()
    ratio = torch.log(n.clamp(min=exact).double() / exact) / math.log((max_distance - 1) / exact)
    far = exact + torch.ceil(ratio * (half - 1 - exact)).long()
    bucket = torch.where(n < exact, n, far.clamp(max=half - 1))
    return distance.sign() * bucket + half - 1


class RelativePositions(nn.Module):
    """One number per (bucket, head) of a layer."""

    def __init__(self, buckets, heads):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(buckets, heads))


class Stack(nn.Module):
    """The encoder; the auxiliary model is one too."""

    main_input_name = "input_ids"

    def __init__(self, config, token_dim=None):
        super().__init__()
        self.config, self.pad = config, config.pad_token_id
        self.embedding = Embedding(config, token_dim or config.embed_dim)
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.encoder_layers))
        self.relative_positions = nn.ModuleList(
            RelativePositions(config.relative_position_buckets, config.attention_heads)
            for _ in range(config.encoder_layers)
        )

    def buckets(self, length, device):
        """(T, T) int64: the row of the tables for each query and key."""
        config, place = self.config, torch.arange(length)
        of_distance = relative_bucket(
            torch.arange(1 - length, length),
            config.relative_position_buckets,
            config.relative_position_max_distance,
        )
        return of_distance[place - place.unsqueeze(1) + length - 1].to(device)

    def encode(self, tokens, table, attention_mask=None, every=False):
        """tokens (B, T), table (V, C) -> the states (B, T, C) after each layer: tuple.

        Padding may be on either side. every: the embeddings' too; else the last ones alone.
        """
        if attention_mask is None:
            attention_mask = tokens.ne(self.pad)
        seen = attention_mask.bool()
        positions = (seen.long().cumsum(1) - 1).clamp(min=0)
        x = self.embedding(tokens, table, positions, int(seen.sum(1).max()))
        buckets, states = self.buckets(tokens.size(1), tokens.device), [x]
        for layer, relative in zip(self.layers, self.relative_positions, strict=True):
            bias = relative.weight[buckets].permute(2, 0, 1).unsqueeze(0)
            bias = bias.masked_fill(~seen[:, None, None], torch.finfo(bias.dtype).min)
            states.append(layer(states[-1], bias))
        return tuple(states if every else states[-1:])


class Head(nn.Module):
    """dense, ReLU, LayerNorm and what follows: each only where the model has it.

    out: None for the table of tokens, or the number of outputs of a layer of its own.
    """

    def __init__(self, dim, width, norm, dense=True, biases=0, out=None):
        super().__init__()
        self.dense = nn.Linear(dim, width) if dense else None
        self.layer_norm = nn.LayerNorm(width) if norm else None
        self.bias = nn.Parameter(torch.zeros(biases)) if biases else None
        self.out = nn.Linear(width, out) if out else None

    def forward(self, x, table=None):
        """(..., C) -> (..., V), or (..., out)."""
        if self.dense is not None:
            x = self.dense(x)
        if self.layer_norm is not None:
            x = self.layer_norm(F.relu(x))
        return F.linear(x, table, self.bias) if self.out is None else self.out(x)
