"""Task ``prompt_distillation``: a small model learns a larger one's answers to prompts (SMASH)."""

import logging
from dataclasses import dataclass, field

from fairseq.models import ARCH_MODEL_REGISTRY, MODEL_REGISTRY
from fairseq.tasks import register_task

from fairseq_metro.criterions.distillation_losses import layer_pairs
from fairseq_metro.criterions.teacher_signals import (
    CachedTopK,
    CachedVectors,
    OnlineTeachers,
    check_pairing,
)
from fairseq_metro.data.intermediate_dataset import (
    MAKER,
    STAMP,
    T5,
    IntermediateDataset,
    IntermediatePrompts,
    read_intermediate_stamp,
)
from fairseq_metro.data.teacher_targets import TOP_K, TeacherCache
from fairseq_metro.errors import UserError
from fairseq_metro.interchange.mask_models import START
from fairseq_metro.interchange.roberta_vocabulary import RobertaVocabulary
from fairseq_metro.interchange.teachers import load_teachers
from fairseq_metro.models.metro_t5 import MetroT5Model, T5TransformerModel
from fairseq_metro.models.roberta import RobertaMLMModel
from fairseq_metro.smash.tokenizers import VocabularyTokenizer
from fairseq_metro.smash.verbalizers import Verbalizer
from fairseq_metro.tasks.base import TextTask, TextTaskConfig, architecture_of

logger = logging.getLogger(__name__)

NAME = "prompt_distillation"
TRAIN = "train"


@dataclass
class PromptDistillationTaskConfig(TextTaskConfig):
    """Options of ``--task prompt_distillation``."""

    data: str = field(
        default="", metadata={"help": "folder of prompts, written by preprocess/intermediate.py"}
    )
    teacher: str = field(
        default="",
        metadata={
            "help": "the teacher, run on every batch: a local Hugging Face folder, a run's folder "
            "or checkpoint; several joined by ':' are averaged in probability"
        },
    )
    teacher_cache: str = field(
        default="",
        metadata={
            "help": "or what it said before: a folder written by preprocess/cache_teacher.py; "
            "several of vectors joined by ':' are averaged; with --teacher too, it must be its"
        },
    )


