"""fairseq's checkpoint files: check, read, and repair them after an interrupted save.

fairseq writes the first of the due checkpoints under a temporary name and renames it. Stock fairseq
copies it over the others in place, ``checkpoint_last.pt`` nearly always among them: a kill inside such
a copy leaves a truncated file, with which it then refuses to start although a whole checkpoint of the
same update lies beside it.
:func:`~fairseq_metro.trainer.workarounds.copy_checkpoints_whole` renames these too; a truncated file
can still come from elsewhere.
"""

import logging
import os
import pickle
import re
import shutil
import struct
import zipfile
from pathlib import Path

import torch
import torch.distributed as dist

from fairseq_metro.common.errors import UserError
from fairseq_metro.trainer.checkpoint_names import LAST

logger = logging.getLogger(__name__)

# What torch raises over a file whose bytes were changed, beside pickle's own error.
DAMAGED = (
    RuntimeError, EOFError, OSError, ValueError, TypeError, LookupError, AttributeError,
    AssertionError, OverflowError, struct.error,
)  # fmt: skip

# What fairseq's save_checkpoint writes; not .tmp, .truncated, nor what other tools put there.
_SAVED = re.compile(r"checkpoint(\d+|_\d+_\d+|_best|_last|\.best_.+)\.pt")

_LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # torch before 1.6: its pickled magic number
_MEMBER = b"PK\x03\x04"  # what each member of a zip file begins with


def is_whole(path):
    """Whether ``path`` is a torch checkpoint with nothing missing, as far as its directory tells.

    Reads the zip directory at the end and the first bytes of each member, not the members: a file
    that is short, empty, zeroed or with a part cut out is not whole; a changed weight goes unseen.
    A file of torch's format before 1.6, which has no directory, counts as whole.
    """
    try:
        with open(path, "rb") as stream:
            if stream.read(len(_LEGACY)) == _LEGACY:
                return True
            with zipfile.ZipFile(stream) as archive:
                members = archive.infolist()
            for member in members:
                stream.seek(member.header_offset)
                if stream.read(4) != _MEMBER:
                    return False
    except (OSError, zipfile.BadZipFile, NotImplementedError, ValueError):
        return False
    return any(member.filename.endswith("/data.pkl") for member in members)


def first_line(error):
    """The first line of an exception's message, or its class name if it has none."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def load_weights_only(path, **options):
    """A fairseq checkpoint as a dict that holds a dict ``model``; options: more of ``torch.load``'s.

    Raises :class:`UserError` where the file is truncated, damaged, no checkpoint of fairseq, or
    needs classes that weights-only loading refuses.
    """
    if not is_whole(path):
        raise UserError(
            f"{path}: truncated, or not a checkpoint ({path.stat().st_size:,} bytes); use another"
        )
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, **options)
    except pickle.UnpicklingError as error:
        refused = refused_globals(path) or str(error).splitlines()[0]
        raise UserError(
            f"{path}: holds objects that are not loaded for safety's sake: {refused}; if you trust "
            "the file, load it with torch.load(weights_only=False) and save it without them"
        ) from None
    except DAMAGED as error:
        raise UserError(f"{path}: cannot be read as a checkpoint ({first_line(error)})") from None
    if not (isinstance(state, dict) and isinstance(state.get("model"), dict)):
        raise UserError(f"{path}: not a checkpoint of fairseq (it holds no 'model')")
    return state


def read_facts(path):
    """Read the facts stored in a checkpoint, without loading its weights into memory.

    Returns a dict: ``path``, ``num_updates``, ``epoch``, ``arch`` (``cfg.model._name``), ``cfg``
    (plain dict of dicts), ``task_state``, ``extra_state``; ``parameters`` maps each name in the
    model's state dict to its shape (a tuple).

    Raises :class:`UserError` where the file is missing, truncated, no checkpoint of fairseq, or
    needs classes that ``torch.load(weights_only=True)`` refuses.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such checkpoint file")
    with open(path, "rb") as stream:
        start = stream.read(len(_LEGACY))
    if start[:4] != _MEMBER and start != _LEGACY:
        raise UserError(f"{path}: not a checkpoint ({path.stat().st_size:,} bytes)")
    state = load_weights_only(path, mmap=start != _LEGACY)
    if not isinstance(state.get("cfg"), dict):
        raise UserError(
            f"{path}: no 'cfg' inside: of a fairseq before 0.10.2 or of another program; "
            "load and save it once with the fairseq that made it"
        )
    extra_state = state.get("extra_state") or {}
    return {
        "path": str(path),
        "num_updates": _num_updates(state),
        "epoch": (extra_state.get("train_iterator") or {}).get("epoch"),
        "arch": (state["cfg"].get("model") or {}).get("_name"),
        "cfg": state["cfg"],
        "task_state": state.get("task_state") or {},
        "extra_state": extra_state,
        "parameters": {
            name: tuple(value.shape) for name, value in state["model"].items() if value is not None
        },
    }


