"""Residual connection, dropout and LayerNorm as one function, which a fused kernel may run."""

import torch.nn.functional as F
from torch import nn

from fairseq_metro.kernels.choice import asked
from fairseq_metro.kernels.residual_norm import residual_norm_fused, runs_fused
from fairseq_metro.modules.dropout import dropout as drop


def add_dropout_norm(residual, update, norm, *, update_bias=None, dropout=0.0, training=False):
    """Post-LayerNorm: LN(residual + dropout(update + update_bias)) (METRO-T0, section 4.2).

    residual, update (..., C); norm: nn.LayerNorm over C; update_bias (C,); returns (..., C). On a
    GPU one kernel does it, or apex's LayerNorm after torch's additions where that is asked for, see
    :mod:`fairseq_metro.kernels.choice`.
    """
    if isinstance(norm, nn.LayerNorm) and runs_fused(residual, update):
        return residual_norm_fused(
            residual,
            update,
            norm.weight,
            norm.bias,
            update_bias=update_bias,
            dropout=dropout if training else 0.0,
            eps=norm.eps,
        )
    if update_bias is not None:
        update = update + update_bias
    total = residual + drop(update, dropout, training)
    if type(norm) is nn.LayerNorm and asked("apex", total.device.type):
        from apex.normalization.fused_layer_norm import fused_layer_norm_affine

        return fused_layer_norm_affine(
            total, norm.weight, norm.bias, norm.normalized_shape, norm.eps
        )
    return norm(total)


def adds_bias(x, linear):
    """Whether :func:`add_dropout_norm` shall add the bias of the linear map before it: there its
    gradient costs no reading of its own. x: states as the map gets them.

    Not where somebody watches the map by a hook, or has put another in its place.
    """
    watched = linear._forward_hooks or linear._forward_pre_hooks
    plain = type(linear) is nn.Linear and linear.bias is not None and not watched
    return plain and runs_fused(x, x)


def apply_linear(linear, x, add_bias=True):
    """linear(x), or without its bias, which somebody else adds then."""
    return linear(x) if add_bias else F.linear(x, linear.weight)
