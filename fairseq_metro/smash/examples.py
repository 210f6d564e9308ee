"""Examples of a K-shot folder: made by ``fairseq-metro kshot``, or by LM-BFF's own command."""

from pathlib import Path
from typing import NamedTuple

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.files import read_json
from fairseq_metro.prompts.task_data.catalogue import Description, Layout
from fairseq_metro.prompts.task_data.dataset import TaskData
from fairseq_metro.prompts.task_data.places import Place
from fairseq_metro.smash import lmbff
from fairseq_metro.smash.originals import dataset_label, dataset_texts
from fairseq_metro.smash.splits import STAMP


class Example(NamedTuple):
    """sentences: tuple of str; label: a label of the task (str), or its score (float)."""

    sentences: tuple
    label: str | float


def read_split(task, folder, split):
    """Examples of ``train``, ``dev`` or a test split in a K-shot folder: list of Example.

    Raises :class:`UserError` for a missing file, one without rows, an unreadable row, a label without
    a word, and a score outside the task's interval.
    """
    folder = Path(folder)
    stamp = read_json(folder / STAMP) if (folder / STAMP).is_file() else {}
    if stamp and stamp.get("task") not in (task.name, task.splits_of):
        raise UserError(f"{folder}: a split of {stamp.get('task')}, not of {task.name}")
    layout = stamp.get("layout")
    rows = _of_dataset(task, folder, split, layout) if layout else _of_lmbff(task, folder, split)
    examples = [Example(texts, checked_label(task, where, label)) for where, texts, label in rows]
    if not examples:
        path = min(folder.glob(f"{split}.*"), default=folder / split)
        raise UserError(f"{path}: no row in it; run fairseq-metro kshot again")
    return examples


def checked_label(task, where, label):
    """A label as the task has it: str, or float in its interval. Raises :class:`UserError`."""
    if not task.is_regression:
        if str(label) not in task.labels:
            raise UserError(f"{where}: label {label!r} has no word; {task.name} has {task.labels}")
        return str(label)
    try:
        low, high = task.interval
        if low <= (score := float(label)) <= high:
            return score
    except ValueError:
        pass
    raise UserError(f"{where}: {label!r} is no score from {low:g} to {high:g}")


def _of_lmbff(task, folder, split):
    if task.lmbff is None:
        raise UserError(f"{folder}: no {STAMP}, and LM-BFF has no files of {task.name}")
    stem = task.lmbff.files.get("dev", "dev") if split == "dev" else split
    path = lmbff.find_file(task, folder, split, stem)
    if path is None:
        raise UserError(
            f"{folder / stem}.{task.lmbff.format}: no such file; run fairseq-metro kshot"
        )
    for number, texts, label in lmbff.read_examples(task, path):
        yield f"{path}: line {number}", texts, label


def _of_dataset(task, folder, split, layout):
    files = sorted(folder.glob(f"{split}.*"))
    if len(files) != 1:
        raise UserError(f"{folder}: no file {split}.*; run fairseq-metro kshot")
    settings = {key: value for key, value in layout.items() if key not in ("dataset", "features")}
    settings["labels"] = {name: dict(map(tuple, v)) for name, v in settings["labels"].items()}
    description = Description(layout["dataset"], features=layout["features"])
    data = TaskData(description, {split: Place((files[0],), Layout(**settings))})
    for number, row in enumerate(data.rows(split), 1):
        yield (
            f"{files[0]}: row {number}",
            dataset_texts(task, row),
            dataset_label(task, data.features, row),
        )
