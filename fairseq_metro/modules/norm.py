"""Residual connection, dropout and LayerNorm as one function, so that a kernel can take its place."""

import torch.nn.functional as F


def add_dropout_norm(residual, update, norm, *, dropout=0.0, training=False):
    """Post-LayerNorm: LN(residual + dropout(update)) (METRO-T0, section 4.2).

    residual, update (..., C); norm: nn.LayerNorm over C; returns (..., C).
    """
    return norm(residual + F.dropout(update, dropout, training))
