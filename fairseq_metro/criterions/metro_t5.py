"""METRO-T5's pretraining loss: auxiliary MLM, replaced token detection, corrective LM."""

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from fairseq.criterions import FairseqCriterion, register_criterion
from fairseq.dataclass import ChoiceEnum, FairseqDataclass
from fairseq.logging import metrics

from fairseq_metro.criterions.parts import sum_of_parts
from fairseq_metro.criterions.rtd_histogram import area_under_curve, rtd_histogram
from fairseq_metro.criterions.totals import log_mean, totals


@dataclass
class MetroT5CriterionConfig(FairseqDataclass):
    lambda_rtd: float = field(
        default=50.0,
        metadata={"help": "Weight of the RTD loss, lambda_RTD in METRO-T0 eq. 13 (paper: 50)."},
    )
    lambda_clm: float = field(
        default=1.0,
        metadata={"help": "Weight of the CLM loss, lambda_CLM in METRO-T0 eq. 13 (paper: 1)."},
    )
    weighted_lm_loss: ChoiceEnum(["recipe", "yes", "no"]) = field(
        default="recipe",
        metadata={
            "help": "Whether to weight the CLM loss of each token by its detached RTD probability "
            "of 'replaced' (released base: yes; paper: no)."
        },
    )


def summed_cross_entropy(logits, target):
    """-sum log softmax(logits)[target] in float32: logits (M, V), target (M,) int64 -> ()."""
    return F.cross_entropy(logits.float(), target, reduction="sum")


def summed_rtd_loss(logits, replaced, real):
    """Binary cross entropy of "replaced", summed over real tokens: (B, T) each -> (), float32."""
    loss = F.binary_cross_entropy_with_logits(logits.float(), replaced.float(), reduction="none")
    return (loss * real).sum()


