"""``--task prompt_distillation --distillation mlm``: distillation over text (SMASH, 4.3, setting 5).

DATA is text, binarized by fairseq-metro binarize; what DistilBERT does with it (Sanh et al., 2019):
masked LM with a teacher's distributions and states.
"""

import numpy as np

from fairseq_metro.tasks.base import TextTask
from fairseq_metro.tasks.masked_lm import MaskedLMBlocksTask
from fairseq_metro.tasks.taught import Taught
from fairseq_metro.vocabulary.tokenizers import ROBERTA


class TextDistillationTask(Taught, MaskedLMBlocksTask):
    """Blocks of text with BERT's noise, rarer tokens more often; RoBERTa alone."""

    kind, reads_text = ROBERTA, True

    def make_dataset(self, tokens, blocks, shuffle):
        counts = np.bincount(tokens, minlength=len(self.dictionary))
        preference = np.maximum(counts, 1.0) ** -self.cfg.mask_smoothing
        return MaskedLMBlocksTask.make_dataset(self, tokens, blocks, shuffle, preference=preference)

    @property
    def recipe_choices(self):
        return {"long_lines": "split", "one_token_blocks": "drop"}

    def check_model(self, cfg):
        super().check_model(cfg)
        self.open_teachers()
        self.check_lengths(self.cfg.tokens_per_sample)

    def too_long(self, longest, name, limit):
        """The message about blocks that exceed a model's positions."""
        return (
            f"--tokens-per-sample {longest} is longer than the {limit} positions of {name}; give at "
            "most that"
        )

    def build_criterion(self, cfg, from_checkpoint=False):
        self.refuse_other_criterion(cfg)
        return TextTask.build_criterion(self, cfg, from_checkpoint)
