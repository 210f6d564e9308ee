"""Task ``prompt_finetuning``: a pretrained model learns to follow prompts, on a mixture of tasks."""

import hashlib
import json
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from fairseq.tasks import register_task
from omegaconf import II

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.files import read_json
from fairseq_metro.data.inference_dataset import SourceDataset
from fairseq_metro.data.length_batches import check_max_tokens
from fairseq_metro.data.mixture_sampling import MixtureSampler
from fairseq_metro.data.prompted_dataset import PromptedDataset
from fairseq_metro.data.prompted_files import STAMP, open_split, splits_of
from fairseq_metro.data.stock import dictionaries, files_hash, refuse_unknown_ids
from fairseq_metro.tasks.base import TextTask, TextTaskConfig
from fairseq_metro.tasks.choice_scores import SplitScores, choice_sums
from fairseq_metro.tasks.soft_prompts import (
    begin_soft_prompt,
    refuse_another_number,
    refuse_unfit_options,
    restored_soft_prompt,
)
from fairseq_metro.tasks.starting_models import refuse_foreign_checkpoint, refuse_unfit_model
from fairseq_metro.trainer import data_parallel
from fairseq_metro.trainer.workarounds import printed_briefly, whole_number
from fairseq_metro.vocabulary.folder import VOCAB_FOLDER, read_symbols

logger = logging.getLogger(__name__)

NAME = "prompt_finetuning"
TRAIN = "train"
EVALUATION_SEED = 0  # which rows of a capped task are validated on, in every run the same


@dataclass
class PromptFinetuningTaskConfig(TextTaskConfig):
    """Options of ``--task prompt_finetuning``."""

    data: str = field(
        default="",
        metadata={
            "help": "Folder of prompted pairs, written by fairseq-metro prompts, by "
            "fairseq-preprocess --source-lang SRC --target-lang TGT, or in the METRO-T0 "
            "authors' layout."
        },
    )
    max_source_length: int = field(
        default=512,
        metadata={"help": "Maximum number of source tokens, including <s> and </s>; longer "
                          "sources are truncated on the right (paper: 512)."},
    )  # fmt: skip
    max_target_length: int = field(
        default=256,
        metadata={"help": "Maximum number of tokens in a target or answer choice, including </s>; "
                          "longer targets are truncated on the right (paper: 256)."},
    )  # fmt: skip
    pack: bool = field(
        default=False,
        metadata={
            "help": "Pack several training examples into one row of the batch. They do not attend "
            "to each other and have their own positions (FLAN). Rows are then as long as "
            "the two length limits, and --batch-size counts rows."
        },
    )
    soft_prompt_tokens: int = field(
        default=0,
        metadata={
            "help": "Number of trainable vectors before the encoder's input; all other "
            "parameters, which come from --init-from, are frozen. The checkpoint holds "
            "these vectors and the path of the model (FLAN's soft-prompt tuning). With 0, "
            "the model is fine-tuned."
        },
    )
    # fairseq's own, to know or to refuse.
    max_tokens: Any = II("dataset.max_tokens")
    max_tokens_valid: Any = II("dataset.max_tokens_valid")
    train_subset: Any = II("dataset.train_subset")
    sentence_avg: Any = II("optimization.sentence_avg")
    finetune_from_model: Any = II("checkpoint.finetune_from_model")


