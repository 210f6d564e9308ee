"""Base class of the pretraining tasks: shards of text blocks, maskable tokens, recipes."""

import logging
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from fairseq.dataclass import ChoiceEnum
from omegaconf import II

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.files import split_paths
from fairseq_metro.common.recipes import RECIPES, choices
from fairseq_metro.data.blocks import BREAK_MODES, cut_blocks
from fairseq_metro.data.indexed import IndexedTokens, read_stamp
from fairseq_metro.data.padding import padded_width
from fairseq_metro.data.stock import is_stock_text, open_tokens, text_facts
from fairseq_metro.models.metro_t5 import T5TransformerConfig
from fairseq_metro.tasks.base import TextTask, TextTaskConfig
from fairseq_metro.trainer.workarounds import whole_number

logger = logging.getLogger(__name__)

# Options of task and model that say what is learned: one run has one value of each.
OBJECTIVE = (
    "mask_pattern",
    "clm_positions",
    "decoding_target",
    "rtd_on",
    "clm_head",
    "copy_mechanism",
)


@dataclass
class PretrainingTaskConfig(TextTaskConfig):
    data: str = field(
        default="",
        metadata={
            "help": "Folder written by fairseq-metro binarize or fairseq-preprocess "
            "--only-source. Several shards may be joined by ':'; each epoch reads the "
            "next one."
        },
    )
    sample_break_mode: ChoiceEnum(BREAK_MODES) = field(
        default="complete_doc",
        metadata={
            "help": "How text is cut into blocks: complete_doc packs whole lines of one document, "
            "complete packs whole lines across documents, eos makes each line a block, "
            "and none cuts the token stream anywhere."
        },
    )
    tokens_per_sample: int = field(
        default=512,
        metadata={"help": "Maximum number of tokens in a block, including <s> (paper: 512)."},
    )
    mask_prob: float = field(
        default=0.15,
        metadata={"help": "Fraction of ordinary tokens that are masked (paper: 0.15)."},
    )
    max_tokens: Any = II("dataset.max_tokens")
    recipe: ChoiceEnum(RECIPES) = field(
        default="paper",
        metadata={
            "help": "Recipe for the choices in which METRO-T0's paper and released code differ; "
            "see fairseq_metro/common/recipes.py."
        },
    )


class PretrainingTask(TextTask):
    """Base of the pretraining tasks. A task adds :meth:`make_dataset`."""

    unchecked = (
        f"{TextTask.unchecked}, nor which text and tokenizer made them; `fairseq-metro adopt DATA` "
        "writes one"
    )

    @property
    def commonest_token(self):
        """Id of the commonest ordinary token of the training data; -1 where no data is given."""
        for stamp in self.stamps:
            if "train" in stamp["splits"]:
                return stamp["splits"]["train"]["commonest_token"]
        return -1

    @classmethod
    def check_options(cls, cfg):
        if not 0 < cfg.mask_prob <= 1:
            raise UserError(f"--mask-prob is {cfg.mask_prob}, must be above 0 and at most 1")
        if cfg.tokens_per_sample < 3:
            raise UserError(f"--tokens-per-sample is {cfg.tokens_per_sample}, must be at least 3")
        super().check_options(cfg)

    @staticmethod
    def split_data(data):
        return split_paths(data)

    @classmethod
    def read_stamp(cls, folder, vocabulary):
        return text_facts(folder) if is_stock_text(folder) else read_stamp(folder)

    # Going on with a run

    def begin(self, model, cfg, resumed):
        if resumed:
            self._refuse_another_objective(resumed, cfg)
        return super().begin(model, cfg, resumed)

    def _refuse_another_objective(self, facts, cfg):
        """A run's folder holds one objective: an ablation begun in that of another would go on with
        its parameters, and show something between the two."""
        for part, now in (("task", self.cfg), ("model", cfg)):
            then = facts["cfg"].get(part) or {}
            for name in OBJECTIVE:
                if name in then and str(then[name]) != str(getattr(now, name, then[name])):
                    raise UserError(
                        f"{facts['path']}: trained with {name} {then[name]}, and not "
                        f"{getattr(now, name)}, which is another objective; give another "
                        "--save-dir (SAVE=), and --init-from where it is to begin with these parameters"
                    )

    # Data

    def load_dataset(self, split, epoch=1, combine=False, **kwargs):
        """A split's blocks; training goes through the shards in turn, one per epoch."""
        folders = self.data_folders(self.cfg.data)
        folder = folders[(epoch - 1) % len(folders)] if split == "train" else folders[0]
        lines = (open_tokens if is_stock_text(folder) else IndexedTokens)(folder / split)
        blocks = cut_blocks(
            lines.sizes,
            self.cfg.tokens_per_sample - 1,
            str(self.cfg.sample_break_mode),
            self._long_lines(split),
            keep_single=self.recipe_choices["one_token_blocks"] == "keep",
        )
        if len(blocks) == 0:
            raise UserError(f"{folder / split}.bin: no block of text in it; binarize a real corpus")
        dataset = self.make_dataset(lines.tokens, blocks, shuffle=split == "train")
        dataset.set_epoch(epoch)
        most, longest = whole_number(self.cfg.max_tokens), int(dataset.sizes.max())
        if split == "train" and most is not None and longest > most:
            raise UserError(
                f"--max-tokens {most}: {folder / split}.bin has a block of {longest} tokens, which no "
                "such batch holds; raise it, or give shorter blocks (--tokens-per-sample)"
            )
        self._check_masks(dataset, folder / split)
        counts = ", ".join(f"{name} {count:,}" for name, count in blocks.counts.items())
        logger.info(f"{folder / split}: {len(blocks):,} blocks; {counts}")
        self.datasets[split] = dataset

    def _long_lines(self, split):
        if self.recipe_choices["long_lines"] == "split":
            return "split"
        return "crop" if split == "train" else "drop"

    def make_dataset(self, tokens, blocks, shuffle):
        """The samples of a split: a dataset with ``some_but_not_all_masked``."""
        raise TypeError(f"{type(self).__name__} must define make_dataset")

    def ordinary_tokens(self):
        """Bool array (V,): the ids that may be masked, all but special symbols and roles."""
        ordinary = np.ones(len(self.dictionary), dtype=bool)
        ordinary[: self.dictionary.nspecial] = False
        ordinary[self.vocabulary.index("mask")] = False
        ordinary[self.vocabulary.sentinel_indices] = False
        return ordinary

    def _check_masks(self, dataset, prefix):
        some, unmasked = dataset.some_but_not_all_masked()
        if some and unmasked:
            return
        what = "nothing" if not some else "everything"
        raise UserError(
            f"{prefix}.bin: with --mask-prob {self.cfg.mask_prob} and --sample-break-mode "
            f"{self.cfg.sample_break_mode} {what} in it is masked; change them, or give longer text"
        )

    def max_positions(self):
        return self.cfg.tokens_per_sample

    # Model

    @property
    def recipe_choices(self):
        """The recipe's choices for the architecture at hand, by its name."""
        return choices(str(self.cfg.recipe), self.architecture.rpartition("_")[2])

    def check_model(self, cfg):
        positions = getattr(cfg, "max_positions", T5TransformerConfig.max_positions)
        padded = padded_width(self.cfg.tokens_per_sample)
        if padded > positions:
            raise UserError(
                f"--tokens-per-sample {self.cfg.tokens_per_sample} (padded to {padded}) is "
                f"longer than the model's --max-positions {positions}; shorten the blocks or "
                "give it more positions"
            )
