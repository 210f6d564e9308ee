"""Rectangles of unequal rows: right padding to a width that matrix units like."""

import numpy as np

PAD_TO_MULTIPLE = 8  # of a batch's width


def padded_width(lengths, multiple=PAD_TO_MULTIPLE):
    """A length, or an array of them, rounded up to a multiple.

    >>> padded_width(9), padded_width(8), padded_width(np.array([1, 17])).tolist()
    (16, 8, [8, 24])
    """
    return -(-lengths // multiple) * multiple


def right_padded(rows, pad, multiple=PAD_TO_MULTIPLE):
    """List of int arrays (n,) -> int64 (B, T), T a multiple of ``multiple``."""
    width = padded_width(max(map(len, rows)), multiple)
    padded = np.full((len(rows), width), pad, dtype=np.int64)
    for row, tokens in enumerate(rows):
        padded[row, : len(tokens)] = tokens
    return padded


def flat_index(places, width):
    """Places in each row -> places in the flattened (B, width): list of int arrays -> int64 (N,).

    >>> flat_index([[0, 2], [1]], width=8).tolist()
    [0, 2, 9]
    """
    rows = [row * width + np.asarray(each) for row, each in enumerate(places)]
    return np.concatenate(rows).astype(np.int64)
