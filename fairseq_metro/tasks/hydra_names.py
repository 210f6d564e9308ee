"""What fairseq-hydra-train makes of an architecture's name, and why it is refused."""

import dataclasses

from fairseq.models import ARCH_MODEL_NAME_REGISTRY, MODEL_DATACLASS_REGISTRY

from fairseq_metro.errors import UserError


def refuse_architecture_name(name, cfg):
    """Raise :class:`UserError` where a model's config has lost its defaults.

    A YAML file with ``model._name: metro_t5_base`` makes fairseq take the config as it stands:
    neither the model's defaults nor what the task knows is merged in. fairseq-train fills in every
    field while it parses, so there none is missing.

    name: of the model or architecture. cfg: the model's config, a DictConfig or a Namespace.
    """
    model = ARCH_MODEL_NAME_REGISTRY.get(name, name)
    kind = MODEL_DATACLASS_REGISTRY.get(model)
    if name == model or kind is None:
        return
    fields = [f.name for f in dataclasses.fields(kind) if not f.name.startswith("_")]
    if all(_has(cfg, field) for field in fields):
        return
    objective = {"t5_transformer": "t5"}.get(model, model)
    raise UserError(
        f"model._name is {name}, an architecture, whose defaults fairseq-hydra-train loses; give "
        f"model._name: {model} and the sizes, as train_scripts/configs/"
        f"{objective}_{name.rpartition('_')[2]}.yaml does"
    )


def _has(cfg, field):
    try:
        getattr(cfg, field)
    except AttributeError:
        return False
    return True
