"""Named sizes. base, base++ and large++ are METRO-T0's Table 5; tiny and small are for CPUs."""

import dataclasses

from fairseq.models import ARCH_CONFIG_REGISTRY, register_model_architecture

from fairseq_metro.models.metro_t5.config import MetroT5Config
from fairseq_metro.recipes import choices
from fairseq_metro.workarounds import undo_tpu_of_bf16

_BASE = dict(
    embed_dim=768,
    ffn_dim=3072,
    attention_heads=12,
    encoder_layers=12,
    decoder_layers=12,
    auxiliary_layers=4,
    relative_position_buckets=32,
)

ARCHITECTURES = {
    "tiny": dict(
        embed_dim=64,
        ffn_dim=256,
        attention_heads=2,
        encoder_layers=2,
        decoder_layers=2,
        auxiliary_layers=1,
        max_positions=512,
    ),
    "small": dict(
        embed_dim=128,
        ffn_dim=512,
        attention_heads=2,
        encoder_layers=3,
        decoder_layers=3,
        auxiliary_layers=1,
        max_positions=512,
    ),
    "base": _BASE,
    "basepp": _BASE,  # base's sizes; the 64k vocabulary comes with the data
    "largepp": dict(
        embed_dim=1024,
        ffn_dim=4096,
        attention_heads=16,
        encoder_layers=24,
        decoder_layers=24,
        auxiliary_layers=6,
        relative_position_buckets=64,
    ),
}


def sizes_of(name, config_class, recipe="paper"):
    """The entries of an architecture under a recipe that ``config_class`` has.

    Raises TypeError for an entry of the architecture that no model of the family knows.
    """
    sizes = ARCHITECTURES[name]
    unknown = set(sizes) - {f.name for f in dataclasses.fields(MetroT5Config)}
    if unknown:
        raise TypeError(f"architecture {name}: unknown fields {sorted(unknown)}")
    known = {f.name for f in dataclasses.fields(config_class)}
    filled = {**sizes, **choices(recipe, name)}
    return {key: value for key, value in filled.items() if key in known}


def register_architectures(model, config_class):
    """Register ``<model>_<size>`` for every size.

    What stands on the command line wins over the recipe, the recipe over the size.
    """
    for name in ARCHITECTURES:
        sizes_of(name, config_class)  # a wrong table shows at import

        def fill_in(args, name=name):
            undo_tpu_of_bf16(args)
            recipe = getattr(args, "recipe", None) or "paper"
            for key, value in sizes_of(name, config_class, recipe).items():
                setattr(args, key, getattr(args, key, value))

        register_model_architecture(model, f"{model}_{name}")(fill_in)
    ARCH_CONFIG_REGISTRY[model] = undo_tpu_of_bf16  # fairseq's own does nothing: no named size
