"""Named sizes of T5: v1.0's, and v1.1's of the same names; tiny is for CPUs and tests."""

import dataclasses

from fairseq.models import ARCH_CONFIG_REGISTRY, register_model_architecture

from fairseq_metro.models.hf_t5.config import HfT5Config
from fairseq_metro.workarounds import undo_tpu_of_bf16


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


def register_architectures():
    """Register ``hf_t5_<size>`` for every size; the command line wins over the size."""
    known = {field.name for field in dataclasses.fields(HfT5Config)}
    for name, sizes in ARCHITECTURES.items():
        if unknown := set(sizes) - known:
            raise TypeError(f"architecture {name}: unknown fields {sorted(unknown)}")

        def fill_in(args, sizes=sizes):
            undo_tpu_of_bf16(args)
            for key, value in sizes.items():
                setattr(args, key, getattr(args, key, value))

        register_model_architecture("hf_t5", f"hf_t5_{name}")(fill_in)
    ARCH_CONFIG_REGISTRY["hf_t5"] = undo_tpu_of_bf16  # fairseq's own does nothing: no named size
