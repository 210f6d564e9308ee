"""Options of prompt distillation, and which of them go together."""

import math
from dataclasses import dataclass, field

from fairseq.dataclass import ChoiceEnum, FairseqDataclass

from fairseq_metro.common.errors import UserError

DISTILLATIONS = CE, RULE, MLM = "ce", "rule", "mlm"
POSITIONS = ALL, MASKED = "all", "masked"
OF_MLM = {
    "ce_weight": 5.0, "mlm_weight": 2.0, "cosine_weight": 1.0, "mlm_temperature": 2.0,
    "ce_positions": ALL,
}  # fmt: skip


@dataclass
class PromptDistillationCriterionConfig(FairseqDataclass):
    distillation: ChoiceEnum(DISTILLATIONS) = field(
        default=CE,
        metadata={
            "help": "ce: cross entropy against the teacher's distribution over the whole "
            "vocabulary (SMASH, equation 2); rule: no teacher, cross entropy among the group's "
            "label words against the rule labels (section 4.3, setting 6); mlm: DistilBERT's over "
            "text instead of prompts (setting 5; Sanh et al. 2019), a weighted sum of cross entropy "
            "against the teacher, masked LM, and the cosine of last states"
        },
    )
    temperature: float = field(
        default=1.0,
        metadata={
            "help": "teacher's and student's logits are divided by it, and the cross entropy "
            "multiplied by its square (SMASH: 1)"
        },
    )
    hidden_weight: float = field(
        default=0.0,
        metadata={
            "help": "weight of the hidden-state loss (equation 3), with layers paired uniformly; "
            "needs a teacher of the student's width (SMASH, section 4.3: 0.01)"
        },
    )
    attention_weight: float = field(
        default=0.0,
        metadata={
            "help": "weight of the attention loss (equation 4), of scores before the softmax; "
            "needs a teacher with as many heads (SMASH, section 4.3: 0.01)"
        },
    )
    ce_weight: float = field(
        default=OF_MLM["ce_weight"],
        metadata={"help": "with mlm: weight of the cross entropy against the teacher (SMASH: 5)"},
    )
    mlm_weight: float = field(
        default=OF_MLM["mlm_weight"], metadata={"help": "with mlm: weight of masked LM (SMASH: 2)"}
    )
    cosine_weight: float = field(
        default=OF_MLM["cosine_weight"],
        metadata={
            "help": "with mlm: weight of 1 - cosine of last states; needs a teacher of the "
            "student's width (SMASH: 1)"
        },
    )
    mlm_temperature: float = field(
        default=OF_MLM["mlm_temperature"],
        metadata={
            "help": "with mlm: the temperature, in the place of --temperature (DistilBERT: 2)"
        },
    )
    ce_positions: ChoiceEnum(POSITIONS) = field(
        default=OF_MLM["ce_positions"],
        metadata={
            "help": "with mlm: where the teacher is asked: at all tokens (DistilBERT), or the "
            "masked ones, for a fraction of the heads' work"
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
