"""Named sizes of a model as fairseq architectures."""

import dataclasses

from fairseq.models import ARCH_CONFIG_REGISTRY, register_model_architecture

from fairseq_metro.workarounds import adjust


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
