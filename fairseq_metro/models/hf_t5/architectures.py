"""Named sizes of T5: v1.0's, and v1.1's of the same names; tiny is for CPUs and tests."""

from fairseq_metro.models.hf_t5.config import HfT5Config
from fairseq_metro.models.sizes import refuse_unknown_fields


def _sizes(embed_dim, ffn_dim, attention_heads, layers, **others):
    return dict(
        embed_dim=embed_dim,
        ffn_dim=ffn_dim,
        attention_heads=attention_heads,
        encoder_layers=layers,
        decoder_layers=layers,
        **others,
    )


_V1_1 = dict(activation="gated-gelu", untied_output=True)

ARCHITECTURES = {
    "tiny": _sizes(64, 256, 2, 2, head_dim=32, max_positions=512),
    "small": _sizes(512, 2048, 8, 6),
    "base": _sizes(768, 3072, 12, 12),
    "large": _sizes(1024, 4096, 16, 24),
    "v1_1_small": _sizes(512, 1024, 6, 8, **_V1_1),
    "v1_1_base": _sizes(768, 2048, 12, 12, **_V1_1),
    "v1_1_large": _sizes(1024, 2816, 16, 24, **_V1_1),
}


def sizes_of(name, recipe="paper"):
    """The entries of a size, the same under every recipe; TypeError for one that no config has."""
    refuse_unknown_fields(name, ARCHITECTURES[name], HfT5Config)
    return ARCHITECTURES[name]
