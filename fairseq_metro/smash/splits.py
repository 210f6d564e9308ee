"""K-shot splits by LM-BFF's algorithm: the same lines for the same seed.

Lines are shuffled by numpy's legacy generator, bucketed by label in the order in which the labels
turn up; train is the first K of each bucket, dev the next K, test the original dev file.
"""

import hashlib
import json
import logging
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.files import filled_folder, read_json, sha256_file, write_json
from fairseq_metro.smash.originals import find_originals

logger = logging.getLogger(__name__)
STAMP = "split.json"
LABELS = "training_labels.json"  # beside the splits of a task
VERSION = 1
SEEDS = (13, 21, 42, 87, 100)
# LM-BFF's command took its seeds in this order, and shuffled CoLA's lines, which have no header,
# where they lay: the split of 13 is of lines that 100 had shuffled already.
CHAIN = (100, 13, 21, 42, 87)
SHORT_LABELS = ERROR, LMBFF, HALVE = "error", "lmbff", "halve"


@dataclass(frozen=True)
class KShot:
    """One split's settings. dev_times: dev is K times this (LM-BFF's k-shot-10x: 10).

    short_labels: where a label has fewer rows than train and dev need, "error"; "lmbff" as its
    code, which takes what there is, train first; "halve": in train's and dev's proportion.
    chained: CoLA as LM-BFF's run left it, see CHAIN.
    """

    k: int
    seed: int
    dev_times: int = 1
    short_labels: str = ERROR
    chained: bool = False

    def __post_init__(self):
        if self.k < 1 or self.dev_times < 1:
            raise UserError(f"K is {self.k}, dev {self.dev_times} times K: both must be 1 or more")
        if not 0 <= self.seed < 2**32:
            raise UserError(f"seed {self.seed} is not one of numpy's, 0 to {2**32 - 1}")
        if self.short_labels not in SHORT_LABELS:
            raise UserError(
                f"short_labels is {self.short_labels!r}, must be one of {', '.join(SHORT_LABELS)}"
            )
        if self.chained and self.seed not in CHAIN:
            raise UserError(
                f"seed {self.seed} is not in LM-BFF's order of seeds {CHAIN}; leave --lmbff-cola out"
            )


def draw(buckets, shot, labels):
    """Numbers of the lines of train and of dev: two lists of int.

    buckets: what each line is balanced over; labels: those that must have enough lines (others,
    of damaged lines, are taken as LM-BFF takes them). Raises :class:`UserError`.

    >>> buckets = ["a", "b"] * 10
    >>> train, dev = draw(buckets, KShot(2, 13), ["a", "b"])
    >>> [buckets[i] for i in train], len({*train, *dev})
    (['b', 'b', 'a', 'a'], 8)
    """
    order = list(range(len(buckets)))
    seeds = CHAIN[: CHAIN.index(shot.seed) + 1] if shot.chained else (shot.seed,)
    for seed in seeds:
        np.random.RandomState(seed).shuffle(order)
    of_label = {}
    for i in order:
        of_label.setdefault(buckets[i], []).append(i)
    train, dev = [], []
    for label in {**of_label, **dict.fromkeys(labels)}:
        rows = of_label.get(label, [])
        first = _train_rows(label, len(rows), shot, label in labels)
        train += rows[:first]
        dev += rows[first : first + shot.k * shot.dev_times]
    return train, dev


