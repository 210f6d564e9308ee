"""Batches of a data folder on which models are compared, and the decoder's loss on them.

On a folder of prompted pairs, METRO-T0's way, every run gets the same pairs. On a folder of text
every run gets its own pretraining input (X^noise, or spans behind sentinels), and the loss is that
of its decoder alone, CLM or LM: MLM and RTD train parameters that fine-tuning leaves behind.
"""

import argparse
from itertools import islice
from pathlib import Path

from fairseq import utils

from fairseq_metro.analysis.figures.steps import load_step
from fairseq_metro.common.errors import UserError
from fairseq_metro.criterions.metro_t5 import MetroT5Criterion
from fairseq_metro.criterions.prompt_finetuning import PromptFinetuningCriterion
from fairseq_metro.data.prompted_files import STAMP, splits_of
from fairseq_metro.inference.loading import choose_device
from fairseq_metro.tasks.prompt_finetuning import PromptFinetuningTask, PromptFinetuningTaskConfig

SEED = 1  # of the order of the batches, in every run the same
LONGEST = (512, 256)  # source and target of prompted pairs (METRO-T0, table 6)


def add_arguments(parser):
    """The options of a figure that reads checkpoints over a data folder."""
    parser.add_argument(
        "runs", nargs="+", metavar="LABEL=RUN", help="Run directories or checkpoint files."
    )
    add_data_options(
        parser, required=True, split="train",
        help="Data folder of prompted pairs (paper) or of text.",
    )  # fmt: skip


def add_data_options(parser, required, split, help):
    """Add the options that select the data, its amount and the checkpoints."""
    parser.add_argument("--data", type=Path, required=required, help=help)
    parser.add_argument("--split", default=split,
        help="Split of the data to use (default: %(default)s).")  # fmt: skip
    parser.add_argument(
        "--updates",
        type=int,
        nargs="+",
        help="Plot only the checkpoints at these updates; 0 is the initial model.",
    )
    parser.add_argument(
        "--batches", type=whole_number, default=50,
        help="Number of batches sampled from the split; 0 uses all of it (default: %(default)s).",
    )  # fmt: skip
    parser.add_argument(
        "--max-tokens", type=whole_number, default=4096,
        help="Maximum number of tokens in a padded batch (default: %(default)s).",
    )  # fmt: skip
    parser.add_argument("--device", help="Device: cpu, cuda, ... (default: a GPU if there is one).")


def whole_number(text):
    """Parse a whole number."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number")
    return int(text)


class Subject:
    """A model in evaluation mode with its examples.

    ``model``; ``pad``; ``criterion``; :meth:`batches`; :meth:`loss`.
    """

    def __init__(self, model, task, criterion, args):
        self.device = choose_device(args.device)
        self.model, self.task, self.criterion = model.to(self.device), task, criterion
        self.pad, self.args = task.source_dictionary.pad(), args
        task.load_dataset(args.split)

    def batches(self):
        """The samples, on the device, one in memory at a time."""
        itr = self.task.get_batch_iterator(
            self.task.datasets[self.args.split],
            max_tokens=self.args.max_tokens,
            seed=SEED,
            disable_iterator_cache=True,
        ).next_epoch_itr(shuffle=True)
        for sample in islice(itr, self.args.batches or None):
            yield utils.move_to_cuda(sample, self.device) if self.device.type != "cpu" else sample

    def loss(self, sample):
        """(decoder's loss () summed over tokens, in nats, with its graph; number of tokens)."""
        if isinstance(self.criterion, MetroT5Criterion):
            losses = self.criterion.clm(self.model(**sample["net_input"]), sample)
            return losses.loss, len(losses.correct)
        loss, tokens, _ = self.criterion(self.model, sample)
        return loss, tokens

    def real(self, sample):
        """Where the two inputs are no padding: dict of stack -> bool (B, T), (B, S)."""
        return {
            "encoder": sample["net_input"]["src_tokens"].ne(self.pad),
            "decoder": sample["target"].ne(self.pad),
        }

    def main_parameters(self):
        """(name, parameter) of all that fine-tuning keeps: no auxiliary model, no heads of RTD."""
        left = ("auxiliary.", "rtd_head.", "mlm_head.", "clm_head.")
        return [(n, p) for n, p in self.model.named_parameters() if not n.startswith(left)]


def subject_of(step, args):
    """The :class:`Subject` of a step. Raises :class:`UserError` for data of another kind."""
    if (args.data / STAMP).is_file() or splits_of(args.data):
        return _on_prompts(step, args)
    return on_text(step, args)


def _on_prompts(step, args):
    model, cfg, _, vocabulary = load_step(step)
    positions = model.max_positions()
    most = positions if isinstance(positions, tuple) else (positions, positions)
    source, target = (min(longest, limit) for longest, limit in zip(LONGEST, most, strict=True))
    options = PromptFinetuningTaskConfig(
        data=str(args.data), vocab=str(vocabulary.path), seed=SEED, train_subset="train",
        max_source_length=source, max_target_length=target,
    )  # fmt: skip
    task = PromptFinetuningTask.setup_task(options)
    symbol = cfg.model.get("decoder_start") or vocabulary.roles["decoder_start"]
    task.decoder_start = vocabulary.indices[symbol]
    return Subject(model, task, PromptFinetuningCriterion(task, 0.0), args)


def on_text(step, args):
    """The :class:`Subject` of a step on its own pretraining task."""
    model, cfg, task, _ = load_step(step, args.data, whole=True)
    if cfg.task._name not in ("metro_t5", "t5"):
        raise UserError(
            f"{args.data} is a folder of text, but {step.path} was trained by --task "
            f"{cfg.task._name}; give a folder of prompted pairs"
        )
    return Subject(model, task, task.build_criterion(cfg.criterion), args)
