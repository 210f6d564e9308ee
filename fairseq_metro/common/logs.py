"""Log output of a command: our messages on stderr, while other packages stay quiet."""

import contextlib
import logging
import sys


@contextlib.contextmanager
def messages_on_stderr(level=logging.INFO):
    """Context (or decorator of a command's ``main``) that logs bare lines from ``level`` to stderr.

    Importing fairseq leaves the root logger at DEBUG with a handler of its own format: such handlers
    are put aside, and all is as before afterwards, as a process may run several commands.
    """
    root = logging.getLogger()
    others = [handler for handler in root.handlers if type(handler) is logging.StreamHandler]
    stderr_handler = logging.StreamHandler(sys.stderr)
    stderr_handler.setFormatter(logging.Formatter("%(message)s"))
    before = root.level
    for handler in others:
        root.removeHandler(handler)
    root.addHandler(stderr_handler)
    root.setLevel(level)
    try:
        yield
    finally:
        root.setLevel(before)
        root.removeHandler(stderr_handler)
        for handler in others:
            root.addHandler(handler)


@contextlib.contextmanager
def quieted(*names):
    """Context in which the named loggers emit only warnings and errors.

    Their levels are restored, as the process may go on: a level left at WARNING on
    ``fairseq`` would swallow the losses of a training that it starts next.
    """
    before = [(logger, logger.level) for logger in map(logging.getLogger, names)]
    for logger, _ in before:
        logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        for logger, level in before:
            logger.setLevel(level)
