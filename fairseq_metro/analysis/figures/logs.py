"""Training logs of several runs, for figures that are drawn from logs alone.

Memory does not grow with a log: of each record the wanted numbers are kept, and at most ``MOST``
records of a kind, from end to end.
"""

import math
from pathlib import Path

from fairseq_metro.analysis.figures.plotting import labelled, refuse_equal_labels
from fairseq_metro.analysis.log import Log, Record, append, find_log, read_log
from fairseq_metro.common.errors import UserError

TRAIN, VALID = "train", "valid"
LEGEND = dict(fontsize=9, frameon=False, title="lines: training, dots: validation",
              title_fontsize=8, alignment="left")  # fmt: skip
MOST = 4000  # records of a kind: more than a picture has dots across


def thinned(names):
    """A function for ``read_log`` that keeps these numbers alone, and at most ``MOST`` records."""

    def keep(kept, record):
        values = {name: record.values[name] for name in names if name in record.values}
        append(kept, Record(record.update, values))
        thin(kept)

    return keep


def thin(kept):
    """Where a list has more than ``MOST`` records, keep the last of every 2^n updates, n such that at
    most half of them remain: which ones does not depend on when it was done."""
    if len(kept) <= MOST:
        return
    width = 1 << max(0, math.ceil(math.log2(2 * kept[-1].update / MOST)))
    place = [(record.update - 1) // width for record in kept]
    kept[:] = [record for record, own, following in zip(kept, place, [*place[1:], None], strict=True)
               if own != following]  # fmt: skip


def logs_of(words, name_of, names):
    """[(label, path, Log)] of ``LABEL=RUN`` or ``RUN`` each; RUN: a run's folder, or a log.

    name_of: a log's options (dict) -> the label where none is given. names: of the numbers that are
    wanted. Raises :class:`UserError`.
    """
    logs = []
    for label, path in labelled(words):
        log = _log_of(Path(path), thinned(names))
        logs.append((label or name_of(log.options), Path(path), log))
    refuse_equal_labels(label for label, _, _ in logs)
    return logs


def _log_of(path, keep):
    """A run's log; an empty one of a folder that holds checkpoints and no log."""
    file = find_log(path)
    if not file.exists() and path.is_dir() and any(path.glob("checkpoint*.pt")):
        return Log()
    return read_log(file, keep)


def series_rows(label, log, name):
    """Rows {run, split, update, name} of a number in a log: training intervals, then validations."""
    valid = ([log.start] if log.start else []) + log.valid
    return [
        {"run": label, "split": split, "update": record.update, name: record.values[name]}
        for split, records in ((TRAIN, log.train), (VALID, valid))
        for record in records
        if name in record.values
    ]


def refuse_empty(rows, path, what):
    """Raise :class:`UserError` where a log has none of what is drawn."""
    if not rows:
        raise UserError(
            f"{path}: no {what} in its log; give a run of --task metro_t5 with --log-format json "
            "that has reached its first --log-interval"
        )


def points(rows, label, split, name):
    """Two lists, updates and values, of a run's rows of a split."""
    kept = [row for row in rows if (row["run"], row["split"]) == (label, split)]
    return [row["update"] for row in kept], [row[name] for row in kept]


def draw_series(axis, rows, label, name, colour):
    """One run: its training intervals thin, its validations as points; only those that are there."""
    x, y = points(rows, label, TRAIN, name)
    if x:
        axis.plot(x, y, color=colour, linewidth=1.2, label=label)
    x, y = points(rows, label, VALID, name)
    if x:
        is_first = label not in axis.get_legend_handles_labels()[1]
        axis.plot(x, y, "o", color=colour, markersize=4, markeredgecolor="white",
                  markeredgewidth=0.5, label=label if is_first else None)  # fmt: skip