@register_task(NAME, dataclass=PromptDistillationTaskConfig)
class PromptDistillationTask(TextTask):
    """One mask a prompt, heads only there; RoBERTa's mask or T5's second generated token."""

    make_data = MAKER

    def __init__(self, cfg, vocabulary, stamps):
        super().__init__(cfg, vocabulary, stamps)
        self.teachers = self.caches = None  # until they are asked for
        self.student = None  # its configuration

    @classmethod
    def read_stamp(cls, folder):
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
        prompts = IntermediatePrompts(self.cfg.data, split, mask)
        dataset = IntermediateDataset(
            prompts,
            pad=self.dictionary.pad(),
            seed=self.cfg.seed,
            shuffle=split == TRAIN,
            decoder_input=[self.pretraining_decoder_start, sentinel] if t5 else None,
            targets=[cache.split(split, len(prompts)) for cache in self.caches or ()],
        )
        self._check_lengths(dataset.longest())
        dataset.set_epoch(epoch)
        self.datasets[split] = dataset
        logger.info(f"{prompts.prefix}: {len(dataset):,} prompts of {prompts.sizes.mean():.1f} "
                    "tokens")  # fmt: skip

    def _check_lengths(self, longest):
        limits = [("the student", getattr(self.student, "max_positions", None))]
        limits += [(f"--teacher {each.origin}", each.max_positions) for each in self.teachers or ()]
        for name, limit in limits:
            if limit is not None and longest > limit:
                raise UserError(
                    f"{self.cfg.data}: its longest prompt has {longest} tokens, but {name} has "
                    f"{limit} positions; make the data with a shorter --max-length"
                )

    def max_positions(self):
        return None  # prompts were cut when they were made

    # Teachers

    def open_teachers(self):
        """Load the teachers, or map what they said; once. Raises :class:`UserError`."""
        if self.teachers is not None:
            return
        self.teachers, self.caches = [], []
        folders = list(filter(None, self.cfg.teacher_cache.split(":")))
        paths = list(filter(None, self.cfg.teacher.split(":")))
        self.caches = [TeacherCache(folder, self.stamp) for folder in folders]
        if len(folders) > 1 and any(cache.stored == TOP_K for cache in self.caches):
            raise UserError(
                f"--teacher-cache {self.cfg.teacher_cache}: the likeliest symbols of several caches "
                "have no average; cache the teachers together, or their vectors"
            )
        teachers = load_teachers(paths, self.vocabulary, self.kind)
        if not folders:
            self.teachers = teachers
        elif teachers:
            self._compare_caches([teacher.hash for teacher in teachers])

    def _compare_caches(self, hashes):
        if len(self.caches) == 1:
            self.caches[0].refuse_other_teachers(hashes)
            return
        if len(hashes) != len(self.caches):
            raise UserError("--teacher and --teacher-cache: give as many of one as of the other")
        for cache, one in zip(self.caches, hashes, strict=True):
            cache.refuse_other_teachers([one])

    def teacher_hashes(self):
        """Of the teachers in the loop, or of those that were cached: sorted list."""
        hashes = [teacher.hash for teacher in self.teachers or ()]
        return sorted(hashes + [one for cache in self.caches or () for one in cache.teachers])

    def teacher_signal(self, temperature, hidden, attention):
        """What gives the criterion a batch's targets. Raises :class:`UserError`."""
        self.open_teachers()
        if not (self.teachers or self.caches):
            raise UserError("no teacher; give --teacher, --teacher-cache, or --distillation rule")
        if hidden or attention:
            self._check_layers(hidden, attention)
        if self.teachers:
            return OnlineTeachers(self.teachers, temperature, hidden, attention)
        if self.caches[0].stored != TOP_K:
            return CachedVectors([cache.output_layer() for cache in self.caches], temperature)
        if temperature != 1:
            raise UserError(
                f"--temperature {temperature}: the cache holds the likeliest symbols at 1; cache "
                "vectors, or leave it out"
            )
        return CachedTopK()

    def _check_layers(self, hidden, attention):
        if len(self.teachers) != 1 or self.kind == T5:
            raise UserError(
                "--hidden-weight and --attention-weight need one RoBERTa in --teacher, not a cache, "
                "several, or T5; leave them out"
            )
        teacher = self.teachers[0].model.cfg
        check_pairing(self.student, teacher, hidden, attention)
        layer_pairs(self.student.encoder_layers, teacher.encoder_layers)

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

    def build_model(self, cfg, from_checkpoint=False):
        self.student = cfg
        return super().build_model(cfg, from_checkpoint)

    def check_model(self, cfg):
        name = architecture_of(cfg)
        model = ARCH_MODEL_REGISTRY.get(name) or MODEL_REGISTRY[name]
        wanted, example = RobertaMLMModel, "roberta_mlm_distil"
        if self.kind == T5:
            wanted, example = T5TransformerModel, "hf_t5_small or t5_transformer_small"
        if not issubclass(model, wanted) or issubclass(model, MetroT5Model):
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

    def check_restored(self, facts):
        super().check_restored(facts)
        theirs = facts["task_state"].get("teachers")
        if theirs is None or theirs == self.teacher_hashes():
            return
        raise UserError(
            f"{facts['path']}: trained with another teacher ({', '.join(t[:12] for t in theirs)}); "
            "give its, or another --save-dir"
        )

    def state_dict(self):
        return {**super().state_dict(), "teachers": self.teacher_hashes()}

    def build_criterion(self, cfg, from_checkpoint=False):
        if cfg._name != NAME:
            raise UserError(
                f"--criterion {cfg._name} is not for --task {NAME}; give --criterion {NAME}"
            )
        return super().build_criterion(cfg, from_checkpoint)
