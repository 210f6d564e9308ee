"""Allow one run at a time in a folder, and end it in an orderly way."""

import contextlib
import fcntl
import os
import signal
import time

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.files import writing

PATIENCE = 10  # seconds: so long a killed run's workers may outlive it, and hold its lock


@contextlib.contextmanager
def terminated_as_interrupted():
    """Let SIGTERM end the command as Ctrl-C does: what is finished stays, unfinished files go."""

    def interrupt(*_):
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


@contextlib.contextmanager
def locked(dest):
    """Make the folder and keep other runs out of it while the block runs.

    Folders that were made here and are empty after an error go again. Raises :class:`UserError`
    where another run keeps it for longer than PATIENCE.
    """
    made = [place for place in (dest, *dest.parents) if not place.exists()]
    with writing(dest):
        dest.mkdir(parents=True, exist_ok=True)
        handle = os.open(dest, os.O_RDONLY)
    try:
        until = time.monotonic() + PATIENCE
        while not _taken(handle):
            if time.monotonic() > until:
                raise UserError(f"{dest}: another run is writing there; wait for it")
            time.sleep(0.1)
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            for place in made:
                place.rmdir()
        raise
    finally:
        os.close(handle)


def _taken(handle):
    """Try to lock an open folder; whether that succeeded."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
