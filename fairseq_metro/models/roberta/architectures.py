"""Named sizes: RoBERTa's, DistilRoBERTa's, and two for CPUs."""

from fairseq_metro.models.roberta.config import RobertaMLMConfig
from fairseq_metro.models.sizes import refuse_unknown_fields


def _sizes(embed_dim, attention_heads, encoder_layers, **others):
    return dict(
        embed_dim=embed_dim,
        ffn_dim=4 * embed_dim,
        attention_heads=attention_heads,
        encoder_layers=encoder_layers,
        **others,
    )


ARCHITECTURES = {
    "tiny": _sizes(64, 2, 2),
    "small": _sizes(256, 4, 4),
    "distil": _sizes(768, 12, 6),
    "base": _sizes(768, 12, 12),
    "large": _sizes(1024, 16, 24),
}


def sizes_of(name, recipe="paper"):
    """The entries of a size, the same under every recipe; TypeError for one that no config has."""
    refuse_unknown_fields(name, ARCHITECTURES[name], RobertaMLMConfig)
    return ARCHITECTURES[name]
