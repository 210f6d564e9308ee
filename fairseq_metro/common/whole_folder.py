"""A folder that is either whole or absent: filled under a temporary name, then renamed."""

from pathlib import Path

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.files import filled_folder


def whole_folder(out):
    """A context with a new folder to fill, which becomes ``out`` at the end of the block.

    Raises :class:`UserError` where ``out`` exists and is not an empty folder, or cannot be written.
    """
    out = Path(out)
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise UserError(f"{out}: there is something already; give another --out, or remove it")
    return filled_folder(out)
