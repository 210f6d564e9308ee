"""torch's own modules with our weights, to compare with."""

import torch
from torch import nn

from fairseq_metro.modules.transformer import SelfAttention


def copy_into_torch(ours, dim):
    """torch's MultiheadAttention with the same weights."""
    theirs = nn.MultiheadAttention(dim, ours.heads, batch_first=True).eval()
    with torch.no_grad():
        if isinstance(ours, SelfAttention):
            theirs.in_proj_weight.copy_(ours.qkv_proj.weight)
            theirs.in_proj_bias.copy_(ours.qkv_proj.bias)
        else:
            theirs.in_proj_weight.copy_(torch.cat([ours.q_proj.weight, ours.kv_proj.weight]))
            theirs.in_proj_bias.copy_(torch.cat([ours.q_proj.bias, ours.kv_proj.bias]))
        theirs.out_proj.weight.copy_(ours.out_proj.weight)
        theirs.out_proj.bias.copy_(ours.out_proj.bias)
    return theirs


def randomize(module):
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.3)
    return module.eval()
