"""Task ``metro_t5``: METRO-T5 pretraining on documents binarized by ``fairseq-metro binarize``."""

from dataclasses import dataclass, field

from fairseq.dataclass import ChoiceEnum
from fairseq.tasks import register_task

from fairseq_metro.common.errors import UserError
from fairseq_metro.data.metro_dataset import CLM_POSITIONS, MASK_PATTERNS, MaskedBlocks
from fairseq_metro.tasks.base import architecture_of
from fairseq_metro.tasks.pretraining import PretrainingTask, PretrainingTaskConfig


@dataclass
class MetroT5TaskConfig(PretrainingTaskConfig):
    """Options of ``--task metro_t5``."""

    mask_pattern: ChoiceEnum(MASK_PATTERNS) = field(
        default="iid",
        metadata={
            "help": "Masking: iid masks each token independently (paper); span masks contiguous "
            "spans of 1 to 5 tokens, as T5 does, with one mask per token (Table 4, "
            "Continuous Span Mask)."
        },
    )
    clm_positions: ChoiceEnum(CLM_POSITIONS) = field(
        default="masked",
        metadata={
            "help": "Tokens that contribute to the CLM loss: the masked tokens (paper, eq. 12), "
            "or all real tokens, averaged (Table 4, CLM Loss on All Position)."
        },
    )


@register_task("metro_t5", dataclass=MetroT5TaskConfig)
class MetroT5Task(PretrainingTask):
    """I.i.d. masks for the auxiliary model; the decoder's target is the whole original."""

    def make_dataset(self, tokens, blocks, shuffle):
        return MaskedBlocks(
            tokens,
            blocks,
            bos=self.dictionary.bos(),
            pad=self.dictionary.pad(),
            mask=self.vocabulary.index("mask"),
            mask_pattern=str(self.cfg.mask_pattern),
            clm_positions=str(self.cfg.clm_positions),
            random_tokens=self._random_tokens(),
            decoder_start=self.pretraining_decoder_start,
            ordinary=self.ordinary_tokens(),
            mask_prob=self.cfg.mask_prob,
            seed=self.cfg.seed,
            shuffle=shuffle,
        )

    def build_criterion(self, cfg, from_checkpoint=False):
        if cfg._name != "metro_t5":
            raise UserError(
                f"--criterion {cfg._name} is not for --task metro_t5; give --criterion metro_t5"
            )
        return super().build_criterion(cfg, from_checkpoint)

    def build_model(self, cfg, from_checkpoint=False):
        name = architecture_of(cfg)
        if not name.startswith("metro_t5"):
            raise UserError(
                f"--task metro_t5 needs a model with an auxiliary one, which {name} is not; give "
                "--arch metro_t5_base or another size"
            )
        return super().build_model(cfg, from_checkpoint)

    def _random_tokens(self):
        """Ids for the release's 80/10/10 masking: every one that fairseq does not own."""
        if self.recipe_choices["masking"] == "mask":
            return None
        return range(self.dictionary.nspecial, len(self.dictionary))
