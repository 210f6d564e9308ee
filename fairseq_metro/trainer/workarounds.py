"""Workarounds for stock fairseq, one function each, called by the task.

Three more live beside what they belong to: :mod:`fairseq_metro.trainer.master_weights` lets
``--fp16`` and ``--bf16`` resume exactly; :mod:`fairseq_metro.trainer.checkpoints` mends a truncated
``checkpoint_last.pt``; :mod:`fairseq_metro.common.errors` makes Hydra print a user's error as one line.
"""

import importlib.util
import logging
import os
import shutil
from argparse import Namespace

import numpy as np
import torch
import torch.distributed as dist
from fairseq.file_io import PathManager
from omegaconf import OmegaConf

from fairseq_metro.common.errors import UserError

logger = logging.getLogger(__name__)


def undo_tpu_of_bf16(args):
    """Let ``--bf16`` mean bfloat16 on a GPU or CPU; to be called by an architecture.

    Stock ``fairseq-train`` turns ``--bf16`` (and ``--memory-efficient-bf16``) into ``--tpu``, with
    which the trainer asks torch_xla for its device and dies where there is none, GPU or not;
    ``fairseq-hydra-train`` does not. An architecture's function is the only code of a plugin that
    runs after that line and before the options become a config. Changes args, an
    ``argparse.Namespace``; a config (fairseq calls the function again when it builds the model) is
    left alone, and so is a machine with torch_xla.
    """
    if isinstance(args, Namespace) and getattr(args, "bf16", False) and not has_xla():
        args.tpu = False


def load_on_every_rank(args):
    """Let every process read the checkpoint that a run goes on from; called by an architecture.

    By default rank 0 reads it and sends it to the others as a pickle, in which fairseq has put an
    OmegaConf configuration: weights-only loading refuses that, so no run of several processes could
    be resumed. A config, with which fairseq calls the function again, is left alone.
    """
    if isinstance(args, Namespace):
        args.load_checkpoint_on_all_dp_ranks = True


def adjust(args):
    """Apply every change that an architecture makes to the trainer's options."""
    undo_tpu_of_bf16(args)
    load_on_every_rank(args)


def has_xla():
    """Whether torch_xla, fairseq's way to a TPU, is installed."""
    return importlib.util.find_spec("torch_xla") is not None


def explain_fp16_overflow_on_cpu(optimizer):
    """Let a gradient beyond float16's range end training on a CPU in one line, with the remedy.

    Stock fairseq halves its loss scale then and leaves the update out, but writes the gradient's
    norm onto a GPU while doing so: where there is none, it dies by "Torch not compiled with CUDA
    enabled". optimizer: fairseq's; only one that scales the loss is changed, and once.
    """
    scaler = getattr(optimizer, "scaler", None)
    stock = getattr(scaler, "check_overflow", None)
    if stock is None or torch.cuda.is_available() or hasattr(stock, "explains"):
        return

    def check_overflow(grad_norm):
        scale = scaler.loss_scale
        try:
            stock(grad_norm)
        except OverflowError as error:
            raise UserError(
                f"a gradient is beyond float16's range at a loss scale of {scale:g}, and fairseq "
                "can leave an update out on a GPU only; give --bf16 instead of float16, or begin "
                "with a smaller --fp16-init-scale and a larger --fp16-scale-window"
            ) from error

    check_overflow.explains = True
    scaler.check_overflow = check_overflow


def refuse_independent_copies():
    """Stop where a launcher started several processes that do not know of each other.

    Stock fairseq on a CPU takes a world size of 1 by default and looks at no launcher's environment
    then, so ``torchrun --nproc-per-node 2 fairseq-train ...`` runs two whole trainings that write
    the same save-dir, and ends with status 0.

    Raises :class:`UserError` where ``WORLD_SIZE`` is above 1 and ``RANK`` or ``LOCAL_RANK`` is set,
    as by torchrun, and torch.distributed is not initialized (fairseq does that before the task).
    """
    size = os.environ.get("WORLD_SIZE", "1")
    several = size.isdecimal() and int(size) > 1
    ranked = "RANK" in os.environ or "LOCAL_RANK" in os.environ
    if several and ranked and not (dist.is_available() and dist.is_initialized()):
        raise UserError(
            f"WORLD_SIZE={size}, but the {size} processes would train independent copies and write "
            "the same save-dir; start them with train_scripts/launch.sh, or give each one "
            "--distributed-world-size $WORLD_SIZE --distributed-rank $RANK "
            "--distributed-init-method env:// --distributed-no-spawn and, on CPUs, "
            "--distributed-backend gloo --ddp-backend legacy_ddp; for one process unset WORLD_SIZE"
        )