def _train_rows(label, rows, shot, required):
    needed = shot.k * (1 + shot.dev_times)
    if rows >= needed or not required or shot.short_labels == LMBFF:
        return min(shot.k, rows)
    if shot.short_labels == HALVE and rows > 1:
        return max(1, rows // (1 + shot.dev_times))
    raise UserError(
        f"label {label} has {rows} rows, K of {shot.k} needs {needed} for train and dev; take K up "
        f"to {rows // (1 + shot.dev_times)}, or --short-labels halve"
    )


def kshot_split(task, folder, k, seed, out, **options):
    """Write ``out/<task's folder>/<K>-<seed>/{train,dev,test}`` and its stamp; return the folder.

    task: FewshotTask; folder: of original files; options: of :class:`KShot`. A folder that is
    there and complete is kept. Raises :class:`UserError`.
    """
    return kshot_splits(task, folder, [KShot(k, seed, **options)], out)[0]


def kshot_splits(task, folder, shots, out, max_bad_rows=None):
    """:func:`kshot_split` of several settings from one reading of the originals: list of Path.

    max_bad_rows: how many rows of the train file may be bad and are left out, as BadRows takes it.
    """
    originals = find_originals(task, folder, max_bad_rows)
    for split, expected in (task.lmbff.rows if task.lmbff else {}).items():
        if (
            originals.layout is None
            and (test_rows := _rows(task, originals.tests[split])) != expected
        ):
            logger.warning(
                "%s: %d rows of split %s, %d are published: results do not compare",
                task.title, test_rows, split, expected,
            )  # fmt: skip
    if task.lmbff is None or task.lmbff.header:  # LM-BFF shuffles only CoLA in place
        shots = [replace(shot, chained=False) for shot in shots]
    sources = {path.name: sha256_file(path) for path in originals.files}
    folders = [_write(task, originals, sources, shot, Path(out) / task.folder) for shot in shots]
    if not task.is_regression:
        counts = Counter(map(str, originals.buckets))
        labels = {label: counts[label] for label in task.labels}
        write_json(folders[0].parent / LABELS, {"originals": sources, "labels": labels})
    return folders


def training_labels(folder):
    """Rows of each label in the whole training set that a K-shot folder is drawn from: dict.

    None where nothing is known of it: for LM-BFF's own folders, and for a single split that was
    taken out of its task's folder.
    """
    stamp, path = Path(folder) / STAMP, Path(folder).parent / LABELS
    if not (stamp.is_file() and path.is_file()):
        return None
    known = read_json(path)
    if not isinstance(known, dict) or not isinstance(known.get("labels"), dict):
        raise UserError(f"{path}: no counts of labels in it; remove it and run fairseq-metro kshot")
    return known["labels"] if known.get("originals") == read_json(stamp).get("originals") else None


def _rows(task, content):
    lines = content.decode("utf-8", "replace").split("\n")
    header = int(task.lmbff.header and task.lmbff.format == "tsv")
    return sum(bool(line.strip()) for line in lines) - header


def _write(task, originals, sources, shot, parent):
    labels = (0, 1) if task.is_regression else task.labels
    try:
        train, dev = draw(originals.buckets, shot, labels)
    except UserError as error:
        raise UserError(f"{task.title}: {error}") from None
    contents = {
        "train": b"".join([*originals.header, *(originals.lines[i] for i in train)]),
        originals.dev: b"".join([*originals.header, *(originals.lines[i] for i in dev)]),
        **originals.tests,
    }
    files = {f"{name}{originals.suffix}": content for name, content in contents.items()}
    stamp = {
        "version": VERSION,
        "task": task.name,
        "settings": vars(shot),
        "originals": sources,
        "layout": originals.layout,
        "files": {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    }
    stamp = json.loads(json.dumps(stamp))
    folder = parent / f"{shot.k}-{shot.seed}"
    _refuse_other_originals(parent, folder, sources)
    if folder.exists():
        _refuse_another(folder, stamp)
        return folder
    _put(folder, files, stamp)
    return folder


def _refuse_other_originals(parent, folder, sources):
    """One folder of a task is of one set of originals, so that every split has the same test."""
    for path in sorted(parent.glob(f"*/{STAMP}")):
        if path.parent != folder and (read_json(path) or {}).get("originals") != sources:
            raise UserError(
                f"{path.parent}: made from other original files; give another --out or remove "
                f"{parent}"
            )


def _refuse_another(folder, stamp):
    """Raise :class:`UserError` unless a folder holds exactly what its stamp would say."""
    if not (folder / STAMP).is_file():
        raise UserError(f"{folder}: is there without {STAMP}, so not ours; give another --out")
    if read_json(folder / STAMP) != stamp:
        raise UserError(
            f"{folder}: made from other files or with other settings; give another --out or "
            "remove it"
        )
    for name, digest in stamp["files"].items():
        if not (folder / name).is_file() or sha256_file(folder / name) != digest:
            raise UserError(f"{folder / name}: changed since it was made; remove the folder")


def _put(folder, files, stamp):
    with filled_folder(folder) as new:
        for name, content in files.items():
            (new / name).write_bytes(content)
        write_json(new / STAMP, stamp)
