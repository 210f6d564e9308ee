"""Task ``masked_lm_blocks``: masked-LM pretraining of RoBERTa on what ``binarize.py`` made.

Data, blocks, batches and recovery are METRO-T5's; only the objective differs.
"""

from dataclasses import dataclass

from fairseq.models import ARCH_MODEL_REGISTRY, MODEL_REGISTRY
from fairseq.tasks import register_task

from fairseq_metro.common.errors import UserError
from fairseq_metro.data.masked_lm_dataset import MaskedLMBlocks
from fairseq_metro.models.roberta import RobertaMLMModel
from fairseq_metro.tasks.base import architecture_of
from fairseq_metro.tasks.pretraining import PretrainingTask, PretrainingTaskConfig


@dataclass
class MaskedLMBlocksConfig(PretrainingTaskConfig):
    """Options of ``--task masked_lm_blocks``: those of every pretraining task."""


@register_task("masked_lm_blocks", dataclass=MaskedLMBlocksConfig)
class MaskedLMBlocksTask(PretrainingTask):
    """BERT's 80/10/10 noise at a share of each block's ordinary tokens; loss there alone."""

    def make_dataset(self, tokens, blocks, shuffle, **more):
        """more: further arguments of :class:`MaskedLMBlocks`, of a task that builds on this one."""
        return MaskedLMBlocks(
            tokens,
            blocks,
            bos=self.dictionary.bos(),
            pad=self.dictionary.pad(),
            mask=self.vocabulary.index("mask"),
            decoder_start=self.pretraining_decoder_start,
            ordinary=self.ordinary_tokens(),
            mask_prob=self.cfg.mask_prob,
            seed=self.cfg.seed,
            shuffle=shuffle,
            **more,
        )

    def check_model(self, cfg):
        name = architecture_of(cfg)
        kind = ARCH_MODEL_REGISTRY.get(name) or MODEL_REGISTRY.get(name)
        if not issubclass(kind, RobertaMLMModel):
            raise UserError(
                f"--task masked_lm_blocks trains RoBERTa's masked-LM head, which --arch {name} has "
                "not; give --arch roberta_mlm_base or another size"
            )
        super().check_model(cfg)

    def build_criterion(self, cfg, from_checkpoint=False):
        if cfg._name != "masked_lm_blocks":
            raise UserError(
                f"--criterion {cfg._name} is not for --task masked_lm_blocks; give --criterion "
                "masked_lm_blocks"
            )
        return super().build_criterion(cfg, from_checkpoint)
