"""Task ``prompt_distillation``: a small model learns a larger one's answers to prompts (SMASH)."""

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fairseq.dataclass import ChoiceEnum
from fairseq.models import ARCH_MODEL_REGISTRY, MODEL_REGISTRY
from fairseq.tasks import register_task
from omegaconf import II

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.files import split_paths
from fairseq_metro.data.blocks import BREAK_MODES
from fairseq_metro.data.indexed import STAMP as TEXT_STAMP
from fairseq_metro.data.intermediate_dataset import (
    MAKER,
    STAMP,
    T5,
    IntermediateDataset,
    IntermediatePrompts,
    read_intermediate_stamp,
)
from fairseq_metro.data.stock import is_stock_text
from fairseq_metro.data.stock_prompts import StockPrompts, kind_of_masks, stock_prompts_facts
from fairseq_metro.interchange.mask_models import START
from fairseq_metro.models.metro_t5 import MetroT5Model, T5TransformerModel
from fairseq_metro.models.roberta import RobertaMLMModel
from fairseq_metro.smash.verbalizers import Verbalizer
from fairseq_metro.tasks.base import TextTask, TextTaskConfig, architecture_of
from fairseq_metro.tasks.run_vocabulary import find_vocabulary
from fairseq_metro.tasks.taught import NAME, Taught
from fairseq_metro.tasks.text_distillation import TextDistillationTask
from fairseq_metro.vocabulary.roberta import RobertaVocabulary
from fairseq_metro.vocabulary.tokenizers import VocabularyTokenizer

logger = logging.getLogger(__name__)

TRAIN = "train"


@dataclass
class PromptDistillationTaskConfig(TextTaskConfig):
    """Options of ``--task prompt_distillation``."""

    data: str = field(
        default="",
        metadata={
            "help": "Folder of prompts written by fairseq-metro intermediate, or by "
            "fairseq-preprocess --only-source from lines with one mask symbol each. With "
            "--distillation mlm, a folder of text written by fairseq-metro binarize or "
            "fairseq-preprocess, or several shards joined by ':'."
        },
    )
    teacher: str = field(
        default="",
        metadata={
            "help": "Teacher to run on every batch: a local Hugging Face folder, a run directory "
            "or a checkpoint. Probabilities of several teachers, joined by ':', are "
            "averaged."
        },
    )
    teacher_cache: str = field(
        default="",
        metadata={
            "help": "Folder of cached predictions written by fairseq-metro cache-teacher, instead "
            "of --teacher. Several caches of vectors, joined by ':', are averaged. If "
            "--teacher is also given, the cache must be from that teacher."
        },
    )
    tokens_per_sample: int = field(
        default=512,
        metadata={
            "help": "Maximum number of tokens in a block of text, including <s> (SMASH, A.1: 512)."
        },
    )
    sample_break_mode: ChoiceEnum(BREAK_MODES) = field(
        default="complete_doc",
        metadata={"help": "How text is cut into blocks, as in pretraining."},
    )
    mask_prob: float = field(
        default=0.15, metadata={"help": "Fraction of ordinary tokens of text that are masked."}
    )
    mask_smoothing: float = field(
        default=0.7,
        metadata={
            "help": "Exponent of the masking distribution over text: a token is masked in "
            "proportion to its count to the power of minus this value, which favours rare "
            "tokens (DistilBERT: 0.7). With 0, masking is uniform."
        },
    )
    max_tokens: Any = II("dataset.max_tokens")


