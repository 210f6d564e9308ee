"""Files that are either whole or absent: written under a temporary name, then renamed."""

import hashlib
import json
import os
import secrets
import shutil
from contextlib import contextmanager
from pathlib import Path

from fairseq_metro.common.errors import UserError


def split_paths(text):
    """The paths in a list joined by ``:``, as ``--data`` and ``--teacher`` take them: list of str.

    A path that exists wins over the list that its own colons would make of it, so that a folder
    ``2024-01-01T10:00:00`` can be named, alone or in a list. Empty entries are left out.
    """
    parts, paths = (text or "").split(":"), []
    while parts:
        count = next(
            (n for n in range(len(parts), 1, -1) if os.path.exists(":".join(parts[:n]))), 1
        )
        paths.append(":".join(parts[:count]))
        parts = parts[count:]
    return [path for path in paths if path]


@contextmanager
def named_errors(path):
    """Context in which an :class:`OSError` without a file name gets the name ``path``.

    An error of an open file names no file, but a message about a full disk should.
    """
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


@contextmanager
def writing(place):
    """Context that turns an :class:`OSError` into a :class:`UserError` naming PLACE and the reason."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{place}: cannot be written ({error.strerror or error})") from None


def refuse_unwritable(folder):
    """Raise :class:`UserError` if ``folder`` cannot be created or written to.

    To be called before long work, so that it does not fail at its end.
    """
    folder = Path(folder).absolute()
    place = next(path for path in (folder, *folder.parents) if path.exists())
    if not place.is_dir():
        raise UserError(f"{folder}: cannot be written ({place} is no folder)")
    if not os.access(place, os.W_OK | os.X_OK):
        raise UserError(f"{folder}: cannot be written (nor can anything else in {place})")


def _beside(path):
    """A temporary name beside ``path`` that is unique across processes and containers."""
    return path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")


@contextmanager
def atomic_write(path, mode="w", **kwargs):
    """Open a temporary neighbour of ``path`` for writing and rename it to ``path`` at the end.

    An exception inside the block removes the temporary file and leaves ``path`` as it was.
    """
    path = Path(path)
    temporary = _beside(path)
    if "b" not in mode:
        kwargs.setdefault("encoding", "utf-8")
    try:
        with named_errors(path), open(temporary, mode, **kwargs) as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def filled_folder(place, over=False):
    """Yield a new folder to fill, which becomes ``place`` at the end of the block: all or nothing.

    over: remove what is there then. Raises :class:`UserError` where it cannot be written, or where
    there is something else than an empty folder and ``over`` is not given.
    """
    place = Path(place)
    temporary = _beside(place)
    with writing(place):
        try:
            temporary.mkdir(parents=True)
            yield temporary
            if over and place.exists():
                shutil.rmtree(place)
            os.replace(temporary, place)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def write_json(path, value):
    """Write ``value`` as indented JSON, atomically."""
    with atomic_write(path) as stream:
        json.dump(value, stream, indent=2, ensure_ascii=False)
        stream.write("\n")


def read_json(path):
    """Read a JSON file. Raises :class:`UserError` where it is missing or not JSON."""
    try:
        with open(path, encoding="utf-8") as stream:
            return json.load(stream)
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise UserError(f"{path}: is a folder, must be a JSON file") from None
    except RecursionError:
        raise UserError(f"{path}: not valid JSON (nested too deeply); make it anew") from None
    except ValueError as error:  # a number of thousands of digits, too
        raise UserError(f"{path}: not valid JSON ({error}); make it anew") from None


def sha256_file(path):
    """SHA-256 of a file's bytes as a hexadecimal string."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
