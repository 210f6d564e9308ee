"""What stock fairseq does and we cannot live with: one function each, called by the task.

Two more live beside what they belong to: :mod:`fairseq_metro.checkpoints` mends a truncated
``checkpoint_last.pt``; :mod:`fairseq_metro.errors` makes Hydra print a user's error as one line.
"""

import os

import numpy as np
import torch
import torch.distributed as dist

from fairseq_metro.errors import UserError


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
