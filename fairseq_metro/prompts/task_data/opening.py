"""A data set by its name: local files first, then the hub where that is allowed."""

from pathlib import Path

from fairseq_metro.common.errors import UserError
from fairseq_metro.prompts.collection import nearest
from fairseq_metro.prompts.task_data.catalogue import Description, Layout, descriptions
from fairseq_metro.prompts.task_data.dataset import TaskData
from fairseq_metro.prompts.task_data.hub import open_on_hub
from fairseq_metro.prompts.task_data.places import Place, find_splits, looked_for, ready_made_splits
from fairseq_metro.prompts.task_data.readers import format_inside, format_of

READY_MADE = "jsonl:"


class NotThere(UserError):
    """A data set that has no files where they were looked for."""


def dataset_names(folder=None):
    """Names of all described data sets, sorted, with those of ``folder/datasets.yaml``."""
    return list(descriptions(folder))


def open_dataset(name, folder=None, hub=False):
    """A data set by its name (``super_glue/rte``), as :class:`TaskData` or :class:`HubData`.

    folder: where its files are looked for; a set that no YAML describes lies there as
    ``<name>/<split>.{jsonl,json,csv,tsv,parquet}`` with rows as Hugging Face has them.
    ``jsonl:PATH``: a file of rows in any format, or a folder of ``<split>.jsonl``, of ready-made
    ``inputs``, ``targets`` and, where given, ``choices``. hub: ask the hub where no file is found.
    Raises :class:`UserError` with the nearest names and what was looked for.
    """
    if name.startswith(READY_MADE):
        return _ready_made(name, folder)
    if not name.strip("./ ") or ".." in name or name.startswith("/"):
        raise UserError(f"{name!r} is no name of a data set; one looks like super_glue/rte")
    folder = Path(folder) if folder else None
    if folder is not None and not folder.is_dir():
        raise UserError(f"{folder}: no such folder; name the folder of task data")
    known = descriptions(folder)
    description = known.get(name, Description(name))
    if folder is not None and (splits := find_splits(description, folder)):
        return TaskData(description, splits)
    if hub:
        return open_on_hub(description)
    unknown = (
        "" if name in known else f"; no data set of this name is described, {nearest(name, known)}"
    )
    if folder is None:
        raise UserError(f"{name}: name the folder of its files, or allow the hub{unknown}")
    raise NotThere(f"{name} not found below {looked_for(description, folder)}{unknown}")


def _ready_made(name, folder):
    path = Path(name.removeprefix(READY_MADE)).expanduser()
    if folder and not path.exists():
        path = Path(folder) / path
    features = {"inputs": "string", "targets": "string"}
    splits = ready_made_splits(path)
    if not splits:
        raise UserError(f"{name}: no such file, nor a folder of <split>.jsonl; name one of these")
    places = {
        split: Place((file,), Layout(format=_form(file), shape="ready_made"))
        for split, file in splits.items()
    }
    return TaskData(Description(name, features), places)


def _form(file):
    return format_of(file) or format_inside(file) or "jsonl"
