"""Base class of all training tasks: vocabulary, model, precision, resuming, first validation."""

import logging
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fairseq.dataclass import FairseqDataclass
from fairseq.models import ARCH_MODEL_REGISTRY, MODEL_REGISTRY
from fairseq.tasks import FairseqTask
from omegaconf import II, OmegaConf, open_dict

from fairseq_metro import criterions, optim  # noqa: F401  they register options
from fairseq_metro.common.errors import UserError
from fairseq_metro.common.stamp import make_stamp
from fairseq_metro.data.inference_dataset import SourceDataset
from fairseq_metro.data.stock import dictionaries
from fairseq_metro.interchange.checkpoint_settings import guard_stock_loading
from fairseq_metro.interchange.init_from import initialize_from
from fairseq_metro.tasks.hydra_names import refuse_architecture_name
from fairseq_metro.tasks.initial_validation import InitialValidation
from fairseq_metro.tasks.not_finite import FiniteCheck
from fairseq_metro.tasks.resuming import epoch_batches, resumed_from
from fairseq_metro.tasks.run_vocabulary import find_vocabulary, symbols_and_text
from fairseq_metro.tasks.trainer_modes import check_trainer_modes
from fairseq_metro.trainer import data_parallel
from fairseq_metro.trainer.checkpoints import read_facts, repair_last
from fairseq_metro.trainer.master_weights import MasterWeights
from fairseq_metro.trainer.run_lock import claim_run
from fairseq_metro.trainer.workarounds import (
    copy_checkpoints_whole,
    end_if_finished,
    explain_fp16_overflow_on_cpu,
    own_dropout_stream,
    printed_briefly,
    refuse_independent_copies,
)
from fairseq_metro.vocabulary.folder import VOCAB_FOLDER

logger = logging.getLogger(__name__)
guard_stock_loading()
copy_checkpoints_whole()


@dataclass
class TextTaskConfig(FairseqDataclass):
    data: str = field(default="", metadata={"help": "Data folder."})
    vocab: str = field(
        default="",
        metadata={
            "help": "Vocabulary folder. Needed only if a checkpoint or data folder was moved "
            "without its own (default: DATA/vocab, or the dictionary of a folder written "
            "by fairseq-preprocess)."
        },
    )
    sentencepiece_model: str = field(
        default="",
        metadata={
            "help": "SentencePiece model that produced the pieces of a folder written by "
            "fairseq-preprocess. Training does not need it, but reading or writing text "
            "with the checkpoints does."
        },
    )
    init_from: str = field(
        default="",
        metadata={
            "help": "Initialize the parameters from this model: a run directory, a checkpoint, a "
            "checkpoint of the METRO-T0 authors or a Hugging Face folder. The optimizer "
            "state is not loaded. Ignored when --save-dir holds a checkpoint to resume "
            "from."
        },
    )
    no_initial_validation: bool = field(
        default=False,
        metadata={"help": "Do not validate before the first update of a run."},
    )
    seed: int = II("common.seed")
    save_dir: str = II("checkpoint.save_dir")
    restore_file: str = II("checkpoint.restore_file")
    no_save: bool = II("checkpoint.no_save")
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
    max_update: Any = II("optimization.max_update")
    update_freq: Any = II("optimization.update_freq")


