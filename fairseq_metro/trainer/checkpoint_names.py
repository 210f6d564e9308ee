"""Resolve a run directory or ``RUN@UPDATES`` to a checkpoint file.

fairseq names a checkpoint ``checkpoint_EPOCH_UPDATES.pt``, and the epoch is not known beforehand.
"""

import re
from pathlib import Path

from fairseq_metro.common.errors import UserError

LAST = "checkpoint_last.pt"
_WORD = re.compile(r"(.+)@(\d+)")
_NUMBERED = re.compile(r"checkpoint_\d+_(\d+)\.pt")


def find_checkpoint(source):
    """The checkpoint file that ``source`` means: a file, a run's folder, or ``RUN@UPDATES``.

    Of a folder it is the newest ``checkpoint_last.pt`` in it or one folder below, as in the run of a
    quickstart. Raises :class:`UserError`.
    """
    source = named_checkpoint(source)
    if source.is_file():
        return source
    if not source.is_dir():
        raise UserError(
            f"{source}: no such file or folder; give a run's folder or a checkpoint file"
        )
    last = [source / LAST] if (source / LAST).is_file() else [*source.glob(f"*/{LAST}")]
    if not last:
        others = sorted(path.name for path in source.glob("*.pt"))
        remedy = f"name one of {', '.join(others[:5])}" if others else "give a run's --save-dir"
        raise UserError(
            f"{source}: neither a run's folder (no {LAST} in it or one folder below) nor a Hugging "
            f"Face folder (no config.json); {remedy}"
        )
    return max(last, key=lambda path: (path.stat().st_mtime_ns, path))


def named_checkpoint(path):
    """The checkpoint file that ``RUN@UPDATES`` means; any other path as it is: Path.

    RUN is a run's folder, or one with ``checkpoints/`` in it. A file or folder of exactly that name
    takes precedence. Raises :class:`UserError` where the run kept no checkpoint of that update.
    """
    path = Path(path)
    parts = _WORD.fullmatch(str(path))
    if path.exists() or not parts:
        return path
    run, updates = Path(parts[1]), int(parts[2])
    if not run.is_dir():
        raise UserError(f"{path}: no folder {run}; give a run's folder before @{updates}")
    kept = kept_checkpoints(run)
    if updates not in kept:
        there = ", ".join(map(str, kept)) or "none"
        raise UserError(
            f"{path}: the run kept no checkpoint of update {updates} (it kept {there}); give one "
            "of these, or train with --keep-interval-updates-pattern"
        )
    return kept[updates]


def kept_checkpoints(run):
    """Numbered checkpoints of a run's folder, or of ``checkpoints/`` in it: dict of updates -> Path,
    updates rising."""
    for folder in (Path(run), Path(run) / "checkpoints"):
        names = [(_NUMBERED.fullmatch(path.name), path) for path in folder.glob("*.pt")]
        kept = {int(match[1]): path for match, path in names if match}
        if kept:
            return dict(sorted(kept.items()))
    return {}
