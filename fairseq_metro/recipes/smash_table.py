"""The table of prompt distillation, ``smash.yaml``, as values."""

from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.resources import files

import yaml

from fairseq_metro.common.errors import UserError

GROUPS = ("sentence_pair", "single_sentence")
SETTINGS = ("ce", "hidden", "attention", "mlm", "rule", "temperature")
# MODEL -> the model's name, the kind of its prompts, its sizes; the first is the paper's student.
MODELS = {
    "roberta": ("roberta_mlm", "roberta", ("distil", "base", "large", "tiny", "small")),
    "hf": ("hf_t5", "t5", ("small", "base", "large", "v1_1_small", "v1_1_base", "tiny")),
    "t5": ("t5_transformer", "t5", ("base", "basepp", "largepp", "tiny", "small")),
}
OF_ROBERTA = ("hidden", "attention", "mlm")


@dataclass(frozen=True, kw_only=True)
class Distillation:
    """One row of the table; ``smash.yaml`` says what each number is."""

    group: str
    setting: str
    model: str
    size: str
    lr: float
    prompts: int
    micro_batch: int
    updates: int
    warmup: int
    clip: float
    dropout: float
    adam_betas: str
    adam_eps: float
    weight_decay: float
    workers: int
    save_every: int
    log_every: int
    distillation: str = "ce"
    temperature: float = 1.0
    hidden_weight: float = 0.0
    attention_weight: float = 0.0
    length: int | None = None

    @property
    def reads_text(self):
        """Whether the data is raw text, of ``fairseq-metro binarize``, instead of prompts."""
        return self.length is not None

    @property
    def architecture(self):
        return f"{MODELS[self.model][0]}_{self.size}"

    @property
    def kind(self):
        """Whose prompts the data must be: "roberta" or "t5"."""
        return MODELS[self.model][1]

    @property
    def taught(self):
        """Whether there is a teacher."""
        return self.distillation != "rule"

    @property
    def online(self):
        """Whether the teacher must run in the loop, for its states."""
        return self.setting in OF_ROBERTA

    @property
    def sequences(self):
        """The sequences that ``recipes.batches`` distributes."""
        return self.prompts


@cache
def _table():
    text = files("fairseq_metro.recipes").joinpath("smash.yaml").read_text("utf-8")
    return yaml.safe_load(text)


def distillation(group, setting="ce", model="roberta", size=None):
    """The row of a group, a setting of section 4.3, a model and its size (default: the paper's).

    Raises :class:`UserError` for a name that is none, and for a setting that the model or the group
    cannot have; TypeError for an entry that is no field.

    >>> row = distillation("sentence_pair")
    >>> row.architecture, row.lr, row.prompts * row.updates
    ('roberta_mlm_distil', 0.0001, 25600000)
    """
    _known("MODEL", model, tuple(MODELS))
    size = size or MODELS[model][2][0]
    for name, value, allowed in (
        ("group", group, GROUPS),
        ("SETTING", setting, SETTINGS),
        ("ARCH", size, MODELS[model][2]),
    ):
        _known(name, value, allowed)
    if setting in OF_ROBERTA and model != "roberta":
        raise UserError(f"SETTING is {setting!r}, a RoBERTa's; MODEL={model} has it not")
    if setting == "rule" and group != "sentence_pair":
        raise UserError("SETTING is 'rule', but single sentences have no rule labels; take pairs")
    table = _table()
    # What of a setting is the method's goes for every size; its rate is the paper's sizes' alone.
    row = {**table["every"], **table["settings"][setting]}
    if model != "hf" or size == "tiny":
        row |= table["sizes"].get(size, {})
    return Distillation(group=group, setting=setting, model=model, size=size, **row)


def _known(name, value, allowed):
    if value not in allowed:
        near = get_close_matches(str(value), allowed, n=1)
        suggestion = f"; perhaps {near[0]}" if near else ""
        raise UserError(f"{name} is {value!r}, must be {', '.join(allowed)}{suggestion}")
