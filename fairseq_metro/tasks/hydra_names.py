"""Architecture names under fairseq-hydra-train, and why they are refused."""

import sys
from pathlib import Path

from fairseq.models import ARCH_MODEL_NAME_REGISTRY
from hydra.core.hydra_config import HydraConfig

from fairseq_metro.common.errors import UserError


def refuse_architecture_name(name):
    """Raise :class:`UserError` for a YAML file with ``model._name: metro_t5_tiny``.

    fairseq-train lets the architecture fill in its sizes while it parses; fairseq-hydra-train does
    not, so the run would silently train the model's default sizes under the architecture's name.

    name: of the model or architecture of the run.
    """
    model = ARCH_MODEL_NAME_REGISTRY.get(name, name)
    if name == model or not under_hydra():
        return
    objective = {"t5_transformer": "t5"}.get(model, model)
    raise UserError(
        f"model._name is {name}, an architecture, whose sizes fairseq-hydra-train loses; give "
        f"model._name: {model} with the sizes, as train_scripts/configs/"
        f"{objective}_{name.rpartition('_')[2]}.yaml does"
    )


def under_hydra():
    """Whether fairseq-hydra-train runs; the ranks it spawns know by its name alone."""
    return HydraConfig.initialized() or "hydra" in Path(sys.argv[0]).name