def repair_last(save_dir, restore_file=LAST):
    """Make sure that a restart finds an intact ``checkpoint_last.pt`` if any checkpoint is intact.

    A truncated one is moved to ``checkpoint_last.pt.truncated``, and the newest whole checkpoint of
    ``save_dir`` is copied into its place; also where it is missing beside other checkpoints. On a
    first start nothing is done. Process 0 repairs, the others wait for it.

    restore_file: ``--restore-file``. Any other file than the default is the user's choice: it is
    checked, never replaced. Returns the path that fairseq will restore from, or None.

    Raises :class:`UserError` where the file is truncated and no whole one can take its place, or
    where a file named by the user is missing (stock fairseq would silently start from scratch).
    """
    last = Path(save_dir) / LAST
    chosen = last if str(restore_file) == LAST else Path(restore_file)
    if "://" in str(restore_file):
        return chosen  # not a local file: fairseq's to fetch
    if chosen.resolve() != last.resolve():
        if not chosen.is_file():
            raise UserError(f"--restore-file {chosen}: no such file")
        if not is_whole(chosen):
            raise UserError(f"--restore-file {chosen}: truncated ({_size(chosen)}); name another")
        return chosen

    together = dist.is_available() and dist.is_initialized()
    try:
        if not together or dist.get_rank() == 0:
            _repair(last)
    finally:  # an error in process 0 must not leave the others waiting
        if together:
            dist.barrier()
    if last.is_file() and not is_whole(last):
        raise _no_whole_checkpoint(last)  # process 0 has reported the error
    return last if last.is_file() else None


def _repair(last):
    """Do the work of :func:`repair_last` in one process."""
    if last.is_file() and is_whole(last):
        return
    others = [p for p in last.parent.glob("checkpoint*.pt") if _SAVED.fullmatch(p.name)]
    whole = [p for p in others if p != last and is_whole(p)]
    newest = max(whole, key=_age, default=None)
    if not last.is_file():
        if newest is None:
            return
        problem = "is missing"
    else:
        if newest is None:
            raise _no_whole_checkpoint(last)
        problem = f"is truncated ({_size(last)})"
    # A copy, not a hard link: stock fairseq would overwrite both in place at the next save.
    new = last.with_name(f"{last.name}.new")
    try:
        with open(newest, "rb") as source, open(new, "wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
            os.fsync(target.fileno())
    except OSError as error:
        new.unlink(missing_ok=True)
        raise UserError(
            f"{last} {problem}, and {newest.name} cannot be copied to its place: {error.strerror}"
        ) from None
    if last.is_file():
        os.replace(last, last.with_name(f"{last.name}.truncated"))
    os.replace(new, last)
    updates, _ = _age(newest)
    logger.warning(f"{last} {problem}; {newest.name} (update {updates}) takes its place")


def _no_whole_checkpoint(last):
    return UserError(
        f"{last}: truncated ({_size(last)}) and no whole checkpoint beside it; put a whole one in "
        "its place, or delete it to start from the beginning"
    )


def _age(path):
    """(number of updates, modification time) of a whole checkpoint; -1 updates if it holds none."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        updates = _num_updates(state)
    except (pickle.UnpicklingError, *DAMAGED):
        updates = None
    return (-1 if updates is None else updates), path.stat().st_mtime_ns


def _num_updates(state):
    history = state.get("optimizer_history") if isinstance(state, dict) else None
    return history[-1].get("num_updates") if history else None


def refused_globals(path):
    """Names of the classes in a checkpoint that ``weights_only=True`` does not load, or '' where it is
    no zip file as torch writes them."""
    try:
        return ", ".join(sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path)))
    except (ValueError, RuntimeError, pickle.UnpicklingError):
        return ""


def _size(path):
    return f"{path.stat().st_size:,} bytes"
