"""Random numbers that depend on a logical place only: (seed, epoch, index, position).

A counter-based generator (Philox) is keyed by the seed and the purpose of the draw; epoch and index
are words of its counter. So a sample is the same for any number of workers or GPUs, in any order,
and after a resume.
"""

import numpy as np

MASKING = 1  # which tokens of a block are masked
SAMPLING = 2  # the uniforms that pick the auxiliary model's replacements
SPANS = 3  # which spans of a block become sentinels
CROPPING = 4  # which part of a long line is read
_WORD = (1 << 64) - 1


def generator(seed, epoch, index, purpose):
    """A NumPy generator for one purpose at one place.

    >>> a, b = (generator(1, 2, 3, MASKING).random(2) for _ in range(2))
    >>> bool((a == b).all()), bool((a == generator(1, 2, 4, MASKING).random(2)).any())
    (True, False)
    """
    key = np.array([seed & _WORD, purpose], dtype=np.uint64)
    counter = np.array([0, 0, index, epoch], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


def uniforms(seed, epoch, index, positions):
    """One float64 in [0, 1) for each of ``positions`` (int array) of a block, for sampling.

    The value at a position does not depend on which other positions are asked for.
    """
    if len(positions) == 0:
        return np.zeros(0)
    return generator(seed, epoch, index, SAMPLING).random(int(np.max(positions)) + 1)[positions]
