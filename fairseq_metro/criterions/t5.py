"""T5's pretraining loss: cross entropy of the target (METRO-T0, equation 1)."""

import torch
from fairseq.criterions import FairseqCriterion, register_criterion
from fairseq.dataclass import FairseqDataclass
from fairseq.logging import metrics

from fairseq_metro.criterions.metro_t5 import summed_cross_entropy
from fairseq_metro.criterions.totals import log_mean, totals


@register_criterion("t5", dataclass=FairseqDataclass)
class T5Criterion(FairseqCriterion):
    """-sum log p over target tokens, in nats; the sample size is their number. No smoothing."""

    def __init__(self, task):
        super().__init__(task)
        self.commonest_token = task.commonest_token

    def forward(self, model, sample, reduce=True):
        """Returns (loss (), number of target tokens, logging output)."""
        target_index = sample["net_input"]["target_index"]
        target = sample["target"].flatten().index_select(0, target_index)  # (N,)
        logits, _ = model(**sample["net_input"])  # (N, V)
        loss = summed_cross_entropy(logits, target)

        with torch.no_grad():
            logging_output = {
                "loss": loss.detach(),
                "sample_size": sample["n_target"],
                "ntokens": sample["ntokens"],
                "nsentences": sample["nsentences"],
                "lm_correct": logits.argmax(-1).eq(target).sum().double(),
                "unigram_correct": target.eq(self.commonest_token).sum().double(),
            }
        return loss, sample["n_target"], logging_output

    @staticmethod
    def reduce_metrics(logging_outputs):
        """Log means over target tokens; every sum is exact under accumulation."""
        total = totals(logging_outputs)
        count = total["sample_size"]
        log_mean("loss", total["loss"], count)
        log_mean("lm_loss", total["loss"], count)
        log_mean("lm_accuracy", total["lm_correct"], count)
        log_mean("unigram_accuracy", total["unigram_correct"], count)
        log_mean("target_share", count, total["ntokens"])
        metrics.log_scalar_sum("target_tokens", count)

    @staticmethod
    def logging_outputs_can_be_summed():
        return True
