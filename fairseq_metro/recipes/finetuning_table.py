"""The table of prompt fine-tuning, ``finetuning.yaml``, as values."""

import dataclasses
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.resources import files

import yaml

from fairseq_metro.common.errors import UserError
from fairseq_metro.data.padding import padded_width
from fairseq_metro.recipes.table import SIZES, pretraining

RECIPES = ("t0", "flan", "soft_prompt")
# MODEL -> the model to train. METRO-T5's main model and the T5 baseline are of one kind.
MODELS = {"metro": "t5_transformer", "t5": "t5_transformer", "hf": "hf_t5"}
# Hugging Face's T5 has sizes of its own; those next to METRO-T0's.
HF_SIZES = {"basepp": "base", "largepp": "large"}
INHERITED = "warmup adam_betas adam_eps weight_decay workers save_every log_every".split()


@dataclass(frozen=True, kw_only=True)
class Finetuning:
    """One row of the table; ``finetuning.yaml`` says what each number is."""

    recipe: str
    size: str
    model: str
    source: int
    target: int
    sequences: int
    micro_batch: int
    lr: float
    updates: int
    warmup: int
    clip: float
    dropout: float
    optimizer: str
    scheduler: str
    pack: bool
    adam_betas: str
    adam_eps: float
    weight_decay: float
    workers: int
    save_every: int
    log_every: int
    attention_dropout: float | None = None  # None: as dropout
    soft_prompt: int = 0  # vectors of a soft prompt, 0 for a model that is fine-tuned

    @property
    def architecture(self):
        size = HF_SIZES.get(self.size, self.size) if self.model == "hf_t5" else self.size
        return f"{self.model}_{size}"

    @property
    def width(self):
        """Tokens of the widest sequence, source and target padded."""
        return padded_width(self.source) + padded_width(self.target)


@cache
def _table():
    text = files("fairseq_metro.recipes").joinpath("finetuning.yaml").read_text("utf-8")
    return yaml.safe_load(text)


def finetuning(recipe, size, model="metro"):
    """The row of a recipe (of RECIPES), a size and a model (``metro``, ``t5``, ``hf``).

    Raises :class:`UserError` for a name that is none; TypeError for an entry that is no field.
    """
    for name, value, allowed in (
        ("recipe", recipe, RECIPES),
        ("ARCH", size, SIZES),
        ("MODEL", model, tuple(MODELS)),
    ):
        if value not in allowed:
            near = get_close_matches(value, allowed, n=1)
            suggestion = f"; perhaps {near[0]}" if near else ""
            raise UserError(f"{name} is {value!r}, must be {', '.join(allowed)}{suggestion}")
    before = dataclasses.asdict(pretraining("t5", size))
    row = {name: before[name] for name in INHERITED}
    row |= _table()[recipe]["every"] | _table()[recipe].get(size, {})
    return Finetuning(recipe=recipe, size=size, model=MODELS[model], **row)