def copy_checkpoints_whole():
    """Let a checkpoint that fairseq copies take its place whole, by a rename (once).

    Of the checkpoints that are due, stock fairseq writes the first under another name and renames
    it, and copies it over the others in place, ``checkpoint_last.pt`` among them: who reads that
    file during the copy gets half of it, and so does who finds it after a kill.
    """
    stock = PathManager.copy
    if hasattr(stock, "whole"):
        return

    def copy(src_path, dst_path, overwrite=False):
        if PathManager.path_requires_pathmanager(str(dst_path)):
            return stock(src_path, dst_path, overwrite)
        temporary = f"{dst_path}.tmp"
        shutil.copyfile(src_path, temporary)
        os.replace(temporary, dst_path)
        return True

    copy.whole = True
    PathManager.copy = staticmethod(copy)


def own_dropout_stream(seed, update_num, rank):
    """Give a rank above 0 dropout masks of its own; to be called before each forward pass.

    Stock fairseq seeds torch with seed + update_num before each update, on every rank alike, so
    that rows at the same place in each rank's batch drop the same units: fewer independent masks
    than the batch has rows. Neighbouring seeds would not do for ranks either: rank 1 would repeat
    at update t what rank 0 draws at t + 1.

    seed: ``common.seed``. update_num: the trainer's, as ``train_step`` gets it. rank: of the data
    parallel group. Rank 0 keeps the stock stream, so one process trains as in stock fairseq. Only
    the stock seed is replaced, hence once per update: later micro-batches draw on.
    """
    if rank == 0 or torch.initial_seed() != (seed + update_num) % 2**64:
        return
    entropy = [seed % 2**64, update_num, rank]
    mixed = np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0]
    torch.manual_seed(int(mixed >> np.uint64(1)))  # CPU and all CUDA devices; no wait for either


def whole_config(cfg):
    """The configuration that a task's is a section of, as a plain dict; {} where it stands alone.

    fairseq hands a task its own section, whose interpolations read the others through its parent.
    """
    root = cfg._get_root() if OmegaConf.is_config(cfg) else cfg
    if root is cfg:
        return {}
    return OmegaConf.to_container(root, resolve=True, enum_to_str=True)


def whole_number(option):
    """An option of the trainer's as int, or None: the command line hands it over as text.

    >>> whole_number("5120"), whole_number(5120), whole_number(None), whole_number("None")
    (5120, 5120, None, None)
    """
    return int(option) if str(option).isdecimal() else None


def end_if_finished(update_num, max_update):
    """End the process, with status 0, before an update that ``--max-update`` does not allow.

    Stock ``fairseq-train`` looks only after an update: begun again after its last one, by a script
    that was killed between training and what comes next, it makes one more each time.
    """
    if 0 < (whole_number(max_update) or 0) <= update_num:
        logger.info(f"nothing left to do: the run has made its {update_num} updates (--max-update)")
        raise SystemExit(0)


class Counts(torch.Tensor):
    """A tensor of which a progress bar of fairseq's prints the number of its elements alone."""

    def tolist(self):
        return f"({self.numel()} numbers)"


def printed_briefly(logging_output):
    """A logging output whose tensors of several numbers are :class:`Counts`; the sums are the same.

    Stock ``fairseq-validate`` prints what each batch logs, all numbers of a tensor in one line:
    20 kB for a histogram. ``fairseq-train`` sums first and prints only the metrics.
    """
    return {
        name: value.as_subclass(Counts) if torch.is_tensor(value) and value.numel() > 1 else value
        for name, value in logging_output.items()
    }
