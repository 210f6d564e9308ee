"""Named sizes. base, base++ and large++ are METRO-T0's Table 5; tiny and small are for CPUs."""

import dataclasses

from fairseq_metro.common.recipes import choices
from fairseq_metro.models.metro_t5.config import MetroT5Config
from fairseq_metro.models.sizes import refuse_unknown_fields

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

    The recipe wins over the size.

    Raises TypeError for an entry of the architecture that no model of the family knows.
    """
    sizes = ARCHITECTURES[name]
    refuse_unknown_fields(name, sizes, MetroT5Config)
    known = {f.name for f in dataclasses.fields(config_class)}
    filled = {**sizes, **choices(recipe, name)}
    return {key: value for key, value in filled.items() if key in known}
