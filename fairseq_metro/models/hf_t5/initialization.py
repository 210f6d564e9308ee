"""Initial weights of T5, for a model that is not imported."""

from torch import nn

from fairseq_metro.models.hf_t5.layers import CrossAttention, FeedForward, SelfAttention
from fairseq_metro.models.hf_t5.relative_position import RelativePositions


def initialize(model, cfg):
    """Mesh TensorFlow's: N(0, 1 / inputs) for linear maps, queries also over d_kv, tokens N(0, 1).

    Queries take the place of attention's scale. An output matrix of its own has N(0, 1 / d_model):
    the states before it are of size 1. RMSNorm's weights are 1.
    """
    inner = cfg.attention_heads * cfg.head_dim
    small, query = cfg.embed_dim**-0.5, (cfg.embed_dim * cfg.head_dim) ** -0.5
    nn.init.normal_(model.encoder.embed_tokens.weight)
    if model.decoder.output_projection is not None:
        nn.init.normal_(model.decoder.output_projection.weight, std=small)
    for module in model.modules():
        if isinstance(module, (SelfAttention, CrossAttention)):
            nn.init.normal_(module.out_proj.weight, std=inner**-0.5)
        if isinstance(module, SelfAttention):
            nn.init.normal_(module.qkv_proj.weight, std=small)
            nn.init.normal_(module.qkv_proj.weight[:inner], std=query)
        elif isinstance(module, CrossAttention):
            nn.init.normal_(module.q_proj.weight, std=query)
            nn.init.normal_(module.kv_proj.weight, std=small)
        elif isinstance(module, FeedForward):
            nn.init.normal_(module.fc1.weight, std=small)
            nn.init.normal_(module.fc2.weight, std=cfg.ffn_dim**-0.5)
        elif isinstance(module, RelativePositions):
            nn.init.normal_(module.weight, std=small)