@register_task(NAME, dataclass=PromptFinetuningTaskConfig)
class PromptFinetuningTask(TextTask):
    """Mixture in, batches of like lengths out; validation by loss and by rank classification.

    Sources are ``<s>`` tokens ``</s>``, targets tokens ``</s>``, the decoder starts with the
    vocabulary's role ``decoder_start`` (METRO-T0, section 5).
    """

    make_data = "fairseq-metro prompts"

    def __init__(self, cfg, vocabulary, stamps):
        super().__init__(cfg, vocabulary, stamps)
        self.split_scores = {}
        self.validated = None  # the split that was validated last

    # Options and folders

    @classmethod
    def check_options(cls, cfg):
        if cfg.max_source_length < 3:
            raise UserError(f"--max-source-length is {cfg.max_source_length}, must be at least 3")
        if cfg.max_target_length < 2:
            raise UserError(f"--max-target-length is {cfg.max_target_length}, must be at least 2")
        if cfg.sentence_avg is True:
            raise UserError("--sentence-avg: the loss is a mean over target tokens; leave it out")
        if isinstance(cfg.train_subset, str) and cfg.train_subset != TRAIN:
            raise UserError(
                f"--train-subset {cfg.train_subset}: the split that is trained on is called {TRAIN}"
            )
        super().check_options(cfg)
        folder = Path(cfg.data)
        needed = (folder / STAMP).is_file() or not dictionaries(folder)
        if folder.is_dir() and needed and not cfg.vocab and not (folder / VOCAB_FOLDER).is_dir():
            raise UserError(
                f"{folder / VOCAB_FOLDER}: no such folder; give the vocabulary that the data was "
                "made with by --vocab (fairseq-metro import-vocabulary makes it of the authors')"
            )

    @classmethod
    def read_stamp(cls, folder, vocabulary):
        path = folder / STAMP
        if not path.is_file():
            if splits_of(folder):
                return {"vocabulary": None, "data": files_hash(folder)}
            raise UserError(
                f"{folder}: no {STAMP} and no split in it, so no folder of prompted pairs; make "
                f"one with {cls.make_data}"
            )
        stamp = read_json(path)
        if not isinstance(stamp, dict) or not {"vocabulary", "splits"} <= stamp.keys():
            raise UserError(f"{path}: not a stamp of {cls.make_data}; build the data again")
        text = json.dumps(stamp["splits"], sort_keys=True)
        return {**stamp, "data": hashlib.sha256(text.encode()).hexdigest()}

    # Data

    def load_dataset(self, split, epoch=1, combine=False, **kwargs):
        """A split's tasks: by the mixture's rule in training, all up to their caps elsewhere."""
        mixture = open_split(self.cfg.data, split)
        self._check_lines(mixture)
        training = split == TRAIN
        sampler = self._sampler(mixture, training, split)
        dataset = PromptedDataset(
            mixture,
            sampler.epoch if training else _always(sampler.epoch(1)),
            name=split,
            source_prefix=self.vocabulary.source_prefix,
            pad=self.dictionary.pad(),
            eos=self.dictionary.eos(),
            decoder_start=self.decoder_start,
            max_source_length=self.cfg.max_source_length,
            max_target_length=self.cfg.max_target_length,
            seed=self.cfg.seed,
            shuffle=training,
            pack=training and self.cfg.pack,
            choices=not training,
        )
        most = whole_number(self.cfg.max_tokens)
        if training and most is not None:
            check_max_tokens(dataset.widest(), most)  # not in some later epoch
        dataset.set_epoch(epoch)
        self.datasets[split] = dataset
        self.split_scores[split] = SplitScores(split, mixture.tasks)
        rows = sum(task.rows for task in mixture.tasks)
        packed = f", packed into {len(dataset):,} rows" if dataset.pack else ""
        logger.info(
            f"{self.cfg.data}/{split}: {len(mixture.tasks)} tasks, {rows:,} examples, "
            f"{len(dataset.task):,} of them an epoch{packed}"
        )

    def _sampler(self, mixture, training, split):
        tasks = mixture.tasks
        rates = None
        if training and mixture.rule != "metro":
            rates = [task.rate for task in tasks]
        seed = self.cfg.seed if training else EVALUATION_SEED
        try:
            return MixtureSampler(
                [task.rows for task in tasks], [task.cap for task in tasks], rates, seed
            )
        except UserError as error:
            raise UserError(f"{self.cfg.data}/{split}: {error}") from None

    def _check_lines(self, mixture):
        """Lines of another vocabulary, or not of fairseq's making, do not end as ours do."""
        dictionary = next(iter(dictionaries(self.cfg.data)), None)
        unstamped = any(stamp["vocabulary"] is None for stamp in self.stamps)
        size = len(read_symbols(dictionary)) if unstamped else None
        for task in mixture.tasks:
            for lines in filter(None, (task.source, task.target, task.choices)):
                if len(lines.sizes) and lines.tokens[lines.sizes[0] - 1] != self.dictionary.eos():
                    raise UserError(f"{lines.prefix}: its first line does not end in </s>; "
                                    "build the data again")  # fmt: skip
                if unstamped:
                    refuse_unknown_ids(lines, size, dictionary)

    def max_positions(self):
        # One number: fairseq holds a source alone against the smaller of two.
        return self.cfg.max_source_length

    def build_dataset_for_inference(self, src_tokens, src_lengths, **kwargs):
        """Sources for generation as in training, cut to ``--max-source-length``."""
        prefix = self.vocabulary.source_prefix
        return SourceDataset(src_tokens, self.dictionary, prefix, self.cfg.max_source_length)

    def inference_step(self, generator, models, sample, prefix_tokens=None, constraints=None):
        """As fairseq's, but the decoder starts as it did in training."""
        return generator.generate(
            models,
            sample,
            prefix_tokens=prefix_tokens,
            constraints=constraints,
            bos_token=self.decoder_start,
        )

    # Model

    def build_model(self, cfg, from_checkpoint=False):
        model = super().build_model(cfg, from_checkpoint)
        return restored_soft_prompt(self, model, cfg) if from_checkpoint else model

    def check_model(self, cfg):
        refuse_unfit_model(self.architecture, cfg, self.cfg)
        refuse_unfit_options(self.cfg, cfg)
        refuse_foreign_checkpoint(self.cfg, self.vocabulary)

    def begin(self, model, cfg, resumed):
        if self.cfg.soft_prompt_tokens:
            return begin_soft_prompt(self, model, cfg, resumed)
        return super().begin(model, cfg, resumed)

    def check_restored(self, facts):
        super().check_restored(facts)
        refuse_another_number(self.cfg, facts)

    def build_criterion(self, cfg, from_checkpoint=False):
        if cfg._name != NAME:
            raise UserError(
                f"--criterion {cfg._name} is not for --task {NAME}; give --criterion {NAME}"
            )
        return super().build_criterion(cfg, from_checkpoint)

    # Validation

    def initially_validated(self):
        return [split for split in self.datasets if split != TRAIN]

    def valid_step(self, sample, model, criterion):
        """The criterion's numbers; these by task; and every choice scored, where there are any."""
        if "task" not in sample:  # a packed training split
            return super().valid_step(sample, model, criterion)
        model.eval()
        self.validated = sample["split"]
        scores = self.split_scores[self.validated]
        n_tasks = len(scores.tasks)
        with torch.no_grad():
            loss, sample_size, logging_output = criterion(model, sample, n_tasks=n_tasks)
        if "choices" in sample and scores.has_choices:
            sums = choice_sums(
                data_parallel.unwrapped(model),
                sample["choices"],
                n_tasks,
                pad=self.dictionary.pad(),
                decoder_start=self.decoder_start,
                max_tokens=whole_number(self.cfg.max_tokens_valid),
            )
            logging_output = {**logging_output, **sums}
        if not self.trains:
            logging_output = printed_briefly(logging_output)
        return loss, sample_size, logging_output

    def reduce_metrics(self, logging_outputs, criterion):
        super().reduce_metrics(logging_outputs, criterion)
        if "task_loss" in logging_outputs[0]:
            self.split_scores[self.validated].log(logging_outputs)

    def post_validate(self, model, stats, meters):
        """Called by fairseq-train after each validation, with the meters of the whole split."""
        self._write_scores(self.validated, meters, stats["num_updates"])

    def after_initial_validation(self, split, aggregate):
        self._write_scores(split, aggregate, 0)

    def _write_scores(self, split, meters, num_updates):
        scores = self.split_scores.get(split)
        if data_parallel.rank() == 0 and scores is not None and scores.logged(meters):
            scores.write(self.cfg.save_dir, meters, num_updates)


def _always(drawn):
    """The same examples in every epoch."""
    return lambda epoch: drawn
