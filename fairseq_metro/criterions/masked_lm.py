"""Masked language modelling: cross entropy at the masked positions (RoBERTa, Liu et al. 2019)."""

import torch
from fairseq.criterions import FairseqCriterion, register_criterion
from fairseq.dataclass import FairseqDataclass

from fairseq_metro.criterions.metro_t5 import summed_cross_entropy
from fairseq_metro.criterions.totals import log_mean, totals


@register_criterion("masked_lm_blocks", dataclass=FairseqDataclass)
class MaskedLMBlocksCriterion(FairseqCriterion):
    """-sum log p(original) over masked tokens, in nats; the sample size is their number.

    A batch without a masked token has the loss 0 with zero gradients: every parameter takes part.
    """

    def __init__(self, task):
        super().__init__(task)
        self.commonest_token = task.commonest_token

    def forward(self, model, sample, reduce=True):
        """Returns (loss (), number of masked tokens, logging output)."""
        target = sample["target"]  # (M,)
        logits = model(**sample["net_input"])  # (M, V)
        loss = summed_cross_entropy(logits, target)
        with torch.no_grad():
            logging_output = {
                "loss": loss.detach(),
                "sample_size": sample["n_masked"],
                "ntokens": sample["ntokens"],
                "nsentences": sample["nsentences"],
                "mlm_correct": logits.argmax(-1).eq(target).sum().double(),
                "unigram_correct": target.eq(self.commonest_token).sum().double(),
            }
        return loss, sample["n_masked"], logging_output

    @staticmethod
    def reduce_metrics(logging_outputs):
        """Log means over masked tokens; every sum is exact under accumulation."""
        total = totals(logging_outputs)
        masked = total["sample_size"]
        log_mean("loss", total["loss"], masked, empty=0.0)
        log_mean("mlm_loss", total["loss"], masked)
        log_mean("mlm_accuracy", total["mlm_correct"], masked)
        log_mean("unigram_accuracy", total["unigram_correct"], masked)
        log_mean("masked_share", masked, total["ntokens"])

    @staticmethod
    def logging_outputs_can_be_summed():
        return True
