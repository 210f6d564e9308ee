"""Random choices inside templates that depend on a logical place only: (seed, task, row).

Templates ask for random wordings with the filters ``choice`` and ``random``. They draw from the
generator of the rendering in progress, which belongs to its thread or coroutine.
"""

import random
from contextlib import contextmanager
from contextvars import ContextVar

# Python's own global generator is what promptsource draws from.
_GENERATOR = ContextVar("generator of the rendering in progress", default=random)


def row_random(seed, task_name, row_index):
    """A ``random.Random`` for one row of one task, the same on every machine and in every worker.

    seed, row_index: ints. Python seeds from a string by its SHA-512, the same in every version.

    >>> row_random(1, "imdb_Sentiment", 7).choice("abcdefgh")
    'c'
    """
    return random.Random(f"{seed}\n{task_name}\n{row_index}")


def drawing():
    """The generator of the rendering in progress: a ``random.Random``, or the module itself."""
    return _GENERATOR.get()


@contextmanager
def drawing_from(rng):
    """Within the block, templates draw from ``rng``; None: from Python's global generator."""
    token = _GENERATOR.set(random if rng is None else rng)
    try:
        yield
    finally:
        _GENERATOR.reset(token)
