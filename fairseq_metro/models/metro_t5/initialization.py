"""Initial weights."""

import torch
from torch import nn

from fairseq_metro.modules.heads import RTDHead
from fairseq_metro.modules.transformer import CrossAttention, SelfAttention


def initialize(module):
    """Initialise one module, children before parents (for ``nn.Module.apply``).

    Linear maps N(0, 1 / (2 * outputs)), biases 0, which is the released code's rule (the paper names
    none); a packed projection counts the outputs of one of its parts. Embeddings N(0, 0.02) as in
    BERT: tokens and positions on one scale. LayerNorm and relative-position tables keep their
    constructors' 1, 0 and 0, the RTD head's last layer its 0.
    """
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=(2 * module.out_features) ** -0.5)
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
        if module.padding_idx is not None:
            with torch.no_grad():
                module.weight[module.padding_idx].zero_()
    elif isinstance(module, (SelfAttention, CrossAttention)):
        packed = module.qkv_proj if isinstance(module, SelfAttention) else module.kv_proj
        nn.init.normal_(packed.weight, std=(2 * packed.in_features) ** -0.5)
    elif isinstance(module, RTDHead):
        nn.init.zeros_(module.out.weight)
