"""Sizes of a model: which there can be, and the named ones as fairseq architectures."""

import dataclasses
import math

from fairseq.models import ARCH_CONFIG_REGISTRY, register_model_architecture

from fairseq_metro.common.errors import UserError
from fairseq_metro.trainer.workarounds import adjust

# Least and greatest value of each option; the greatest keep a mistyped or damaged size from filling
# the memory, and are far above any model of this kind.
WHOLE_NUMBERS = {
    "embed_dim": (1, 1 << 17),
    "ffn_dim": (1, 1 << 20),
    "head_dim": (1, 1 << 14),
    "attention_heads": (1, 1 << 12),
    "encoder_layers": (1, 1000),
    "decoder_layers": (1, 1000),
    "auxiliary_layers": (1, 1000),
    "auxiliary_embed_dim": (0, 1 << 17),
    "relative_position_buckets": (1, 1 << 16),
    "relative_position_max_distance": (1, 1 << 22),
    "max_positions": (1, 1 << 22),
}
DROPOUTS = ("dropout", "attention_dropout", "auxiliary_dropout")
ABOVE_ZERO = ("auxiliary_temperature", "layer_norm_epsilon")


def check_sizes(cfg):
    """Raise :class:`UserError` for a size, dropout or temperature that no model of ours can have.

    cfg: a model's configuration; fields that it lacks are left out.
    """
    for name, (least, most) in WHOLE_NUMBERS.items():
        value = getattr(cfg, name, least)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise UserError(
                f"--{name.replace('_', '-')} is {value!a}, must be a whole number from {least} to "
                f"{most:,}"
            )
    for name in DROPOUTS:
        value = getattr(cfg, name, None)
        if value is not None and not 0 <= value < 1:
            raise UserError(
                f"--{name.replace('_', '-')} is {value}, must be at least 0 and below 1"
            )
    for name in ABOVE_ZERO:
        value = getattr(cfg, name, 1.0)
        if not (value > 0 and math.isfinite(value)):
            raise UserError(f"--{name.replace('_', '-')} is {value}, must be above 0 and finite")


def refuse_unknown_fields(name, sizes, config_class):
    """Raise TypeError for an entry of an architecture that is no field of ``config_class``."""
    unknown = set(sizes) - {field.name for field in dataclasses.fields(config_class)}
    if unknown:
        raise TypeError(f"architecture {name}: unknown fields {sorted(unknown)}")


def register_sizes(model, names, sizes_of):
    """Register ``<model>_<size>`` for every size; what stands on the command line wins over it.

    sizes_of(name, recipe): dict of config fields; called for each name here, so that a wrong table
    shows at import, and again with the run's ``--recipe`` (``paper`` where there is none).
    """
    for name in names:
        sizes_of(name, "paper")

        def fill_in(args, name=name):
            adjust(args)
            recipe = getattr(args, "recipe", None) or "paper"
            for key, value in sizes_of(name, recipe).items():
                setattr(args, key, getattr(args, key, value))

        register_model_architecture(model, f"{model}_{name}")(fill_in)
    ARCH_CONFIG_REGISTRY[model] = adjust  # fairseq's own does nothing: no named size
