"""Loggers of other packages that a command of ours keeps quiet while it runs."""

import contextlib
import logging


@contextlib.contextmanager
def quieted(*names):
    """Loggers of these names say warnings and worse alone inside; their levels come back after.

    They come back because a process may go on: a level left at WARNING on ``fairseq`` would swallow
    the losses of a training that it starts next.
    """
    before = [(logger, logger.level) for logger in map(logging.getLogger, names)]
    for logger, _ in before:
        logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        for logger, level in before:
            logger.setLevel(level)