@register_criterion("metro_t5", dataclass=MetroT5CriterionConfig)
class MetroT5Criterion(FairseqCriterion):
    """METRO-T0, equations 10 to 13, as sums that add over micro-batches and workers.

    The returned loss is sum MLM + lambda_RTD * share * sum RTD + lambda_CLM * sum CLM, and the sample
    size is the number of masked tokens. RTD runs over all real tokens, of which the masked ones are
    this share over the whole data set: after fairseq's division the RTD loss of an epoch is a mean as
    well. So is a CLM loss on all positions (Table 4). The release takes the share of the batch at hand.
    """

    def __init__(self, task, lambda_rtd, lambda_clm, weighted_lm_loss):
        super().__init__(task)
        self.lambda_rtd, self.lambda_clm = lambda_rtd, lambda_clm
        recipe = task.recipe_choices
        weighted = {"yes": True, "no": False, "recipe": recipe["weighted_lm_loss"]}
        self.weighted_lm_loss = weighted[str(weighted_lm_loss)]
        self.rtd_denominator = recipe["rtd_denominator"]
        self.commonest_token = task.commonest_token
        self.pad = task.source_dictionary.pad()

    def forward(self, model, sample, reduce=True):
        """Returns (loss (), number of masked tokens, logging output).

        A batch without a masked token teaches nothing: its loss is 0 with zero gradients (every
        parameter takes part, as distributed training wants), and it is counted in the log.
        """
        x_orig, masked_index = sample["target"], sample["net_input"]["masked_index"]
        x_masked = x_orig.flatten().index_select(0, masked_index)  # (M,)
        out = model(**sample["net_input"], masked_target=x_masked)
        real = x_orig.ne(self.pad)

        mlm = out.mlm  # eq. 10
        loss_rtd = summed_rtd_loss(out.rtd_logits, mlm.replaced, real)  # eq. 11
        clm = self.clm(out, sample)  # eq. 12
        rtd_share, clm_share = self.shares(sample)
        loss = sum_of_parts(
            mlm_loss=mlm.loss,
            rtd_loss=self.lambda_rtd * rtd_share * loss_rtd,
            clm_loss=self.lambda_clm * clm_share * clm.loss,
        )  # eq. 13
        logging_output = {
            "loss": loss.detach(),
            "rtd_loss": loss_rtd.detach(),
            **self.sizes(sample),
            **self.statistics(out, clm, sample, x_masked, real),
        }
        return loss, sample["n_masked"], logging_output

    def shares(self, sample):
        """What makes the RTD and the CLM loss, each a sum over its tokens, a mean over them when
        fairseq divides by the number of masked tokens."""
        share = sample["masked_share"]
        if self.rtd_denominator == "batch":
            share = sample["n_masked"] / sample["ntokens"]
        if sample["n_masked"] == 0:
            share = 0.0
        return share, share if "clm_index" in sample["net_input"] else 1.0

    def clm(self, out, sample):
        """The CLM's :class:`HeadLoss` at the N rows that carry its loss."""
        net_input, weight = sample["net_input"], None
        index = net_input.get("clm_index", net_input["masked_index"])
        if self.weighted_lm_loss:
            weight = out.rtd_logits.flatten().index_select(0, index).detach().float().sigmoid()
        return out.clm.loss(sample["target"].flatten().index_select(0, index), row_weight=weight)

    @staticmethod
    def sizes(sample):
        """The numbers of a batch that the log counts."""
        return {
            "sample_size": sample["n_masked"],
            "ntokens": sample["ntokens"],
            "nsentences": sample["nsentences"],
            "batches_without_masks": int(sample["n_masked"] == 0),
        }

    @torch.no_grad()
    def statistics(self, out, clm, sample, x_masked, real):
        """Losses and counts for the log, on the device; sums over batches and workers."""
        mlm, replaced = out.mlm, out.mlm.replaced
        replaced_masked = replaced.flatten().index_select(0, sample["net_input"]["masked_index"])
        rated_replaced = out.rtd_logits.float().ge(0) & real
        clm_correct = clm.correct
        if "masked_in_clm" in sample:
            clm_correct = clm_correct.index_select(0, sample["masked_in_clm"])
        counts = {
            "n_replaced": replaced,
            "mlm_correct": mlm.correct,
            "clm_correct_replaced": clm_correct & replaced_masked,
            "clm_correct_unreplaced": clm_correct & ~replaced_masked,
            "n_replaced_masked": replaced_masked,
            "rtd_said_replaced": rated_replaced,
            "rtd_true_positive": rated_replaced & replaced,
            "unigram_correct": x_masked.eq(self.commonest_token),
        }
        counts = {name: flags.sum().double() for name, flags in counts.items()}
        return counts | {
            "mlm_loss": mlm.loss.detach(),
            "clm_loss": clm.loss.detach(),
            "clm_tokens": len(clm.correct),
            "mlm_entropy": mlm.entropy.double(),
            "rtd_histogram": rtd_histogram(out.rtd_logits, replaced, real),
        }

    @staticmethod
    def reduce_metrics(logging_outputs):
        """Log means over the right number of tokens; every sum is exact under accumulation."""
        total, mean = totals(logging_outputs), log_mean
        masked, tokens = total["sample_size"], total["ntokens"]
        replaced, replaced_masked = total["n_replaced"], total["n_replaced_masked"]
        said_replaced = total["rtd_said_replaced"]

        mean("loss", total["loss"], masked, empty=0.0)
        mean("mlm_loss", total["mlm_loss"], masked)
        mean("rtd_loss", total["rtd_loss"], tokens)
        mean("clm_loss", total["clm_loss"], total["clm_tokens"])
        mean("mlm_accuracy", total["mlm_correct"], masked)
        mean("mlm_entropy", total["mlm_entropy"], masked)
        mean("clm_accuracy_replaced", total["clm_correct_replaced"], replaced_masked)
        mean(
            "clm_accuracy_unreplaced",
            total["clm_correct_unreplaced"],
            masked - replaced_masked,
        )
        mean("unigram_accuracy", total["unigram_correct"], masked)
        mean("rtd_precision", total["rtd_true_positive"], said_replaced, empty=0.0)
        mean("rtd_recall", total["rtd_true_positive"], replaced, empty=0.0)
        mean("replace_rate", replaced, tokens)
        mean("replace_rate_masked", replaced_masked, masked)
        metrics.log_scalar_sum("_rtd_histogram", total["rtd_histogram"])
        metrics.log_derived(
            "rtd_auc", lambda meters: round(area_under_curve(meters["_rtd_histogram"].sum), 6)
        )
        metrics.log_scalar_sum("batches_without_masks", total["batches_without_masks"])

    @staticmethod
    def logging_outputs_can_be_summed():
        return True
