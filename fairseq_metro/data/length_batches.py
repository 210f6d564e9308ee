"""Batches of pairs with similar source and target lengths, to minimize padding.

A batch is padded to the longest source and the longest target in it, so it must be narrow in both.
Pairs are cut by source length into as many slices, of equal numbers of tokens, as there are batches
in a slice, and sorted by target length within each (Leutenegger et al., 1997, sort-tile-recursive,
for R-trees); every other slice runs backwards, so that neighbours stay alike across a border.
"""

import math

import numpy as np

from fairseq_metro.common.errors import UserError


def length_batches(source, target, order, *, max_tokens=None, max_sentences=None, batch_multiple=1):
    """Cut ``order`` into batches: a list of int64 arrays of indices, each index in one of them.

    source, target: (n,) padded widths in tokens, ints. order: (N,) indices into them; of equal
    widths the earlier index comes first. max_tokens: most tokens of a batch of B pairs, padding
    counted on both sides: B * (widest source + widest target). max_sentences: largest B.
    batch_multiple: a batch with more pairs than this has a multiple of it. Raises
    :class:`UserError` where a single pair has more than ``max_tokens``.
    """
    order = np.asarray(order, dtype=np.int64)
    if len(order) == 0:
        return []
    source, target = (np.asarray(widths, dtype=np.int64) for widths in (source, target))
    widest = int((source[order] + target[order]).max())
    check_max_tokens(widest, max_tokens)
    order = _alike_neighbours(source, target, order, max_tokens, max_sentences)
    cuts = _cut(source[order], target[order], max_tokens, max_sentences, batch_multiple)
    return np.split(order, cuts)


def check_max_tokens(widest, max_tokens):
    """Raise :class:`UserError` where one example of ``widest`` tokens exceeds ``max_tokens``."""
    if max_tokens is not None and widest > max_tokens:
        raise UserError(
            f"--max-tokens {max_tokens}: the longest example has {widest}, source and target, both "
            f"padded; give at least {widest}, or a shorter --max-source-length"
        )


def _alike_neighbours(source, target, order, max_tokens, max_sentences):
    """``order`` by slices of source length, each sorted by target length."""
    order = order[np.argsort(source[order], kind="stable")]
    tokens = np.cumsum(source[order] + target[order])
    batches = [1.0]
    if max_tokens is not None:
        batches.append(tokens[-1] / max_tokens)
    if max_sentences is not None:
        batches.append(len(order) / max_sentences)
    slices = max(1, round(math.sqrt(max(batches))))
    place = (tokens - 1) * slices // tokens[-1]
    falling = np.where(place % 2 == 0, 1, -1)
    return order[np.lexsort((falling * target[order], place))]


def _cut(source, target, max_tokens, max_sentences, multiple):
    """Where each batch but the first begins, greedily as long as its limits allow."""
    begin, cuts, total = 0, [], len(source)
    while True:
        most = total - begin
        if max_sentences is not None:
            most = min(most, max_sentences)
        if max_tokens is not None:  # no more than fit at the width of the first
            most = min(most, max(1, max_tokens // int(source[begin] + target[begin])))
            widest = [
                np.maximum.accumulate(widths[begin : begin + most]) for widths in (source, target)
            ]
            padded = (widest[0] + widest[1]) * np.arange(1, most + 1)
            most = int(np.searchsorted(padded, max_tokens, side="right"))
        if most > multiple:
            most -= most % multiple
        begin += most
        if begin >= total:
            return cuts
        cuts.append(begin)
