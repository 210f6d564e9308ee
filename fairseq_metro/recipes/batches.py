"""The batches of an update: how its tokens are distributed, and how full they are."""

from dataclasses import dataclass

import numpy as np

from fairseq_metro.common.errors import UserError
from fairseq_metro.data.blocks import cut_blocks
from fairseq_metro.data.indexed import IndexedTokens

LINES_LOOKED_AT = 2_000_000
MULTIPLE = 8  # --required-batch-size-multiple, fairseq's default


@dataclass(frozen=True)
class Batches:
    """``processes`` x ``accumulate`` batches of at most ``tokens`` tokens make an update."""

    processes: int
    tokens: int
    accumulate: int

    @property
    def update(self):
        return self.processes * self.tokens * self.accumulate


def share_out(row, processes, tokens=None, most=None):
    """Batches of an update of ``row.update`` tokens over ``processes``.

    tokens: those of one batch; not given: as many as divide the update, at most ``most``
    (default ``row.micro_batch``), in whole blocks. Raises :class:`UserError` where nothing divides.
    """
    if processes < 1:
        raise UserError(f"PROCESSES is {processes}, must be at least 1")
    if tokens is None:
        blocks, rest = divmod(row.update, row.length * processes)
        if rest or blocks == 0:
            raise UserError(
                f"{processes} processes cannot share an update of {row.update} tokens in blocks of "
                f"{row.length}; take a number of processes that divides {row.update // row.length}"
            )
        most = row.micro_batch if most is None else most
        fitting = [n for n in range(1, blocks + 1) if blocks % n == 0 and n * row.length <= most]
        if not fitting:
            raise UserError(
                f"a block of {row.length} tokens is more than the {most} tokens that fit; give "
                "TOKENS to try all the same, or a GPU with more memory"
            )
        tokens = fitting[-1] * row.length
    elif tokens < row.length:
        raise UserError(
            f"TOKENS x PROCESSES = {tokens} x {processes} must divide {row.update}, the tokens of "
            f"an update, and TOKENS hold a block of {row.length}"
        )
    accumulate = row.update // (tokens * processes)
    if accumulate * tokens * processes != row.update:
        raise UserError(
            f"TOKENS x PROCESSES = {tokens} x {processes} must divide {row.update}, the tokens of "
            "an update"
        )
    return Batches(processes, tokens, accumulate)


def share_sequences(row, processes, batch=None, tokens=None):
    """Batches of an update of ``row.sequences`` sequences over ``processes``; ``tokens`` of the
    result count sequences.

    batch: sequences of one batch; not given: the most that divide the update, at most
    ``row.micro_batch``, or as many of ``row.width`` as there are ``tokens``. Raises
    :class:`UserError` where nothing divides.
    """
    of_each, rest = divmod(row.sequences, processes)
    if rest:
        raise UserError(
            f"{processes} processes cannot share an update of {row.sequences:,} sequences; take a "
            f"number of processes that divides {row.sequences}"
        )
    if batch is None:
        most = row.micro_batch if tokens is None else tokens // row.width
        fitting = [n for n in range(1, of_each + 1) if of_each % n == 0 and n <= most]
        if not fitting:
            raise UserError(
                f"TOKENS is {tokens}, but a sequence of full length has {row.width}; give at least "
                "that"
            )
        batch = fitting[-1]
    elif tokens is not None:
        raise UserError("BATCH and TOKENS both say how large a batch is; give one of them")
    elif of_each % batch:
        raise UserError(
            f"BATCH x PROCESSES = {batch} x {processes} must divide {row.sequences}, the sequences "
            "of an update"
        )
    return Batches(processes, batch, of_each // batch)


def batch_sizes(lengths, tokens, multiple=MULTIPLE):
    """How fairseq cuts blocks, ascending ``lengths`` (N,), into batches: number of blocks of each.

    A batch of n blocks takes n times its longest; beyond ``multiple`` blocks only multiples of it.

    >>> batch_sizes([10] * 20 + [100], 130)
    [8, 8, 4, 1]
    """
    sizes, start, total = [], 0, len(lengths)
    while start < total:
        low, high = 1, total - start  # the largest n with n * (its longest) <= tokens
        while low < high:
            n = (low + high + 1) // 2
            low, high = (n, high) if n * lengths[start + n - 1] <= tokens else (low, n - 1)
        size = low if low < multiple else low - low % multiple
        sizes.append(size)
        start += size
    return sizes


def real_tokens(folder, length, batches):
    """Average real tokens of an update on a data folder's first ``LINES_LOOKED_AT`` lines.

    Blocks end at documents and lines, so a batch of at most ``batches.tokens`` holds fewer; batches
    are counted as fairseq makes them. Returns (tokens of a block, tokens of an update).
    """
    sizes = IndexedTokens(f"{folder}/train").sizes[:LINES_LOOKED_AT]
    blocks = cut_blocks(sizes, length - 1, "complete_doc")
    if len(blocks) == 0:
        raise UserError(f"{folder}/train.bin: no block of text in it; binarize a real corpus")
    lengths = np.sort(blocks.lengths + 1)
    total = float(lengths.sum(dtype=np.int64))
    number = len(batch_sizes(lengths.tolist(), batches.tokens))
    return total / len(lengths), total / number * batches.accumulate * batches.processes
