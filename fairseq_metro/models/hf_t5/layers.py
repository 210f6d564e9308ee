"""T5's layers, batch first: RMSNorm before each part, no biases, attention that is not scaled.

Masks are made once per stack and handed to every layer: as torch's attention takes them, numbers
to be added (the relative-position bias, the lowest number where nothing may be seen) or bool, or,
where the fused kernel runs, as a dict of its arguments.
"""

import torch
import torch.nn.functional as F
from torch import nn

from fairseq_metro.kernels.attention import attention_fused
from fairseq_metro.modules.transformer import merge_heads


class RMSNorm(nn.Module):
    """x / sqrt(mean(x^2) + epsilon) times a weight, statistics in float32; no mean, no shift."""

    def __init__(self, dim, epsilon):
        super().__init__()
        self.weight, self.epsilon = nn.Parameter(torch.ones(dim)), epsilon

    def forward(self, x):
        """x (..., C) -> (..., C) of the same dtype."""
        mean_square = x.float().pow(2).mean(-1, keepdim=True)
        return self.weight * (x * torch.rsqrt(mean_square + self.epsilon)).type_as(x)


class Attention(nn.Module):
    """Attention without 1 / sqrt(D), with what self- and cross-attention share."""

    def __init__(self, cfg):
        super().__init__()
        self.heads, self.dropout = cfg.attention_heads, cfg.attention_dropout
        self.inner_dim = cfg.attention_heads * cfg.head_dim
        self.out_proj = nn.Linear(self.inner_dim, cfg.embed_dim, bias=False)

    def mix_packed(self, query, memory, mask):
        """query (B, T, n, H, D), memory (B, S, 2, H, D) or None, as the kernel has them -> (B, T,
        C)."""
        if isinstance(mask, dict):
            dropout = self.dropout if self.training else 0.0
            mixed = attention_fused(query, memory, dropout=dropout, scale=1.0, **mask)
            return self.out_proj(mixed.flatten(-2))
        q, *others = (x.transpose(1, 2) for x in query.unbind(2))
        return self.mix(q, *(others or (x.transpose(1, 2) for x in memory.unbind(2))), mask)

    def mix(self, query, key, value, mask):
        """query (B, H, T, D), key and value (B, H, S, D), mask broadcast to (B, H, T, S) or None
        -> (B, T, C)."""
        dropout = self.dropout if self.training else 0.0
        if mask is not None and mask.dtype != torch.bool:
            mask = mask.type_as(query)  # under autocast they differ
        mixed = F.scaled_dot_product_attention(
            query, key, value, attn_mask=mask, dropout_p=dropout, scale=1.0
        )
        return self.out_proj(merge_heads(mixed))


class SelfAttention(Attention):
    """``cache`` keeps keys and values of earlier steps in incremental decoding."""

    def __init__(self, cfg):
        super().__init__(cfg)
        self.qkv_proj = nn.Linear(cfg.embed_dim, 3 * self.inner_dim, bias=False)

    def forward(self, x, mask, cache=None):
        """x (B, T, C): with a cache (dict, changed in place) the newest positions only."""
        packed = self.qkv_proj(x).unflatten(-1, (3, self.heads, -1))
        if cache is None:
            return self.mix_packed(packed, None, mask)
        q, k, v = (part.transpose(1, 2) for part in packed.unbind(2))
        if "key" in cache:
            k = torch.cat([cache["key"], k], dim=2)
            v = torch.cat([cache["value"], v], dim=2)
        cache["key"], cache["value"] = k, v
        return self.mix(q, k, v, mask)


class CrossAttention(Attention):
    """Attention of the decoder to the encoder's states; keys and values are computed once."""

    def __init__(self, cfg):
        super().__init__(cfg)
        self.q_proj = nn.Linear(cfg.embed_dim, self.inner_dim, bias=False)
        self.kv_proj = nn.Linear(cfg.embed_dim, 2 * self.inner_dim, bias=False)

    def forward(self, x, states, mask, cache=None):
        """x (B, S, C), or (B * n, S, C) for n targets of each input, neighbours of each other;
        states (B, T, C) -> as x. The n targets become one row of queries: nothing is copied."""
        inputs = (cache["key"] if cache else states).size(0)
        q = self.q_proj(x.reshape(inputs, -1, x.size(-1))).unflatten(-1, (1, self.heads, -1))
        if cache is None:
            kv = self.kv_proj(states).unflatten(-1, (2, self.heads, -1))
            return self.mix_packed(q, kv, mask).view_as(x)
        if "key" not in cache:
            kv = self.kv_proj(states).unflatten(-1, (2, self.heads, -1)).unbind(2)
            cache["key"], cache["value"] = (part.transpose(1, 2) for part in kv)
        q = q[:, :, 0].transpose(1, 2)
        return self.mix(q, cache["key"], cache["value"], mask).view_as(x)


class FeedForward(nn.Module):
    """ReLU (v1.0), or gelu(W0 x) * W1 x, W0 and W1 as one product (v1.1)."""

    def __init__(self, cfg):
        super().__init__()
        self.gated, self.dropout = cfg.activation == "gated-gelu", cfg.dropout
        self.fc1 = nn.Linear(cfg.embed_dim, (1 + self.gated) * cfg.ffn_dim, bias=False)
        self.fc2 = nn.Linear(cfg.ffn_dim, cfg.embed_dim, bias=False)

    def forward(self, x):
        """x (B, T, C) -> (B, T, C)."""
        if self.gated:
            gate, hidden = self.fc1(x).chunk(2, dim=-1)
            hidden = F.gelu(gate, approximate="tanh") * hidden
        else:
            hidden = F.relu(self.fc1(x))
        return self.fc2(F.dropout(hidden, self.dropout, self.training))


class EncoderLayer(nn.Module):
    """x + dropout(part(norm(x))) for self-attention and feed-forward."""

    def __init__(self, cfg):
        super().__init__()
        self.dropout = cfg.dropout
        self.self_attn = SelfAttention(cfg)
        self.self_attn_layer_norm = RMSNorm(cfg.embed_dim, cfg.layer_norm_epsilon)
        self.ffn = FeedForward(cfg)
        self.final_layer_norm = RMSNorm(cfg.embed_dim, cfg.layer_norm_epsilon)

    def add(self, residual, update):
        return residual + F.dropout(update, self.dropout, self.training)

    def forward(self, x, mask):
        """x (B, T, C) -> (B, T, C)."""
        x = self.add(x, self.self_attn(self.self_attn_layer_norm(x), mask))
        return self.add(x, self.ffn(self.final_layer_norm(x)))


class DecoderLayer(EncoderLayer):
    """An encoder layer with cross-attention between its two parts; the mask is causal."""

    def __init__(self, cfg):
        super().__init__(cfg)
        self.encoder_attn = CrossAttention(cfg)
        self.encoder_attn_layer_norm = RMSNorm(cfg.embed_dim, cfg.layer_norm_epsilon)

    def forward(self, x, states, mask, cross_mask, cache=None):
        """x (B, S, C) or (B * n, S, C), states (B, T, C) -> as x. cache: dict with entries ``self``
        and ``cross`` in incremental decoding."""
        own, cross = (None, None) if cache is None else (cache["self"], cache["cross"])
        x = self.add(x, self.self_attn(self.self_attn_layer_norm(x), mask, own))
        update = self.encoder_attn(self.encoder_attn_layer_norm(x), states, cross_mask, cross)
        x = self.add(x, update)
        return self.add(x, self.ffn(self.final_layer_norm(x)))
