"""Blocks of consecutive tokens, cut from lines and documents of an indexed file.

Every line of the file ends in ``</s>``; a line of one token (``</s>`` alone) separates documents.
A block is a range of the flat token array, so it is stored as two numbers and read without copies.
"""

from dataclasses import dataclass

import numpy as np

BREAK_MODES = ("none", "complete", "complete_doc", "eos")
LONG_LINES = ("split", "crop", "drop")


@dataclass(frozen=True)
class Blocks:
    """Ranges of a flat token array: ``starts`` (int64, (N,)) and ``lengths`` (int32, (N,)).

    slack (int64, (N,)): by how many tokens a block may start later, to crop a long line at random.
    counts: statistics for the log: lines, documents, long_lines (split at the
    limit), tokens (in blocks), dropped_tokens (separators, one-token remains, long lines).
    """

    starts: np.ndarray
    lengths: np.ndarray
    slack: np.ndarray
    counts: dict

    def __len__(self):
        return len(self.starts)


def cut_blocks(sizes, limit, mode, long_lines="split", keep_single=False):
    """Cut lines of ``sizes`` tokens into blocks of at most ``limit`` tokens.

    mode: ``none`` cuts the whole stream every ``limit`` tokens; ``complete`` packs whole lines
    while they fit; ``complete_doc`` does so within a document and leaves separators out; ``eos``
    makes a block of each line. A line longer than ``limit`` is split at the limit first; or it is
    one block, of which ``limit`` tokens are read (``crop``); or left out (``drop``). A block of one
    token is left out, but keep_single keeps it in every mode except ``complete_doc``.

    >>> blocks = cut_blocks(np.array([3, 4, 1, 9]), 8, "complete_doc")
    >>> blocks.starts.tolist(), blocks.lengths.tolist()
    ([0, 8], [7, 8])
    """
    if mode not in BREAK_MODES:
        raise ValueError(f"sample_break_mode is {mode!r}, must be one of {', '.join(BREAK_MODES)}")
    if long_lines not in LONG_LINES:
        raise ValueError(f"long_lines is {long_lines!r}, must be one of {', '.join(LONG_LINES)}")
    sizes = np.asarray(sizes, dtype=np.int64)
    total = int(sizes.sum())
    if mode == "none":
        starts = np.arange(0, total, limit, dtype=np.int64)
        lengths = np.minimum(limit, total - starts)
    else:
        pieces = _split_long(sizes, limit if long_lines == "split" else max(total, 1))
        starts, lengths = _pack(*pieces, limit, mode)
    slack = np.maximum(lengths - limit, 0)
    single = keep_single and mode != "complete_doc"
    keep = ((lengths > 1) | single) & ((slack == 0) | (long_lines != "drop"))
    starts, lengths, slack = starts[keep], (lengths - slack)[keep].astype(np.int32), slack[keep]
    separators = sizes == 1
    tokens = int(lengths.sum(dtype=np.int64))
    counts = {
        "lines": int(len(sizes) - separators.sum()),
        "documents": _count_documents(separators),
        "long_lines": int((sizes > limit).sum()),
        "tokens": tokens,
        "dropped_tokens": total - tokens,
    }
    return Blocks(starts, lengths, slack, counts)


def _count_documents(separators):
    """Runs of lines between separators."""
    inside = np.concatenate([[False], ~separators])
    return int((inside[1:] & ~inside[:-1]).sum())


def _split_long(sizes, limit):
    """Lines as pieces of at most ``limit`` tokens: begin and end of each, and is it a separator."""
    parts = np.maximum(-(-sizes // limit), 1)
    line_ends = np.cumsum(sizes)
    first = np.cumsum(parts) - parts
    within = np.arange(int(parts.sum()), dtype=np.int64) - np.repeat(first, parts)
    begins = np.repeat(line_ends - sizes, parts) + within * limit
    ends = np.minimum(begins + limit, np.repeat(line_ends, parts))
    return begins, ends, np.repeat(sizes == 1, parts)


def _pack(begins, ends, separator, limit, mode):
    """Greedy packing of consecutive pieces; returns starts and lengths of the blocks."""
    if mode == "eos":
        return begins, ends - begins
    n = len(begins)
    index = np.arange(n)
    stop = np.searchsorted(ends, begins + limit, side="right")  # first piece that does not fit
    stop = np.maximum(stop, index + 1)  # a line that is to be cropped stands alone
    if mode == "complete_doc":
        stop = np.minimum(stop, _next_true(separator)[:n])
        after = _next_true(~separator)  # a block starts at a piece that is no separator
    else:
        after = np.append(index, n)
    # Blocks follow one another by pointers, so the loop runs once per block, not per line.
    follow = after[stop]
    starts, i = [], int(after[0])
    while i < n:
        starts.append(i)
        i = int(follow[i])
    starts = np.array(starts, dtype=np.int64)
    return begins[starts], ends[stop[starts] - 1] - begins[starts]


def _next_true(flags):
    """For each i in 0..len: the smallest j >= i with flags[j], or len; one entry more than flags."""
    n = len(flags)
    where = np.where(np.append(flags, True), np.arange(n + 1), n)
    return np.minimum.accumulate(where[::-1])[::-1]
