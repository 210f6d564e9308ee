"""Initial weights: ours, and the released code's."""

import torch
from torch import nn

from fairseq_metro.modules.heads import RTDHead
from fairseq_metro.modules.relative_position import RelativePositionBias
from fairseq_metro.modules.transformer import CrossAttention, SelfAttention


def initialize(model):
    """Linear maps N(0, 1 / (2 outputs)), biases 0; embeddings N(0, 0.02), the pad row 0.

    The paper names no initialisation. The linear rule is the released code's (a packed projection
    counts the outputs of one of its parts); one scale for tokens and positions is BERT's.
    LayerNorm and relative-position tables keep 1, 0 and 0, the RTD head's last layer its 0.
    """
    for module in model.modules():
        if isinstance(module, nn.Linear):
            _normal_by_outputs(module, module.out_features)
        elif isinstance(module, nn.Embedding):
            _normal_embedding(module, 0.02)
    _finish(model)


def initialize_as_released(model):
    """The released code's: main model by its "T5 init", auxiliary model as BERT, N(0, 0.02).

    The T5 init draws positions from U(+-sqrt(3 / (2 C))) and, since it meets the shared table last
    as the output layer, tokens from N(0, 1 / (2 V)), the pad row included. Heads keep torch's
    defaults.
    """
    for part in (model.encoder, model.decoder):
        for module in part.modules():
            if isinstance(module, nn.Linear):
                _normal_by_outputs(module, module.out_features)
            elif isinstance(module, nn.Embedding):
                bound = (3 / (2 * module.embedding_dim)) ** 0.5
                nn.init.uniform_(module.weight, -bound, bound)
    auxiliary = getattr(model, "auxiliary", None)
    if auxiliary is not None:
        shared = {id(module) for module in model.encoder.modules()}
        for module in auxiliary.modules():
            if id(module) in shared:
                continue
            if isinstance(module, (nn.Linear, nn.Embedding)):
                nn.init.normal_(module.weight, std=0.02)
                if getattr(module, "bias", None) is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, RelativePositionBias):
                nn.init.normal_(module.weight, std=0.02)
    table = model.encoder.embed_tokens
    nn.init.normal_(table.weight, std=(2 * table.num_embeddings) ** -0.5)
    _finish(model, parts=(model.encoder, model.decoder))


def _normal_by_outputs(linear, outputs):
    nn.init.normal_(linear.weight, std=(2 * outputs) ** -0.5)
    if linear.bias is not None:
        nn.init.zeros_(linear.bias)


def _normal_embedding(embedding, std):
    nn.init.normal_(embedding.weight, std=std)
    if embedding.padding_idx is not None:
        with torch.no_grad():
            embedding.weight[embedding.padding_idx].zero_()


def _finish(model, parts=None):
    """Packed projections by the outputs of one part; the RTD head's last layer at zero."""
    for part in parts or (model,):
        for module in part.modules():
            if isinstance(module, SelfAttention):
                _normal_by_outputs(module.qkv_proj, module.qkv_proj.in_features)
            elif isinstance(module, CrossAttention):
                _normal_by_outputs(module.kv_proj, module.kv_proj.in_features)
    for module in model.modules():
        if isinstance(module, RTDHead):
            nn.init.zeros_(module.out.weight)
            nn.init.zeros_(module.out.bias)


INITIALIZATIONS = {"paper": initialize, "release": initialize_as_released}
