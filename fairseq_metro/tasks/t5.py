"""Task ``t5``: T5 pretraining by span corruption, the paper's baseline for METRO-T5.

Data, blocks, batches, model and scripts are METRO-T5's; only the objective differs.
"""

from dataclasses import dataclass, field

import numpy as np
from fairseq.dataclass import ChoiceEnum
from fairseq.tasks import register_task

from fairseq_metro.common.errors import UserError
from fairseq_metro.data.span_corruption import longest_target, most_spans
from fairseq_metro.data.t5_dataset import DECODING_TARGETS, CorruptedBlocks
from fairseq_metro.tasks.base import architecture_of
from fairseq_metro.tasks.pretraining import PretrainingTask, PretrainingTaskConfig


@dataclass
class T5TaskConfig(PretrainingTaskConfig):
    """Options of ``--task t5``."""

    mask_multiple_length: int = field(
        default=5,
        metadata={
            "help": "Maximum span length in tokens; lengths from 1 to this value are equally "
            "frequent (released configurations: 5, a mean of 3)."
        },
    )
    empty_prob: float = field(
        default=0.1,
        metadata={
            "help": "Maximum fraction of the masking budget spent on empty spans (released "
            "code: 0.1)."
        },
    )
    decoding_target: ChoiceEnum(DECODING_TARGETS) = field(
        default="spans",
        metadata={
            "help": "Target of the decoder: spans is the sentinels and the text they replace "
            "(METRO-T0, eq. 1); all is the whole original text, with loss on every token "
            "(Table 4, T0 + All-token LM loss)."
        },
    )


@register_task("t5", dataclass=T5TaskConfig)
class T5Task(PretrainingTask):
    """Sentinels for spans of the source. The decoder starts as METRO-T5's does in pretraining."""

    @classmethod
    def check_options(cls, cfg):
        if cfg.mask_multiple_length < 1:
            raise UserError(
                f"--mask-multiple-length is {cfg.mask_multiple_length}, must be at least 1"
            )
        if not 0 <= cfg.empty_prob < 1:
            raise UserError(f"--empty-prob is {cfg.empty_prob}, must be at least 0 and below 1")
        super().check_options(cfg)

    def load_dataset(self, split, epoch=1, combine=False, **kwargs):
        self._check_sentinels()
        super().load_dataset(split, epoch, combine, **kwargs)

    def make_dataset(self, tokens, blocks, shuffle):
        return CorruptedBlocks(
            tokens,
            blocks,
            bos=self.dictionary.bos(),
            pad=self.dictionary.pad(),
            decoder_start=self.pretraining_decoder_start,
            sentinels=self.vocabulary.sentinel_indices,
            end_of_target=self.vocabulary.index("end_of_target"),
            ordinary=self._maskable_tokens(),
            mask_prob=self.cfg.mask_prob,
            empty_prob=self.cfg.empty_prob,
            longest_span=self.cfg.mask_multiple_length,
            longest_source=self.cfg.tokens_per_sample,
            decoding_target=self.cfg.decoding_target,
            seed=self.cfg.seed,
            shuffle=shuffle,
        )

    def _maskable_tokens(self):
        """Bool array (V,): the ordinary tokens; the release masks special ones too."""
        if self.recipe_choices["masking"] == "mask":
            return self.ordinary_tokens()
        return np.ones(len(self.dictionary), dtype=bool)

    @property
    def _noise(self):
        """What the size of the noise depends on, for a block without special tokens inside.

        Of its tokens all but ``<s>`` may be masked; in the release all.
        """
        cfg = self.cfg
        maskable = cfg.tokens_per_sample - (self.recipe_choices["masking"] == "mask")
        return maskable, cfg.mask_prob, cfg.empty_prob, cfg.mask_multiple_length

    def _check_sentinels(self):
        """Every block without ``</s>`` inside must have a sentinel for each of its spans."""
        sentinels, spans = len(self.vocabulary.sentinel_indices), most_spans(*self._noise)
        if spans > sentinels:
            raise UserError(
                f"{self.vocabulary.path} has {sentinels} sentinels, but a block of "
                f"--tokens-per-sample {self.cfg.tokens_per_sample} needs up to {spans}; shorten "
                "the blocks, lengthen the spans (--mask-multiple-length), or make a vocabulary "
                "with more"
            )

    def check_model(self, cfg):
        """Before anything is built: the main model alone, with positions for every target."""
        name = architecture_of(cfg)
        if name.startswith("metro_t5"):
            raise UserError(
                f"--task t5 trains the main model alone, which --arch {name} is not; give --arch "
                f"{name.replace('metro_t5', 't5_transformer', 1)}"
            )
        sentinels = len(self.vocabulary.sentinel_indices)
        length = longest_target(*self._noise, sentinels)
        if self.cfg.decoding_target == "spans" and length > cfg.max_positions:
            raise UserError(
                f"targets can be {length} tokens long with --mask-prob {self.cfg.mask_prob} and "
                f"--tokens-per-sample {self.cfg.tokens_per_sample}, but the model has "
                f"--max-positions {cfg.max_positions}; mask less, or give it more positions"
            )
        super().check_model(cfg)

    def build_criterion(self, cfg, from_checkpoint=False):
        if cfg._name != "t5":
            raise UserError(f"--criterion {cfg._name} is not for --task t5; give --criterion t5")
        return super().build_criterion(cfg, from_checkpoint)
