"""Prompt distillation (SMASH, section 3.2): the student learns what a teacher says at the mask."""

import torch
import torch.nn.functional as F
from fairseq.criterions import FairseqCriterion, register_criterion

from fairseq_metro.criterions.distillation_losses import (
    attention_loss,
    cosine_loss,
    hidden_loss,
    label_cross_entropy,
    logits_of,
    mean_by_row,
)
from fairseq_metro.criterions.distillation_options import (
    ALL,
    CE,
    MLM,
    RULE,
    PromptDistillationCriterionConfig,
    checked_temperature,
)
from fairseq_metro.criterions.parts import sum_of_parts
from fairseq_metro.criterions.totals import log_mean, totals


@register_criterion("prompt_distillation", dataclass=PromptDistillationCriterionConfig)
class PromptDistillationCriterion(FairseqCriterion):
    """Sums over prompts, in nats; the sample size is their number, one mask each.

    Of text: sums over blocks of each block's means over its tokens.
    """

    def __init__(
        self, task, distillation, temperature, hidden_weight, attention_weight,
        ce_weight=5.0, mlm_weight=2.0, cosine_weight=1.0, mlm_temperature=2.0, ce_positions=ALL,
    ):  # fmt: skip
        super().__init__(task)
        self.kind = str(distillation)
        self.hidden_weight, self.attention_weight = hidden_weight, attention_weight
        self.of_mlm = {
            "ce_weight": ce_weight, "mlm_weight": mlm_weight, "cosine_weight": cosine_weight,
            "mlm_temperature": mlm_temperature, "ce_positions": str(ce_positions),
        }  # fmt: skip
        options = {
            "temperature": temperature, "hidden_weight": hidden_weight,
            "attention_weight": attention_weight, **self.of_mlm,
        }  # fmt: skip
        reads_text = getattr(task, "reads_text", False)
        self.temperature = checked_temperature(self.kind, options, reads_text)
        if self.kind == RULE:
            self.words = task.rule_words()
        else:
            asked = [hidden_weight > 0, attention_weight > 0]
            if self.kind == MLM:
                asked.append(cosine_weight > 0)
            self.signal = task.teacher_signal(self.temperature, *asked)

    def forward(self, model, sample, reduce=True):
        """Returns (loss (), number of prompts or blocks, logging output)."""
        losses = {CE: self._teacher_loss, RULE: self._rule_loss, MLM: self._text_loss}
        loss, logging_output = losses[self.kind](model, sample)
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
        parts = {"ce": self.temperature**2 * ce}
        if states is not None:
            real = net_input["src_tokens"].ne(self.padding_idx)
            for name, weight, compare in (
                ("hidden", self.hidden_weight, hidden_loss),
                ("attention", self.attention_weight, attention_loss),
            ):
                if weight:
                    pair = getattr(states, name), getattr(signal.states, name)
                    extra[name] = compare(*pair, real).sum()
                    parts[name] = weight * extra[name]
        loss = sum_of_parts(**parts)
        with torch.no_grad():
            agree = logits.argmax(-1).eq(signal.likeliest())
            return loss, {
                "ce": ce.detach().double(),
                "teacher_entropy": signal.entropy().sum().double(),
                "agree": agree.sum().double(),
                **{name: value.detach().double() for name, value in extra.items()},
            }

    def _text_loss(self, model, sample):
        """Teacher and student read the same masked text."""
        net_input, of_mlm = sample["net_input"], self.of_mlm
        tokens, masked = net_input["src_tokens"], net_input["masked_index"]
        rows, width = tokens.shape
        real = tokens.ne(self.padding_idx)
        asked, place = masked, slice(None)
        if of_mlm["ce_positions"] == ALL:
            asked = real.flatten().nonzero().squeeze(1)
            place = real.flatten().cumsum(0)[masked] - 1  # of the masked among those asked
        net_input = {**net_input, "masked_index": asked}
        cosine, states = of_mlm["cosine_weight"], None
        if cosine:
            logits, states = model(**net_input, hidden=True)
        else:
            logits = logits_of(model(**net_input))
        signal = self.signal({"net_input": net_input}, next(model.parameters()))

        def summed(values, index):
            return mean_by_row(values, index // width, rows).sum()

        ce = summed(signal.cross_entropy(logits, self.temperature), asked)
        target, guess = sample["target"], logits[place]
        mlm = summed(F.cross_entropy(guess.float(), target, reduction="none"), masked)
        parts = {
            "ce": of_mlm["ce_weight"] * self.temperature**2 * ce, "mlm": of_mlm["mlm_weight"] * mlm,
        }  # fmt: skip
        found = {"ce": ce, "mlm": mlm}
        if cosine:
            found["cosine"] = cosine_loss(states.last, signal.states.last, real).sum()
            parts["cosine"] = cosine * found["cosine"]
        loss = sum_of_parts(**parts)
        with torch.no_grad():
            found |= {
                "teacher_entropy": summed(signal.entropy(), asked),
                "agree": summed(logits.argmax(-1).eq(signal.likeliest()).float(), asked),
                "mlm_correct": summed(guess.argmax(-1).eq(target).float(), masked),
            }
        return loss, {name: value.detach().double() for name, value in found.items()}

    @staticmethod
    def reduce_metrics(logging_outputs):
        """Log means over prompts or blocks; every sum is exact under accumulation."""
        total = totals(logging_outputs)
        count = total["sample_size"]
        log_mean("loss", total["loss"], count)
        if "ce" in total:
            log_mean("ce", total["ce"], count)
            log_mean("kl", total["ce"] - total["teacher_entropy"], count)
            log_mean("teacher_entropy", total["teacher_entropy"], count)
            log_mean("agreement", total["agree"], count)
        for name in ("hidden", "attention", "mlm", "cosine"):
            if name in total:
                log_mean(f"{name}_loss", total[name], count)
        if "mlm_correct" in total:
            log_mean("mlm_accuracy", total["mlm_correct"], count)
        if "rule_correct" in total:
            log_mean("rule_accuracy", total["rule_correct"], count)
        log_mean("padding_share", total["padded_size"] - total["ntokens"], total["padded_size"])

    @staticmethod
    def logging_outputs_can_be_summed():
        return True
