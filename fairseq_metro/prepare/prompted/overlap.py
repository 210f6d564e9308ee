"""Evaluation rows with the same text as a training row, detected by hash, counted per data set."""

from pathlib import Path

import numpy as np

from fairseq_metro.common.errors import UserError

HASHES = "row_hashes.npy"  # in a split's folder: (rows,) uint64, data sets in order
BLOCK = 1 << 22
EMPTY_BYTES = 128  # of an .npy file without rows


def load_hashes(folder):
    """The hashes of a split's rows, memory-mapped. Raises :class:`UserError`."""
    path = Path(folder) / HASHES
    try:
        mapped = (
            "r" if path.stat().st_size > EMPTY_BYTES else None
        )  # the system maps no empty range
        return np.load(path, mmap_mode=mapped, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path}: cannot be read ({error}); build the data again") from None


def found_in(rows, training):
    """(n,) bool: which of ``rows`` (n,) uint64 are in ``training`` (m,) uint64, read in blocks.

    >>> found_in(np.array([1, 2, 3], np.uint64), np.array([3, 3, 7], np.uint64)).tolist()
    [False, False, True]
    """
    present = np.zeros(len(rows), dtype=bool)
    for start in range(0, len(training), BLOCK):
        present |= np.isin(rows, training[start : start + BLOCK])
    return present


def counts(rows, sizes, training):
    """How many rows of each data set are training rows too; sizes: rows of each, in order."""
    present = found_in(rows, training)
    ends = np.cumsum(sizes)
    return [int(present[end - size : end].sum()) for end, size in zip(ends, sizes, strict=True)]
