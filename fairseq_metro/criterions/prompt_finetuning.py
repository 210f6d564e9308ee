"""Fine-tuning's loss: cross entropy of the target, a mean over its tokens."""

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from fairseq.criterions import FairseqCriterion, register_criterion
from fairseq.criterions.label_smoothed_cross_entropy import label_smoothed_nll_loss
from fairseq.dataclass import FairseqDataclass
from fairseq.logging import metrics

from fairseq_metro.common.errors import UserError
from fairseq_metro.criterions.totals import log_mean, totals


@dataclass
class PromptFinetuningCriterionConfig(FairseqDataclass):
    label_smoothing: float = field(
        default=0.0,
        metadata={
            "help": "Fraction of each target's probability spread uniformly over all tokens "
            "(METRO-T0: 0)."
        },
    )


def token_losses(logits, target, epsilon):
    """Loss and -log p of each target token: logits (N, V), target (N,) int64 -> two (N,) float32.

    epsilon: label smoothing by fairseq's formula; 0 makes both the same.
    """
    if epsilon == 0:
        nll = F.cross_entropy(logits.float(), target, reduction="none")
        return nll, nll
    log_p = F.log_softmax(logits.float(), dim=-1)
    return label_smoothed_nll_loss(log_p, target, epsilon, reduce=False)


@register_criterion("prompt_finetuning", dataclass=PromptFinetuningCriterionConfig)
class PromptFinetuningCriterion(FairseqCriterion):
    """-sum log p over target tokens, in nats, smoothed if asked; the sample size is their number."""

    def __init__(self, task, label_smoothing):
        super().__init__(task)
        if not 0 <= label_smoothing < 1:
            raise UserError(f"--label-smoothing is {label_smoothing}, must be 0 or more, below 1")
        self.label_smoothing = label_smoothing

    def forward(self, model, sample, reduce=True, n_tasks=0):
        """Returns (loss (), number of target tokens, logging output).

        n_tasks: above 0 the logging output has also task_loss and task_tokens, float64 (n_tasks,):
        sums of -log p and of tokens by ``sample["task"]``.
        """
        target_index = sample["net_input"]["target_index"]
        target = sample["target"].flatten().index_select(0, target_index)  # (N,)
        logits, _ = model(**sample["net_input"])  # (N, V)
        losses, nll = token_losses(logits, target, self.label_smoothing)
        loss = losses.sum()

        with torch.no_grad():
            logging_output = {
                "loss": loss.detach(),
                "nll_loss": nll.detach().sum().double(),
                "token_correct": logits.argmax(-1).eq(target).sum().double(),
                "sample_size": sample["n_target"],
                "ntokens": sample["ntokens"],
                "nsentences": sample["nsentences"],
                "padded_size": sample["size"],
            }
            if n_tasks > 0:
                row = target_index // sample["target"].size(1)
                task = sample["task"].index_select(0, row)
                zeros = torch.zeros(n_tasks, dtype=torch.float64, device=nll.device)
                logging_output["task_loss"] = zeros.index_add(0, task, nll.double())
                logging_output["task_tokens"] = zeros.index_add(
                    0, task, torch.ones_like(nll).double()
                )
        return loss, sample["n_target"], logging_output

    @staticmethod
    def reduce_metrics(logging_outputs):
        """Log means over target tokens; every sum is exact under accumulation."""
        total = totals(logging_outputs)
        count = total["sample_size"]
        log_mean("loss", total["loss"], count)
        log_mean("nll_loss", total["nll_loss"], count)
        log_mean("token_accuracy", total["token_correct"], count)
        log_mean("padding_share", total["padded_size"] - total["ntokens"], total["padded_size"])
        metrics.log_scalar_sum("target_tokens", count)

    @staticmethod
    def logging_outputs_can_be_summed():
        return True
