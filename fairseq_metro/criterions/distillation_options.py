"""Options of prompt distillation, and which of them go together."""

import math
from dataclasses import dataclass, field

from fairseq.dataclass import ChoiceEnum, FairseqDataclass

from fairseq_metro.common.errors import UserError

DISTILLATIONS = CE, RULE, MLM = "ce", "rule", "mlm"
POSITIONS = ALL, MASKED = "all", "masked"
OF_MLM: dict = {
    "ce_weight": 5.0, "mlm_weight": 2.0, "cosine_weight": 1.0, "mlm_temperature": 2.0,
    "ce_positions": ALL,
}  # fmt: skip


@dataclass
class PromptDistillationCriterionConfig(FairseqDataclass):
    distillation: ChoiceEnum(DISTILLATIONS) = field(
        default=CE,
        metadata={
            "help": "Distillation loss. ce: cross entropy against the teacher's distribution over "
            "the whole vocabulary (SMASH, equation 2). rule: no teacher; cross entropy "
            "over the group's label words against the rule labels (section 4.3, setting "
            "6). mlm: DistilBERT's loss over text instead of prompts (setting 5; Sanh et "
            "al. 2019), a weighted sum of cross entropy against the teacher, masked LM "
            "and the cosine of the last hidden states."
        },
    )
    temperature: float = field(
        default=1.0,
        metadata={
            "help": "Temperature that divides the logits of teacher and student; the cross "
            "entropy is multiplied by its square (SMASH: 1)."
        },
    )
    hidden_weight: float = field(
        default=0.0,
        metadata={
            "help": "Weight of the hidden-state loss (equation 3), with layers paired uniformly. "
            "The teacher must have the student's width (SMASH, section 4.3: 0.01)."
        },
    )
    attention_weight: float = field(
        default=0.0,
        metadata={
            "help": "Weight of the attention loss (equation 4) on scores before the softmax. The "
            "teacher must have as many heads as the student (SMASH, section 4.3: 0.01)."
        },
    )
    ce_weight: float = field(
        default=OF_MLM["ce_weight"],
        metadata={"help": "With mlm: weight of the cross entropy against the teacher (SMASH: 5)."},
    )
    mlm_weight: float = field(
        default=OF_MLM["mlm_weight"],
        metadata={"help": "With mlm: weight of the masked LM loss (SMASH: 2)."},
    )
    cosine_weight: float = field(
        default=OF_MLM["cosine_weight"],
        metadata={
            "help": "With mlm: weight of 1 - cosine of the last hidden states. The teacher must "
            "have the student's width (SMASH: 1)."
        },
    )
    mlm_temperature: float = field(
        default=OF_MLM["mlm_temperature"],
        metadata={"help": "With mlm: temperature, used instead of --temperature (DistilBERT: 2)."},
    )
    ce_positions: ChoiceEnum(POSITIONS) = field(
        default=OF_MLM["ce_positions"],
        metadata={
            "help": "With mlm: positions of the cross entropy against the teacher: all tokens "
            "(DistilBERT), or only the masked tokens, which reduces the cost of the "
            "output heads."
        },
    )


def checked_temperature(kind, options, reads_text):
    """The temperature of a distillation; kind: one of DISTILLATIONS.

    options: {name: value} of the criterion's others; reads_text: whether the data are text. Raises
    :class:`UserError` for numbers and combinations that cannot be.
    """
    for name, value in options.items():
        above = name.endswith("temperature")
        if name != "ce_positions" and not (
            math.isfinite(value) and (value > 0 or (value == 0 and not above))
        ):
            word = "above 0" if above else "0 or more"
            raise UserError(f"--{name.replace('_', '-')} is {value}, must be {word}")
    if (kind == MLM) != reads_text:
        has, wanted = ("text", "mlm") if reads_text else ("prompts", "ce or rule")
        raise UserError(
            f"--distillation {kind}: the data folder holds {has}; give --distillation {wanted}, or "
            "for mlm a folder of text (fairseq-metro binarize, fairseq-preprocess), else of prompts "
            "(fairseq-metro intermediate, or fairseq-preprocess of lines with one mask symbol each)"
        )
    layers = options["hidden_weight"] or options["attention_weight"]
    if kind == RULE and (layers or options["temperature"] != 1):
        raise UserError(
            "--distillation rule has no teacher, so no --hidden-weight, --attention-weight or "
            "--temperature; leave them out"
        )
    if kind == MLM:
        return _of_mlm(options, layers)
    for name, default in OF_MLM.items():
        if options[name] != default:
            raise UserError(f"--{name.replace('_', '-')} is for --distillation mlm; leave it out")
    return options["temperature"]


def _of_mlm(options, layers):
    if layers or options["temperature"] != 1:
        raise UserError(
            "--hidden-weight, --attention-weight and --temperature are not for --distillation mlm; "
            "leave them out, or give --mlm-temperature"
        )
    if not any(options[f"{name}_weight"] for name in ("ce", "mlm", "cosine")):
        raise UserError("--ce-weight, --mlm-weight and --cosine-weight are all 0; give one")
    return options["mlm_temperature"]
