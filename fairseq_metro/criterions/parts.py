"""A loss of several parts: their sum, and each by itself for whoever looks for a fault."""

import operator
from contextlib import contextmanager
from functools import reduce

_kept: list = []  # the dicts of the open kept_apart() blocks


@contextmanager
def kept_apart():
    """Inside, :func:`sum_of_parts` also leaves its parts in the dict that is yielded, graphs and all.

    >>> with kept_apart() as parts:
    ...     sum_of_parts(mlm_loss=1.5, rtd_loss=2.0)
    3.5
    >>> parts
    {'mlm_loss': 1.5, 'rtd_loss': 2.0}
    """
    parts = {}
    _kept.append(parts)
    try:
        yield parts
    finally:
        _kept.pop()


def sum_of_parts(**parts):
    """The sum of a loss's parts in the order given: each (), its weight already in it."""
    for kept in _kept:
        kept.clear()
        kept.update(parts)
    return reduce(operator.add, parts.values())
