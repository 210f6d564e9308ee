"""The table of pretraining, ``pretraining.yaml``, as values."""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import yaml

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.recipes import RECIPES

# Objective -> the model its architectures are sizes of.
MODELS = {"metro_t5": "metro_t5", "t5": "t5_transformer"}
SIZES = ("tiny", "small", "base", "basepp", "largepp")


@dataclass(frozen=True, kw_only=True)
class Pretraining:
    """One row of the table; ``pretraining.yaml`` says what each number is."""

    objective: str
    size: str
    recipe: str
    length: int
    update: int
    micro_batch: int
    lr: float
    updates: int
    warmup: int
    clip: float
    adam_betas: str
    adam_eps: float
    weight_decay: float
    workers: int
    save_every: int
    log_every: int

    @property
    def model(self):
        return MODELS[self.objective]

    @property
    def architecture(self):
        return f"{self.model}_{self.size}"


@cache
def _table():
    text = files("fairseq_metro.recipes").joinpath("pretraining.yaml").read_text("utf-8")
    return yaml.safe_load(text)


def pretraining(objective, size, recipe="paper"):
    """The row of an objective, a size and a recipe.

    Raises :class:`UserError` for a name that is none; TypeError for an entry that is no field.
    """
    for name, value, allowed in (
        ("objective", objective, tuple(MODELS)),
        ("ARCH", size, SIZES),
        ("recipe", recipe, RECIPES),
    ):
        if value not in allowed:
            known = f"{', '.join(allowed[:-1])} or {allowed[-1]}"
            raise UserError(f"{name} is {value!r}, must be {known}")
    table = _table()
    row = {**table["paper"]["every"], **table["paper"][size]}
    if recipe == "release":
        row |= table["release"][objective].get(size, {})
    return Pretraining(objective=objective, size=size, recipe=recipe, **row)
