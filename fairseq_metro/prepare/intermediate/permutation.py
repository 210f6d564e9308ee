"""An order of n things that is computed, not stored: the k-th thing of a random permutation.

A Feistel network over the next power of four, walked until the value is below n. So a corpus of any
size is gone through in random order, each sentence once, from any place on, in no memory.
"""

import numpy as np

from fairseq_metro.data.randomness import generator

ROUNDS = 6
ORDER = 41  # a purpose of draws (data/randomness.py)
_MIX = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


class Permutation:
    """A permutation of 0 .. n-1 fixed by seed and the two whole numbers ``which``.

    >>> order = Permutation(10, seed=1, which=(0, 0))
    >>> sorted(order(np.arange(10)).tolist()) == list(range(10))
    True
    """

    def __init__(self, n, seed, which):
        self.n = n
        self._half = np.uint64(max(1, -(-max(n - 1, 1).bit_length() // 2)))
        self._mask = np.uint64((1 << int(self._half)) - 1)
        self._keys = generator(seed, *which, ORDER).integers(0, 1 << 64, ROUNDS, dtype=np.uint64)

    def __call__(self, ranks):
        """The things at ``ranks``, (k,) of integers below n: (k,) int64."""
        values = np.asarray(ranks).astype(np.uint64)
        assert len(values) == 0 or int(values.max()) < self.n
        todo = np.arange(len(values))
        while len(todo):
            values[todo] = self._once(values[todo])
            todo = todo[values[todo] >= np.uint64(self.n)]
        return values.astype(np.int64)

    def _once(self, values):
        left, right = values >> self._half, values & self._mask
        for key in self._keys:
            left, right = right, left ^ (_mixed(right ^ key) & self._mask)
        return (left << self._half) | right


def _mixed(words):
    """Words whose every bit depends on every bit of ``words``, (k,) uint64 (splitmix64's mixer)."""
    words = words + _MIX[0]
    words = (words ^ (words >> np.uint64(30))) * _MIX[1]
    words = (words ^ (words >> np.uint64(27))) * _MIX[2]
    return words ^ (words >> np.uint64(31))
