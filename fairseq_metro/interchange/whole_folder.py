"""A folder that is either whole or absent: filled under a temporary name, then renamed."""

import os
import shutil
from contextlib import contextmanager
from pathlib import Path

from fairseq_metro.errors import UserError


@contextmanager
def whole_folder(out):
    """Yield a new folder to fill, which becomes ``out`` at the end of the block.

    Raises :class:`UserError` where ``out`` exists and is not an empty folder, or cannot be written.
    """
    out = Path(out)
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise UserError(f"{out}: there is something already; give another --out, or remove it")
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        temporary.mkdir(parents=True)
        yield temporary
        if out.is_dir():
            out.rmdir()
        os.replace(temporary, out)
    except OSError as error:
        raise UserError(f"{out}: cannot be written ({error.strerror or error})") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
