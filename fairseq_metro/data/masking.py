"""Masking of the auxiliary model's input (METRO-T0, equation 6)."""

import numpy as np


def masked_count(n, mask_prob):
    """Number of masked tokens among ``n`` ordinary ones: round(mask_prob * n), at least 1 for n >= 4.

    >>> [masked_count(n, 0.15) for n in (0, 3, 4, 100)]
    [0, 0, 1, 15]
    """
    return max(round(mask_prob * n), 1 if n >= 4 and mask_prob > 0 else 0)


def choose_masked(ordinary, mask_prob, rng, preference=None):
    """Positions to mask: exactly :func:`masked_count` of the ordinary ones, uniformly, ascending.

    ordinary: bool array (T,), False at tokens that are never masked; rng: a NumPy generator;
    preference: positive float array (T,), each draw is then in proportion to it among those left.

    >>> choose_masked(np.array([False, True, True, False]), 1.0, np.random.default_rng(0)).tolist()
    [1, 2]
    """
    candidates = np.flatnonzero(ordinary)
    count = masked_count(len(candidates), mask_prob)
    if preference is not None and len(candidates):
        preference = preference[candidates] / preference[candidates].sum()
    return np.sort(rng.choice(candidates, count, replace=False, p=preference, shuffle=False))


def release_mask(tokens, mask_prob, mask, random_tokens, rng):
    """The released code's 80/10/10 masking of any tokens, special ones included.

    int(mask_prob * T + u) positions are chosen; 80 % of them become ``mask``, 10 % stay, 10 % become
    one of ``random_tokens`` (a range of ids). tokens: int64 (T,). Returns the chosen positions,
    ascending, and the noised tokens.
    """
    count = int(mask_prob * len(tokens) + rng.random())
    chosen = np.sort(rng.choice(len(tokens), count, replace=False, shuffle=False))
    kind = rng.random(count)
    replacement = rng.integers(random_tokens.start, random_tokens.stop, count)
    return chosen, bert_noise(tokens, chosen, mask, kind, replacement)


def bert_noise(tokens, chosen, mask, kind, replacement):
    """A copy of ``tokens`` (T,) with 80/10/10 at ``chosen`` (m,): mask, original, replacement (m,).

    kind: (m,) float64, uniform in [0, 1).

    >>> kind, other = np.array([0.1, 0.85, 0.95]), np.array([7, 7, 7])
    >>> bert_noise(np.array([3, 4, 5, 6]), np.array([0, 1, 3]), 9, kind, other).tolist()
    [9, 4, 5, 7]
    """
    noised = tokens.copy()
    noised[chosen] = np.where(kind < 0.8, mask, np.where(kind < 0.9, tokens[chosen], replacement))
    return noised
