"""Attention as one function, so that a fused kernel can take its place."""

import torch
import torch.nn.functional as F


def attention(query, key, value, *, bias=None, key_padding_mask=None, causal=False, dropout=0.0):
    """Scaled dot-product attention with additive bias, through torch's own fused kernels.

    query (B, H, T, D); key, value (B, H, S, D); bias (H, T, S), added to the scaled scores;
    key_padding_mask (B, S) bool, True at padding; causal: query i sees keys 0..i (T equals S);
    dropout: probability of dropping an attention weight. Returns (B, H, T, D).

    A query all of whose keys are padding gets finite values (its row is padding itself).
    """
    mask = None
    if bias is not None:
        mask = bias.unsqueeze(0).to(query.dtype)
    if key_padding_mask is not None:
        if mask is None:
            mask = ~key_padding_mask[:, None, None, :]
        else:
            lowest = torch.finfo(mask.dtype).min
            mask = mask.masked_fill(key_padding_mask[:, None, None, :], lowest)
    return F.scaled_dot_product_attention(
        query, key, value, attn_mask=mask, dropout_p=dropout, is_causal=causal
    )
