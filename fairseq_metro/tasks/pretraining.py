"""What pretraining tasks share: data folders, vocabulary, stamps, resuming, first validation."""

import logging
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from fairseq import utils
from fairseq.dataclass import ChoiceEnum, FairseqDataclass
from fairseq.models import ARCH_MODEL_REGISTRY, MODEL_REGISTRY
from fairseq.tasks import FairseqTask
from omegaconf import II, OmegaConf, open_dict

from fairseq_metro import criterions, data_parallel, optim  # noqa: F401  they register options
from fairseq_metro.checkpoints import read_facts, repair_last
from fairseq_metro.data.block_dataset import PAD_TO_MULTIPLE
from fairseq_metro.data.blocks import BREAK_MODES, cut_blocks
from fairseq_metro.data.indexed import IndexedTokens, read_stamp
from fairseq_metro.data.inference_dataset import SourceDataset
from fairseq_metro.data.vocabulary import VOCAB_FOLDER, Vocabulary
from fairseq_metro.errors import UserError
from fairseq_metro.files import sha256_file
from fairseq_metro.interchange.init_from import initialize_from
from fairseq_metro.master_weights import MasterWeights
from fairseq_metro.models.metro_t5 import T5TransformerConfig
from fairseq_metro.recipes import RECIPES, choices
from fairseq_metro.stamp import make_stamp
from fairseq_metro.tasks.hydra_names import refuse_architecture_name
from fairseq_metro.tasks.initial_validation import InitialValidation
from fairseq_metro.tasks.trainer_modes import check_trainer_modes
from fairseq_metro.workarounds import (
    explain_fp16_overflow_on_cpu,
    own_dropout_stream,
    refuse_independent_copies,
)

logger = logging.getLogger(__name__)


@dataclass
class PretrainingTaskConfig(FairseqDataclass):
    data: str = field(
        default="",
        metadata={
            "help": "folder written by preprocess/binarize.py, or several shards joined by ':', "
            "one for each epoch in turn"
        },
    )
    vocab: str = field(
        default="",
        metadata={
            "help": "vocabulary folder; needed only for a checkpoint or data folder that was "
            "moved without its own (default: DATA/vocab)"
        },
    )
    sample_break_mode: ChoiceEnum(BREAK_MODES) = field(
        default="complete_doc",
        metadata={
            "help": "blocks: complete_doc packs whole lines within a document, complete also "
            "across documents, eos takes one line each, none cuts the stream anywhere"
        },
    )
    tokens_per_sample: int = field(
        default=512,
        metadata={"help": "longest block in tokens, <s> included (paper: 512)"},
    )
    mask_prob: float = field(
        default=0.15, metadata={"help": "share of ordinary tokens that is masked (paper: 0.15)"}
    )
    recipe: ChoiceEnum(RECIPES) = field(
        default="paper",
        metadata={
            "help": "the group of choices in which METRO-T0's paper and released code differ; "
            "fairseq_metro/recipes.py lists them"
        },
    )
    init_from: str = field(
        default="",
        metadata={
            "help": "begin with the parameters of this model: a run's folder or checkpoint of "
            "ours, an authors' checkpoint or Hugging Face folder; the optimizer begins anew; "
            "nothing where --save-dir holds a checkpoint to resume"
        },
    )
    no_initial_validation: bool = field(
        default=False,
        metadata={"help": "do not validate before the first update of a run"},
    )
    seed: int = II("common.seed")
    save_dir: str = II("checkpoint.save_dir")
    restore_file: str = II("checkpoint.restore_file")
    # The trainer's own, to refuse what cannot work; see trainer_modes.py.
    cpu: bool = II("common.cpu")
    tpu: bool = II("common.tpu")
    fp16: bool = II("common.fp16")
    bf16: bool = II("common.bf16")
    amp: bool = II("common.amp")
    memory_efficient_fp16: bool = II("common.memory_efficient_fp16")
    memory_efficient_bf16: bool = II("common.memory_efficient_bf16")
    fp16_no_flatten_grads: bool = II("common.fp16_no_flatten_grads")
    ddp_backend: Any = II("distributed_training.ddp_backend")


