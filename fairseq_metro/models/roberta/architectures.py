"""Named sizes: RoBERTa's, DistilRoBERTa's, and two for CPUs."""

import dataclasses

from fairseq.models import ARCH_CONFIG_REGISTRY, register_model_architecture

from fairseq_metro.models.roberta.config import RobertaMLMConfig
from fairseq_metro.workarounds import undo_tpu_of_bf16


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


def register_architectures():
    """Register ``roberta_mlm_<size>`` for every size; the command line wins over the size."""
    known = {field.name for field in dataclasses.fields(RobertaMLMConfig)}
    for name, sizes in ARCHITECTURES.items():
        if unknown := set(sizes) - known:
            raise TypeError(f"architecture {name}: unknown fields {sorted(unknown)}")

        def fill_in(args, sizes=sizes):
            undo_tpu_of_bf16(args)
            for key, value in sizes.items():
                setattr(args, key, getattr(args, key, value))

        register_model_architecture("roberta_mlm", f"roberta_mlm_{name}")(fill_in)
    ARCH_CONFIG_REGISTRY["roberta_mlm"] = undo_tpu_of_bf16  # fairseq's own does nothing