class TextTask(FairseqTask):
    """Base of the tasks; evaluation and generation read the same folders.

    A task adds ``load_dataset``, and the checks of its own options and of its data's stamp.
    """

    make_data = "fairseq-metro binarize"  # what makes a data folder, for messages
    # What to say of a folder of fairseq-preprocess.
    unchecked = "no stamp, so nothing tells that its files belong together and are complete"

    def __init__(self, cfg, vocabulary, stamps):
        super().__init__(cfg)
        self.vocabulary, self.stamps = vocabulary, stamps
        self.dictionary = vocabulary.dictionary()
        self.decoder_start = vocabulary.index("decoder_start")
        self.pretraining_decoder_start = vocabulary.index("pretraining_decoder_start")
        self.architecture = ""
        self.master_weights, self.finite = MasterWeights(), FiniteCheck(cfg)
        self.initial_validation = InitialValidation(self, enabled=not cfg.no_initial_validation)
        self.trains = False  # until an epoch begins; fairseq-validate has none
        self.resumed = None  # what the checkpoint that a run goes on from says of its batches

    @property
    def source_dictionary(self):
        return self.dictionary

    @property
    def target_dictionary(self):
        return self.dictionary

    @classmethod
    def setup_task(cls, cfg, **kwargs):
        refuse_independent_copies()
        cls.check_options(cfg)
        folders = cls.data_folders(cfg.data)
        restored = kwargs.get("from_checkpoint", False)
        models = cls.models_with_vocabularies(cfg)
        vocabulary = find_vocabulary(cfg, folders, models, restored=restored)
        stamps = []
        for folder in filter(dictionaries, folders):  # a run's folder has none, nor data
            if restored and not any(folder.rglob("*.idx")):
                continue  # what was exported from a run: a checkpoint and its dictionary
            stamp = cls.read_stamp(folder, vocabulary)
            if stamp is None:
                continue
            if stamp["vocabulary"] not in (None, vocabulary.hash):
                raise UserError(
                    f"{folder}: its data was made with vocabulary {stamp['vocabulary'][:12]}, but "
                    f"{vocabulary.path} is {vocabulary.hash[:12]}; give the folder it was made "
                    "with, or make the data again"
                )
            stamps.append(stamp)
        if data_parallel.rank() == 0 and any(stamp["vocabulary"] is None for stamp in stamps):
            logger.info(f"{cfg.data}: {cls.unchecked}")
        return cls(cfg, vocabulary, stamps)

    @classmethod
    def models_with_vocabularies(cls, cfg):
        """Paths of models whose vocabulary may be that of data that has none of its own."""
        return [cfg.init_from]

    @classmethod
    def check_options(cls, cfg):
        """Raise :class:`UserError` for errors that can be detected before anything is read."""
        if not cfg.data:
            raise UserError(f"no data folder given; make one with {cls.make_data}")

    @classmethod
    def data_folders(cls, data):
        """The folders of a data argument. Raises :class:`UserError` for a missing one."""
        folders = [Path(folder) for folder in cls.split_data(data)]
        for folder in folders:
            if not folder.is_dir():
                raise UserError(f"{folder}: no such data folder; make it with {cls.make_data}")
        return folders

    @staticmethod
    def split_data(data):
        """The data argument as a list of folders."""
        return [data]

    @classmethod
    def read_stamp(cls, folder, vocabulary):
        """A data folder's stamp, a dict with ``vocabulary`` and ``data``; None where it has none.

        ``vocabulary`` is None where fairseq-preprocess made the data. vocabulary: the run's.
        """
        raise TypeError(f"{cls.__name__} must define read_stamp")

    def build_dataset_for_inference(self, src_tokens, src_lengths, **kwargs):
        """Sources for generation: ``<s>`` tokens ``</s>``, right-padded."""
        return SourceDataset(src_tokens, self.dictionary, self.vocabulary.source_prefix)

    def build_bpe(self, args):
        """The vocabulary folder's own tokenizer, whatever --bpe says; fairseq's where it has none."""
        if not self.vocabulary.has_tokenizer and getattr(args, "_name", None):
            return super().build_bpe(args)
        return symbols_and_text(self.vocabulary)

    # Model and training

    def build_model(self, cfg, from_checkpoint=False):
        self.architecture = architecture_of(cfg)
        if from_checkpoint:
            self._resolve_decoder_starts(cfg)
            return super().build_model(cfg, from_checkpoint)
        refuse_architecture_name(self.architecture)
        self._resolve_decoder_starts(cfg)
        check_trainer_modes(self.cfg)
        self.check_model(cfg)
        resumed = self._look_at_restored_checkpoint()
        if resumed:
            self.resumed = resumed_from(resumed, self.cfg, cfg, self._has_other_data(resumed))
        model = super().build_model(cfg, from_checkpoint)
        return self.begin(model, cfg, resumed)

    def begin(self, model, cfg, resumed):
        """The model that training begins with, ``model`` having been built from ``cfg``; resumed:
        :func:`~fairseq_metro.trainer.checkpoints.read_facts` of the checkpoint it goes on from."""
        if self.cfg.init_from and resumed:
            logger.info(f"--init-from {self.cfg.init_from}: not read, the run is resumed")
        elif self.cfg.init_from:
            self.initialize(model, cfg)
        return model

    def check_model(self, cfg):
        """Raise :class:`UserError` where a model's configuration does not suit the task."""

    def initialize(self, model, cfg):
        """Initialize a model just built from ``cfg`` from ``--init-from``."""
        initialize_from(model, cfg, self.vocabulary, self.cfg.init_from)

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
            setattr(self, stage, self.dictionary.index(symbol))

    def _look_at_restored_checkpoint(self):
        """Before fairseq loads it: mend a half-copied file, refuse another vocabulary.

        Returns its facts, or None where there is none.
        """
        self.vocabulary.refuse_another_in(Path(self.cfg.save_dir) / VOCAB_FOLDER)
        path = repair_last(self.cfg.save_dir, self.cfg.restore_file)
        if path is None or not path.exists():
            return None
        facts = read_facts(path)
        self.check_restored(facts)
        return facts

    def check_restored(self, facts):
        """Raise :class:`UserError` where the run cannot go on from a checkpoint's facts."""
        kind, own = (facts["cfg"].get("task") or {}).get("_name"), self.cfg._name
        if kind != own:
            raise UserError(
                f"{facts['path']}: a checkpoint of --task {kind}, which {own} cannot go on from; "
                "begin with its parameters by --init-from, and another --save-dir"
            )
        state = facts["task_state"]
        restored = state.get("stamp", {}).get("vocabulary", self.vocabulary.hash)
        if restored != self.vocabulary.hash:
            raise UserError(
                f"{facts['path']}: trained with vocabulary {restored[:12]}, but "
                f"{self.vocabulary.path} is {self.vocabulary.hash[:12]}; give the data it was "
                "trained on, or another --save-dir"
            )
        self.initial_validation.values = state.get("initial_validation", {})

    def _has_other_data(self, facts):
        """Whether the stamps say that the checkpoint was trained on other data."""
        then = facts["task_state"].get("stamp", {}).get("data", [])
        now = [stamp["data"] for stamp in self.stamps]
        return bool(then and now and then != now)

    def build_criterion(self, cfg, from_checkpoint=False):
        self.criterion = super().build_criterion(cfg, from_checkpoint)
        return self.criterion

    def get_batch_iterator(self, dataset, **kwargs):
        """fairseq's, but one that can go on with other batches or on other processes."""
        if dataset is self.datasets.get("train"):
            self.initial_validation.batching = dict(kwargs)
        uncached = [kwargs.pop("disable_iterator_cache", False)]
        uncached.append(kwargs.pop("update_epoch_batch_itr", False))
        if any(uncached) or not self.can_reuse_epoch_itr(dataset):
            return epoch_batches(self, dataset, resumed=self.resumed, **kwargs)
        if dataset not in self.dataset_to_epoch_iter:
            iterator = epoch_batches(self, dataset, resumed=self.resumed, **kwargs)
            self.dataset_to_epoch_iter[dataset] = iterator
        return self.dataset_to_epoch_iter[dataset]

    def begin_epoch(self, epoch, model):
        super().begin_epoch(epoch, model)
        self.trains = True
        if data_parallel.rank() == 0 and not self.cfg.no_save:
            claim_run(self.cfg.save_dir)
        self.finite.epoch = epoch
        self.initial_validation.run_once(model)

    def valid_step(self, sample, model, criterion):
        loss, sample_size, output = super().valid_step(sample, model, criterion)
        return loss, sample_size, output if self.trains else printed_briefly(output)

    def initially_validated(self):
        """Names of the splits that are validated before the first update."""
        return [name for name in self.datasets if name.startswith("valid")][:1]

    def after_initial_validation(self, split, aggregate):
        """Called with the meters of each split that was validated before the first update."""

    def train_step(self, sample, model, criterion, optimizer, update_num, **kwargs):
        end_if_finished(update_num, self.cfg.max_update)
        own_dropout_stream(self.cfg.seed, update_num, data_parallel.rank())
        explain_fp16_overflow_on_cpu(optimizer)
        self.master_weights.follow(model, optimizer)
        self.finite.watch(model, criterion, optimizer, update_num)
        loss, sample_size, output = super().train_step(
            sample, model, criterion, optimizer, update_num, **kwargs
        )
        if kwargs.get("ignore_grad"):  # a batch in the place of an empty one: it counts for nothing
            return loss, 0, {name: value * 0 for name, value in output.items()}
        self.finite.note(sample, loss)
        return loss, sample_size, output

    def state_dict(self):
        """The origin of a checkpoint. fairseq asks for it when it saves, and the
        vocabulary is copied beside the checkpoint then, so that a run's folder needs no other."""
        self.finite.refuse_to_save()
        if data_parallel.rank() == 0:
            self.vocabulary.copy_to(Path(self.cfg.save_dir) / VOCAB_FOLDER)
        stamp = make_stamp(
            vocabulary=self.vocabulary.hash, data=[stamp["data"] for stamp in self.stamps]
        )
        return {"stamp": stamp, "initial_validation": self.initial_validation.values}

    def load_state_dict(self, state_dict):
        restored = state_dict.get("stamp", {}).get("vocabulary", self.vocabulary.hash)
        if restored != self.vocabulary.hash:
            raise UserError(
                f"the checkpoint was trained with vocabulary {restored[:12]}, but "
                f"{self.vocabulary.path} is {self.vocabulary.hash[:12]}; give the folder beside "
                "the checkpoint with --vocab"
            )


def architecture_of(cfg):
    """Name of the model or architecture in a model's configuration; "" where it has none."""
    return getattr(cfg, "_name", None) or getattr(cfg, "arch", None) or ""
