"""Prompt distillation (SMASH, section 3.2): the student learns what a teacher says at the mask."""

import math
from dataclasses import dataclass, field

import torch
from fairseq.criterions import FairseqCriterion, register_criterion
from fairseq.dataclass import ChoiceEnum, FairseqDataclass

from fairseq_metro.criterions.distillation_losses import (
    attention_loss,
    hidden_loss,
    label_cross_entropy,
    logits_of,
)
from fairseq_metro.criterions.totals import log_mean, totals
from fairseq_metro.errors import UserError

DISTILLATIONS = CE, RULE = "ce", "rule"


@dataclass
class PromptDistillationCriterionConfig(FairseqDataclass):
    distillation: ChoiceEnum(DISTILLATIONS) = field(
        default=CE,
        metadata={
            "help": "ce: cross entropy against the teacher's distribution over the whole "
            "vocabulary (SMASH, equation 2); rule: no teacher, cross entropy among the group's "
            "label words against the rule labels (section 4.3, setting 6)"
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


@register_criterion("prompt_distillation", dataclass=PromptDistillationCriterionConfig)
class PromptDistillationCriterion(FairseqCriterion):
    """Sums over prompts, in nats; the sample size is their number, one mask each."""

    def __init__(self, task, distillation, temperature, hidden_weight, attention_weight):
        super().__init__(task)
        self.rule = str(distillation) == RULE
        for name, value, least in (
            ("hidden-weight", hidden_weight, True),
            ("attention-weight", attention_weight, True),
            ("temperature", temperature, temperature > 0),
        ):
            if not (math.isfinite(value) and value >= 0 and least):
                word = "above 0" if name == "temperature" else "0 or more"
                raise UserError(f"--{name} is {value}, must be {word}")
        self.hidden_weight, self.attention_weight = hidden_weight, attention_weight
        self.temperature = temperature
        if self.rule:
            if hidden_weight or attention_weight or temperature != 1:
                raise UserError(
                    "--distillation rule has no teacher, so no --hidden-weight, --attention-weight "
                    "or --temperature; leave them out"
                )
            self.words = task.rule_words()
        else:
            self.signal = task.teacher_signal(temperature, hidden_weight > 0, attention_weight > 0)

    def forward(self, model, sample, reduce=True):
        """Returns (loss (), number of prompts, logging output)."""
        if self.rule:
            loss, logging_output = self._rule_loss(model, sample)
        else:
            loss, logging_output = self._teacher_loss(model, sample)
        logging_output |= {
            "loss": loss.detach(),
            "sample_size": sample["nsentences"],
            "nsentences": sample["nsentences"],
            "ntokens": sample["ntokens"],
            "padded_size": sample["net_input"]["src_tokens"].numel(),
        }
        return loss, sample["nsentences"], logging_output

    def _rule_loss(self, model, sample):
        logits = logits_of(model(**sample["net_input"]))
        words = torch.tensor(self.words, device=logits.device)
        loss = label_cross_entropy(logits, words, sample["label"]).sum()
        correct = logits.detach().index_select(1, words).argmax(-1).eq(sample["label"])
        return loss, {"rule_correct": correct.sum().double()}

    def _teacher_loss(self, model, sample):
        net_input, extra, states = sample["net_input"], {}, None
        if self.hidden_weight or self.attention_weight:
            asked = {"hidden": self.hidden_weight > 0, "attention": self.attention_weight > 0}
            logits, states = model(**net_input, **asked)
        else:
            logits = logits_of(model(**net_input))
        signal = self.signal(sample, next(model.parameters()))
        ce = signal.cross_entropy(logits, self.temperature).sum()
        loss = self.temperature**2 * ce
        if states is not None:
            real = net_input["src_tokens"].ne(self.padding_idx)
            for name, weight, compare in (
                ("hidden", self.hidden_weight, hidden_loss),
                ("attention", self.attention_weight, attention_loss),
            ):
                if weight:
                    pair = getattr(states, name), getattr(signal.states, name)
                    extra[name] = compare(*pair, real).sum()
                    loss = loss + weight * extra[name]
        with torch.no_grad():
            agree = logits.argmax(-1).eq(signal.likeliest())
            return loss, {
                "ce": ce.detach().double(),
                "teacher_entropy": signal.entropy().sum().double(),
                "agree": agree.sum().double(),
                **{name: value.detach().double() for name, value in extra.items()},
            }

    @staticmethod
    def reduce_metrics(logging_outputs):
        """Log means over prompts; every sum is exact under accumulation."""
        total = totals(logging_outputs)
        count = total["sample_size"]
        log_mean("loss", total["loss"], count)
        if "ce" in total:
            log_mean("ce", total["ce"], count)
            log_mean("kl", total["ce"] - total["teacher_entropy"], count)
            log_mean("teacher_entropy", total["teacher_entropy"], count)
            log_mean("agreement", total["agree"], count)
        for name in ("hidden", "attention"):
            if name in total:
                log_mean(f"{name}_loss", total[name], count)
        if "rule_correct" in total:
            log_mean("rule_accuracy", total["rule_correct"], count)
        log_mean("padding_share", total["padded_size"] - total["ntokens"], total["padded_size"])

    @staticmethod
    def logging_outputs_can_be_summed():
        return True
