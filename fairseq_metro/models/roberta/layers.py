"""RoBERTa's layer: post-LayerNorm, exact GELU; attention scores only where they are asked for."""

import torch
import torch.nn.functional as F
from torch import nn

from fairseq_metro.modules.attention import packed_attention
from fairseq_metro.modules.heads import select_rows
from fairseq_metro.modules.norm import add_dropout_norm
from fairseq_metro.modules.transformer import FeedForward, SelfAttention, merge_heads, split_heads


class ScoredSelfAttention(SelfAttention):
    """Self-attention that can show its scores; without them it runs torch's fused kernels."""

    def scored(self, x, key_padding_mask):
        """x (B, T, C), key_padding_mask (B, T) bool or None -> (B, T, C), scores (B, H, T, T).

        Scores are Q K^T / sqrt(D) before the softmax and before padding is hidden.
        """
        q, k, v = (split_heads(part, self.heads) for part in self.qkv_proj(x).chunk(3, dim=-1))
        scores = (q * q.size(-1) ** -0.5) @ k.transpose(-1, -2)
        seen = scores.float()
        if key_padding_mask is not None:
            hidden = key_padding_mask[:, None, None, :]
            seen = seen.masked_fill(hidden, torch.finfo(seen.dtype).min)
        weights = F.dropout(seen.softmax(-1), self.dropout, self.training).type_as(v)
        return self.out_proj(merge_heads(weights @ v)), scores

    def unpadded(self, x, key_padding_mask, real, rows):
        """x (N, C), the states at ``real`` (N,) int64 of the flattened (B, T), which are all that
        are no padding -> (M, C), at ``rows`` (M,) int64: only attention itself sees padding."""
        packed = self.qkv_proj(x)
        spread = packed.new_zeros(key_padding_mask.numel(), packed.size(-1))
        spread = spread.index_copy(0, real, packed).view(*key_padding_mask.shape, -1)
        mixed = packed_attention(
            spread.unflatten(-1, (3, self.heads, -1)),
            key_padding_mask=key_padding_mask,
            dropout=self.dropout if self.training else 0.0,
        )
        return self.out_proj(select_rows(mixed.flatten(-2), rows))


class GeluFeedForward(FeedForward):
    """Linear, GELU (exact, not tanh's), linear."""

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x)))


class RobertaLayer(nn.Module):
    """LN(x + dropout(part(x))) for self-attention and feed-forward."""

    def __init__(self, cfg):
        super().__init__()
        self.dropout = cfg.dropout
        self.self_attn = ScoredSelfAttention(
            cfg.embed_dim, cfg.attention_heads, cfg.attention_dropout
        )
        self.self_attn_layer_norm = nn.LayerNorm(cfg.embed_dim, cfg.layer_norm_epsilon)
        self.ffn = GeluFeedForward(cfg.embed_dim, cfg.ffn_dim)
        self.final_layer_norm = nn.LayerNorm(cfg.embed_dim, cfg.layer_norm_epsilon)

    def _post(self, residual, update, norm):
        return add_dropout_norm(
            residual, update, norm, dropout=self.dropout, training=self.training
        )

    def forward(self, x, key_padding_mask=None, scores=False, rows=None, real=None):
        """x (B, T, C) -> (B, T, C), attention scores (B, H, T, T) if asked for, else None.

        Where no scores are asked for: rows (M,) int64 into the flattened (B, T): the states of
        these positions alone, (M, C), and nothing but keys and values is computed for the others.
        real (N,) int64, ascending: x is (N, C), the states there, the others are padding; so is the
        output, unless there are rows, which are some of these.
        """
        shown = None
        if scores:
            update, shown = self.self_attn.scored(x, key_padding_mask)
        elif real is not None:
            wanted = real if rows is None else rows
            update = self.self_attn.unpadded(x, key_padding_mask, real, wanted)
            x = x if rows is None else x.index_select(0, torch.searchsorted(real, rows))
        else:
            update = self.self_attn(x, key_padding_mask=key_padding_mask, rows=rows)
            x = x if rows is None else select_rows(x, rows)
        x = self._post(x, update, self.self_attn_layer_norm)
        return self._post(x, self.ffn(x), self.final_layer_norm), shown
