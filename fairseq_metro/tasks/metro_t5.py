"""Task ``metro_t5``: METRO-T5 pretraining on documents binarized by ``preprocess/binarize.py``."""

from dataclasses import dataclass

from fairseq.tasks import register_task

from fairseq_metro.data.metro_dataset import MaskedBlocks
from fairseq_metro.tasks.pretraining import PretrainingTask, PretrainingTaskConfig


@dataclass
class MetroT5TaskConfig(PretrainingTaskConfig):
    """Options of ``--task metro_t5``."""


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
            decoder_start=self.pretraining_decoder_start,
            ordinary=self.ordinary_tokens(),
            mask_prob=self.cfg.mask_prob,
            seed=self.cfg.seed,
            shuffle=shuffle,
        )