@register_task(NAME, dataclass=PromptDistillationTaskConfig)
class PromptDistillationTask(Taught, TextTask):
    """One mask a prompt, heads only there; RoBERTa's mask or T5's second generated token."""

    make_data = MAKER

    @classmethod
    def setup_task(cls, cfg, **kwargs):
        """The task, or over a folder of text :class:`TextDistillationTask`."""
        if cls is PromptDistillationTask and cls._reads_text(
            cfg, kwargs.get("from_checkpoint", False)
        ):
            return TextDistillationTask.setup_task(cfg, **kwargs)
        return super().setup_task(cfg, **kwargs)

    @classmethod
    def _reads_text(cls, cfg, restored):
        """Whether the data are text and not prompts: by the stamp, or because no line has a mask."""
        folder = Path(split_paths(cfg.data)[0])
        if is_stock_text(folder):
            models = cls.models_with_vocabularies(cfg)
            return kind_of_masks(folder, find_vocabulary(cfg, [folder], models, restored)) is None
        return (folder / TEXT_STAMP).is_file() and not (folder / STAMP).is_file()

    @classmethod
    def check_options(cls, cfg):
        fields = PromptDistillationTaskConfig.__dataclass_fields__
        for name in ("tokens_per_sample", "sample_break_mode", "mask_prob", "mask_smoothing"):
            if str(getattr(cfg, name)) != str(fields[name].default):
                raise UserError(
                    f"--{name.replace('_', '-')} is for text, and {cfg.data} holds no text of "
                    "fairseq-metro binarize; leave it out"
                )
        super().check_options(cfg)

    @classmethod
    def read_stamp(cls, folder, vocabulary):
        if is_stock_text(folder):
            return stock_prompts_facts(folder, vocabulary)
        return read_intermediate_stamp(folder)

    @property
    def stamp(self):
        """The data folder's. Raises :class:`UserError` where the folder has none."""
        if not self.stamps:
            raise UserError(f"{self.cfg.data}: no {STAMP} in it; make the data with {MAKER}")
        return self.stamps[0]

    @property
    def kind(self):
        """Whose prompts the data are: "roberta" or "t5"."""
        return self.stamp["kind"]

    # Data

    def load_dataset(self, split, epoch=1, combine=False, **kwargs):
        """A split's prompts, with what the teachers said of them where that is cached."""
        if split not in self.stamp["splits"]:
            raise UserError(
                f"{self.cfg.data}: no split {split}, only {', '.join(self.stamp['splits'])}; "
                "make the data with held-out documents, or give --disable-validation"
            )
        t5 = self.kind == T5
        sentinel = self.vocabulary.sentinel_indices[0] if t5 else None
        mask = sentinel if t5 else self.vocabulary.index("mask")
        if self.stamp["vocabulary"] is None:
            prefix = self.vocabulary.source_prefix if t5 else [self.dictionary.bos()]
            prompts = StockPrompts(self.cfg.data, split, mask, prefix)
        else:
            prompts = IntermediatePrompts(self.cfg.data, split, mask)
        dataset = IntermediateDataset(
            prompts,
            pad=self.dictionary.pad(),
            seed=self.cfg.seed,
            shuffle=split == TRAIN,
            decoder_input=[self.pretraining_decoder_start, sentinel] if t5 else None,
            targets=[cache.split(split, len(prompts)) for cache in self.caches or ()],
        )
        self.check_lengths(dataset.longest())
        dataset.set_epoch(epoch)
        self.datasets[split] = dataset
        logger.info(f"{prompts.prefix}: {len(dataset):,} prompts of {prompts.sizes.mean():.1f} "
                    "tokens")  # fmt: skip

    def too_long(self, longest, name, limit):
        """The message about prompts that exceed a model's positions."""
        return (
            f"{self.cfg.data}: its longest prompt has {longest} tokens, but {name} has {limit} "
            "positions; make the data with a shorter --max-length"
        )

    def max_positions(self):
        return None  # prompts were cut when they were made

    def rule_words(self):
        """Ids of the label words, in the order of rule labels. Raises :class:`UserError`."""
        self.open_teachers()
        if self.teachers or self.caches:
            raise UserError("--distillation rule has no teacher; leave --teacher and its cache out")
        words = {int(label): word for label, word in self.stamp["verbalizer"].items()}
        if sorted(words) != list(range(len(words))) or not words:
            raise UserError(
                f"{self.cfg.data}: its task group has no words for rule labels; take "
                "--distillation ce, or a group with a verbalizer"
            )
        tokenizer = (
            self.vocabulary.tokenizer
            if isinstance(self.vocabulary, RobertaVocabulary)
            else VocabularyTokenizer(self.vocabulary, self.kind)
        )
        return list(Verbalizer.parse(dict(sorted(words.items())), tokenizer).ids)

    # Model

    def check_model(self, cfg):
        name = architecture_of(cfg)
        model = ARCH_MODEL_REGISTRY.get(name) or MODEL_REGISTRY[name]
        expected, example = RobertaMLMModel, "roberta_mlm_distil"
        if self.kind == T5:
            expected, example = T5TransformerModel, "hf_t5_small or t5_transformer_small"
        if not issubclass(model, expected) or issubclass(model, MetroT5Model):
            raise UserError(
                f"--arch {name}: the prompts of {self.cfg.data} are of kind {self.kind}; give "
                f"--arch {example} or another size"
            )
        start = self.vocabulary.roles[START]
        if self.kind == T5 and getattr(cfg, START) != start:
            raise UserError(
                f"--{START.replace('_', '-')} {getattr(cfg, START)}: prompts are asked after "
                f"{start}, the vocabulary's; leave it out"
            )
        self.open_teachers()

    def build_criterion(self, cfg, from_checkpoint=False):
        self.refuse_other_criterion(cfg)
        return super().build_criterion(cfg, from_checkpoint)
