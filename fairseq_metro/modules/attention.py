"""Attention as one function, so that a fused kernel can take its place."""

import torch
import torch.nn.functional as F


def attention(
    query,
    key,
    value,
    *,
    bias=None,
    key_padding_mask=None,
    visible=None,
    causal=False,
    dropout=0.0,
):
    """Scaled dot-product attention with additive bias, through torch's own fused kernels.

    query (B, H, T, D); key, value (B, H, S, D); bias (H, T, S), added to the scaled scores;
    key_padding_mask (B, S) bool, True at padding; visible (B, T, S) bool: the keys that each query
    may see; causal: query i sees keys 0..i (T equals S), not together with a mask; dropout:
    probability of dropping an attention weight. Returns (B, H, T, D).

    A query all of whose keys are padding gets finite values (its row is padding itself).
    """
    mask = None
    if bias is not None:
        mask = bias.unsqueeze(0).to(query.dtype)
    if key_padding_mask is not None:
        mask = hide(mask, key_padding_mask[:, None, None, :])
    if visible is not None:
        mask = hide(mask, ~visible.unsqueeze(1))
    return F.scaled_dot_product_attention(
        query, key, value, attn_mask=mask, dropout_p=dropout, is_causal=causal
    )


def hide(mask, hidden):
    """The mask of torch's attention (None, added numbers, or bool: True is seen) without the
    keys at which ``hidden`` (broadcast to (B, H, T, S), bool) is True."""
    if mask is None:
        return ~hidden
    if mask.dtype == torch.bool:
        return mask & ~hidden
    return mask.masked_fill(hidden, torch.finfo(mask.dtype).min)
