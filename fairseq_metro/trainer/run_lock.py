"""One training at a time in a run's folder.

The lock is the system's own record lock on ``SAVE/.running``: it ends with its process, however that
ends, and is not inherited by readers that outlive it.
"""

import errno
import fcntl
import logging
import os
import socket
from pathlib import Path

from fairseq_metro.common.errors import UserError

logger = logging.getLogger(__name__)

NAME = ".running"
_UNSUPPORTED = (errno.ENOLCK, errno.ENOTSUP, errno.EINVAL, errno.ENOSYS)
_held: dict = {}  # file -> its handle, open for as long as the process runs


def claim_run(save_dir):
    """Make the folder and keep other trainings out of it until this process ends.

    Raises :class:`UserError` that names the process and machine of the other training. Where the
    disk knows no locks, a warning says so.
    """
    path = Path(save_dir).absolute() / NAME
    if path in _held:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = open(path, "a+", encoding="utf-8")  # noqa: SIM115  closed with the process
    try:
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _UNSUPPORTED:
            logger.warning(f"{path.parent}: this disk has no locks; start one training in it alone")
            _held[path] = handle
            return
        handle.seek(0)
        other = " ".join(handle.read(200).split()) or "another process"
        handle.close()
        raise UserError(
            f"{save_dir}: another training writes there ({other}); wait for it, or give another "
            "--save-dir"
        ) from None
    handle.truncate(0)
    handle.write(f"process {os.getpid()} on {socket.gethostname()}\n")
    handle.flush()
    _held[path] = handle
