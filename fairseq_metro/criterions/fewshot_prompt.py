"""Few-shot prompt fine-tuning: cross entropy over label words at the mask, or the verbalizer KL.

Sources: SMASH, section 3.1; LM-BFF (Gao et al. 2020), section 4.
"""

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from fairseq.criterions import FairseqCriterion, register_criterion
from fairseq.dataclass import ChoiceEnum, FairseqDataclass

from fairseq_metro.criterions.distillation_losses import logits_of
from fairseq_metro.criterions.totals import log_mean, totals
from fairseq_metro.smash.regression import LOSSES, predicted_scores, regression_loss


@dataclass
class FewshotPromptCriterionConfig(FairseqDataclass):
    regression: ChoiceEnum(tuple(LOSSES)) = field(
        default="gold",
        metadata={
            "help": "Loss of regression tasks, from the predicted point p and the gold point q: "
            "gold is KL(q|p); pred is KL(p|q), as printed in the paper; lmbff is the loss "
            "in LM-BFF's code."
        },
    )


def label_losses(scores, target, interval=None, regression="gold"):
    """Loss of each example from its labels' scores, in nats.

    scores (B, L): logits of the L label words; target (B,): int64 places of the right labels, or
    scores in ``interval`` with L = 2. Returns (B,) fp32. Raises UserError for a score outside.
    """
    if interval is not None:
        return regression_loss(scores, target, *interval, regression)
    return F.cross_entropy(scores.float(), target, reduction="none")


def predictions(scores, interval=None):
    """scores (B, L) -> places of labels (B,) int64, or scores in ``interval`` (B,) fp32."""
    return scores.argmax(-1) if interval is None else predicted_scores(scores, *interval)


@register_criterion("fewshot_prompt", dataclass=FewshotPromptCriterionConfig)
class FewshotPromptCriterion(FairseqCriterion):
    """Sums over examples; the sample size is their number."""

    def __init__(self, task, regression):
        super().__init__(task)
        self.interval, self.regression = task.fewshot.interval, str(regression)
        self.register_buffer("words", torch.tensor(task.words), persistent=False)

    def forward(self, model, sample, reduce=True):
        """Returns (loss (), number of examples, logging output)."""
        logits = logits_of(model(**sample["net_input"]))  # (B, V)
        scores = logits.index_select(-1, self.words)  # (B, L)
        target = sample["target"]
        loss = label_losses(scores, target, self.interval, self.regression).sum()
        with torch.no_grad():
            found = predictions(scores, self.interval)
            hit = found.eq(target) if self.interval is None else (found - target).abs()
            logging_output = {
                "loss": loss.detach(),
                "hit": hit.sum().double(),
                "sample_size": len(target),
                "ntokens": sample["ntokens"],
                "nsentences": len(target),
            }
        name = "accuracy" if self.interval is None else "distance"
        logging_output[name] = logging_output.pop("hit")
        return loss, len(target), logging_output

    @staticmethod
    def reduce_metrics(logging_outputs):
        """Means over examples: the loss, and accuracy, or the mean distance of scores."""
        total = totals(logging_outputs)
        log_mean("loss", total["loss"], total["sample_size"], empty=0.0)
        for name in ("accuracy", "distance"):
            if name in total:
                log_mean(name, total[name], total["sample_size"])

    @staticmethod
    def logging_outputs_can_be_summed():
        return True