class PretrainingTask(FairseqTask):
    """Base of the pretraining tasks; evaluation and generation read the same folders.

    A task adds :meth:`make_dataset`.
    """

    def __init__(self, cfg, vocabulary, stamps):
        super().__init__(cfg)
        self.vocabulary, self.stamps = vocabulary, stamps
        self.dictionary = vocabulary.dictionary()
        self.pretraining_decoder_start = vocabulary.index("pretraining_decoder_start")
        self.architecture = ""
        self.master_weights = MasterWeights()
        self.initial_validation = InitialValidation(self, enabled=not cfg.no_initial_validation)

    @property
    def source_dictionary(self):
        return self.dictionary

    @property
    def target_dictionary(self):
        return self.dictionary

    @property
    def commonest_token(self):
        """Id of the commonest ordinary token of the training data; -1 where no data is given."""
        for stamp in self.stamps:
            if "train" in stamp["splits"]:
                return stamp["splits"]["train"]["commonest_token"]
        return -1

    @classmethod
    def setup_task(cls, cfg, **kwargs):
        refuse_independent_copies()
        check_options(cfg)
        folders = data_folders(cfg.data)
        vocabulary = find_vocabulary(cfg.vocab, folders)
        stamps = []
        for folder in folders:
            if not (folder / "dict.txt").exists():
                continue  # a run's folder, for interactive use: a vocabulary and no data
            stamp = read_stamp(folder)
            if stamp["vocabulary"] != vocabulary.hash:
                raise UserError(
                    f"{folder}: its data was made with vocabulary {stamp['vocabulary'][:12]}, but "
                    f"{vocabulary.path} is {vocabulary.hash[:12]}; give the folder it was made "
                    "with, or binarize again"
                )
            stamps.append(stamp)
        return cls(cfg, vocabulary, stamps)

    # Data

    def load_dataset(self, split, epoch=1, combine=False, **kwargs):
        """A split's blocks; training goes through the shards in turn, one per epoch."""
        folders = data_folders(self.cfg.data)
        folder = folders[(epoch - 1) % len(folders)] if split == "train" else folders[0]
        lines = IndexedTokens(folder / split)
        blocks = cut_blocks(
            lines.sizes,
            self.cfg.tokens_per_sample - 1,
            str(self.cfg.sample_break_mode),
            self._long_lines(split),
        )
        if len(blocks) == 0:
            raise UserError(f"{folder / split}.bin: no block of text in it; binarize a real corpus")
        dataset = self.make_dataset(lines.tokens, blocks, shuffle=split == "train")
        dataset.set_epoch(epoch)
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

    def build_dataset_for_inference(self, src_tokens, src_lengths, **kwargs):
        """Sources for generation: ``<s>`` tokens ``</s>``, right-padded."""
        return SourceDataset(src_tokens, self.dictionary)

    def build_bpe(self, args):
        """The vocabulary folder's own tokenizer, whatever --bpe says; symbols joined by spaces."""
        return SimpleNamespace(encode=self.vocabulary.encode_pieces, decode=self.vocabulary.decode)

    # Model and training

    @property
    def recipe_choices(self):
        """The recipe's choices for the architecture at hand, by its name."""
        return choices(str(self.cfg.recipe), self.architecture.rpartition("_")[2])

    def build_model(self, cfg, from_checkpoint=False):
        self.architecture = architecture_of(cfg)
        if not from_checkpoint:
            refuse_architecture_name(self.architecture)
        self._resolve_decoder_starts(cfg)
        if not from_checkpoint:
            check_trainer_modes(self.cfg)
            positions = getattr(cfg, "max_positions", T5TransformerConfig.max_positions)
            padded = -(-self.cfg.tokens_per_sample // PAD_TO_MULTIPLE) * PAD_TO_MULTIPLE
            if padded > positions:
                raise UserError(
                    f"--tokens-per-sample {self.cfg.tokens_per_sample} (padded to {padded}) is "
                    f"longer than the model's --max-positions {positions}; shorten the blocks or "
                    "give it more positions"
                )
            resumes = self._look_at_restored_checkpoint()
        model = super().build_model(cfg, from_checkpoint)
        if self.cfg.init_from and not from_checkpoint:
            if resumes:
                logger.info(f"--init-from {self.cfg.init_from}: not read, the run is resumed")
            else:
                initialize_from(model, cfg, self.vocabulary, self.cfg.init_from)
        return model

    def _resolve_decoder_starts(self, cfg):
        """Write the symbols into the model's config, so that a checkpoint says what it was fed."""
        model_class = ARCH_MODEL_REGISTRY.get(self.architecture)
        model_class = model_class or MODEL_REGISTRY.get(self.architecture)
        for stage in getattr(model_class, "decoder_starts", ()):
            symbol = getattr(cfg, stage, "") or self.vocabulary.roles[stage]
            if symbol not in self.dictionary:
                raise UserError(
                    f"--{stage.replace('_', '-')} {symbol!r} is not in {self.vocabulary.path}; "
                    "give a symbol of its dict.txt"
                )
            with open_dict(cfg) if OmegaConf.is_config(cfg) else nullcontext():
                setattr(cfg, stage, symbol)
            if stage == "pretraining_decoder_start":
                self.pretraining_decoder_start = self.dictionary.index(symbol)

    def _look_at_restored_checkpoint(self):
        """Before fairseq loads it: mend a half-copied file, refuse another vocabulary.

        Returns whether there is one.
        """
        self.vocabulary.refuse_another_in(Path(self.cfg.save_dir) / VOCAB_FOLDER)
        path = repair_last(self.cfg.save_dir, self.cfg.restore_file)
        if path is None or not path.exists():
            return False
        state = read_facts(path)["task_state"]
        theirs = state.get("stamp", {}).get("vocabulary", self.vocabulary.hash)
        if theirs != self.vocabulary.hash:
            raise UserError(
                f"{path}: trained with vocabulary {theirs[:12]}, but {self.vocabulary.path} is "
                f"{self.vocabulary.hash[:12]}; give the data it was trained on, or another "
                "--save-dir"
            )
        self.initial_validation.values = state.get("initial_validation", {})
        return True

    def build_criterion(self, cfg, from_checkpoint=False):
        self.criterion = super().build_criterion(cfg, from_checkpoint)
        return self.criterion

    def get_batch_iterator(self, dataset, **kwargs):
        if dataset is self.datasets.get("train"):
            self.initial_validation.batching = kwargs
        return super().get_batch_iterator(dataset, **kwargs)

    def begin_epoch(self, epoch, model):
        super().begin_epoch(epoch, model)
        self.initial_validation.run_once(model)

    def train_step(self, sample, model, criterion, optimizer, update_num, **kwargs):
        own_dropout_stream(self.cfg.seed, update_num, data_parallel.rank())
        explain_fp16_overflow_on_cpu(optimizer)
        self.master_weights.follow(model, optimizer)
        return super().train_step(sample, model, criterion, optimizer, update_num, **kwargs)

    def state_dict(self):
        """What a checkpoint says about its origin. fairseq asks for it when it saves, and the
        vocabulary is copied beside the checkpoint then, so that a run's folder needs no other."""
        if data_parallel.rank() == 0:
            self.vocabulary.copy_to(Path(self.cfg.save_dir) / VOCAB_FOLDER)
        stamp = make_stamp(
            vocabulary=self.vocabulary.hash, data=[stamp["data"] for stamp in self.stamps]
        )
        return {"stamp": stamp, "initial_validation": self.initial_validation.values}

    def load_state_dict(self, state_dict):
        theirs = state_dict.get("stamp", {}).get("vocabulary", self.vocabulary.hash)
        if theirs != self.vocabulary.hash:
            raise UserError(
                f"the checkpoint was trained with vocabulary {theirs[:12]}, but "
                f"{self.vocabulary.path} is {self.vocabulary.hash[:12]}; give the folder beside "
                "the checkpoint with --vocab"
            )


def architecture_of(cfg):
    """Name of the model or architecture in a model's configuration; "" where it has none."""
    return getattr(cfg, "_name", None) or getattr(cfg, "arch", None) or ""


def check_options(cfg):
    """What can be known to be wrong before anything is read."""
    if not 0 < cfg.mask_prob <= 1:
        raise UserError(f"--mask-prob is {cfg.mask_prob}, must be above 0 and at most 1")
    if cfg.tokens_per_sample < 3:
        raise UserError(f"--tokens-per-sample is {cfg.tokens_per_sample}, must be at least 3")
    if not cfg.data:
        raise UserError("no data folder given; make one with preprocess/binarize.py")


def data_folders(data):
    """The folders of a ``:``-joined data argument. Raises :class:`UserError` for a missing one."""
    folders = [Path(folder) for folder in utils.split_paths(data)]
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{folder}: no such data folder; make it with preprocess/binarize.py")
    return folders


def find_vocabulary(override, folders):
    """The vocabulary of a run: ``--vocab``, else the folder ``vocab/`` in the data folder.

    A ``dict.txt`` beside the data must be the vocabulary's own, byte for byte.
    """
    vocabulary = Vocabulary.load(override or folders[0] / VOCAB_FOLDER)
    ours = sha256_file(vocabulary.path / "dict.txt")
    for folder in folders:
        beside = folder / "dict.txt"
        if beside.exists() and sha256_file(beside) != ours:
            raise UserError(
                f"{beside}: differs from {vocabulary.path / 'dict.txt'}, so its ids mean other "
                "tokens; binarize again with this vocabulary"
            )
    return vocabulary
