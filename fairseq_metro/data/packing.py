"""Packing: several examples in a row of the batch, which the model keeps apart (see modules).

First fit, longest first, within windows of the epoch's order: an example goes into the first row of
its window that has room for its source and for its target.
"""

import numpy as np

WINDOW = 4096  # examples that are packed among themselves


def pack(source, target, order, longest_source, longest_target):
    """Put the examples of ``order`` into rows.

    source, target: (n,) lengths in tokens, ints, each at most ``longest_source`` or
    ``longest_target``, the room of a row. order: (N,) indices into them. Returns (members, starts):
    int64 (N,) the same indices, row after row; int64 (rows + 1,) where each row begins in them.

    >>> members, starts = pack(np.array([5, 9, 4]), np.array([2, 2, 2]), np.arange(3), 10, 8)
    >>> [row.tolist() for row in np.split(members, starts[1:-1])]
    [[1], [0, 2]]
    """
    rows = []
    for begin in range(0, len(order), WINDOW):
        window = np.asarray(order[begin : begin + WINDOW], dtype=np.int64)
        rows += _first_fit(source, target, window, longest_source, longest_target)
    starts = np.zeros(len(rows) + 1, dtype=np.int64)
    np.cumsum([len(row) for row in rows], out=starts[1:])
    return np.array([index for row in rows for index in row], dtype=np.int64), starts


def _first_fit(source, target, window, longest_source, longest_target):
    """Rows, lists of indices, of one window."""
    longest_first = window[np.argsort(-source[window], kind="stable")]
    room = np.empty((2, len(window)), dtype=np.int64)  # of each row begun, for sources and targets
    rows = []
    for index in longest_first.tolist():
        needs = source[index], target[index]
        fits = (room[0, : len(rows)] >= needs[0]) & (room[1, : len(rows)] >= needs[1])
        place = int(fits.argmax()) if fits.any() else len(rows)
        if place == len(rows):
            room[:, place] = longest_source, longest_target
            rows.append([])
        room[0, place] -= needs[0]
        room[1, place] -= needs[1]
        rows[place].append(index)
    return rows
