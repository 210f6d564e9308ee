"""More rows of a few-shot task, without labels, which a teacher answers (SMASH, baseline 6).

A file of the task's own format (the label's column is there, and not read), or ``.jsonl``, a line
each: ``{"sentences": ["first", "second"]}``, or the data set's own text fields.
"""

import json
from pathlib import Path

from fairseq_metro.errors import UserError
from fairseq_metro.smash import lmbff
from fairseq_metro.smash.examples import Example
from fairseq_metro.sources import mended
from fairseq_metro.sources.kinds import plain_name
from fairseq_metro.task_data.lines import decode, raw_lines

STEM, JSONL = "augmented", ".jsonl"


def find_augmented(path, task, k, seed):
    """The file of a split: ``path`` itself, or in a folder ``<Task>/<K>-<seed>/augmented.*``, or
    ``<Task>/augmented.*`` for all splits. Raises :class:`UserError`."""
    path = Path(path)
    if path.is_file():
        return path
    places = [path / task.folder / f"{k}-{seed}", path / task.folder]
    for place in places:
        found = sorted(place.glob(f"{STEM}.*"))
        if len(found) > 1:
            raise UserError(f"{place}: several files {STEM}.*; leave one")
        if found:
            return found[0]
    raise UserError(
        f"--augmented {path}: neither a file nor a folder with {places[0].relative_to(path)}/{STEM}"
        f".* or {task.folder}/{STEM}.*; put one there"
    )


def read_augmented(task, path):
    """Its rows as Examples, whose labels mean nothing: list. Raises :class:`UserError`."""
    path = Path(path)
    label = float(task.interval[0]) if task.is_regression else task.labels[0]
    name = plain_name(path.name)
    if name.endswith(JSONL):
        texts = _json_rows(task, path)
    elif task.lmbff is not None and name.endswith(f".{task.lmbff.format}"):
        texts = (texts for _, texts, _ in lmbff.read_examples(task, path))
    else:
        known = f"{JSONL} or .{task.lmbff.format}" if task.lmbff else JSONL
        raise UserError(f"{path}: rows of {task.name} are read from {known}; give such a file")
    found = [Example(tuple(each), label) for each in texts]
    if not found:
        raise UserError(f"{path}: no row in it; write some, or leave --augmented out")
    return found


def _json_rows(task, path):
    count = task.prompt.sentences
    names = task.dataset.text if task.dataset else ()
    for number, raw in raw_lines(path):
        if raw.isspace():
            continue
        line = decode(path, number, raw)
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        row = row if isinstance(row, dict) else {}
        texts = row.get("sentences", [row[name] for name in names if name in row])
        if (
            not isinstance(texts, list)
            or len(texts) != count
            or any(not isinstance(text, str) for text in texts)
        ):
            raise UserError(
                f'{path}: line {number} has no {count} texts; write {{"sentences": [...]}}'
            )
        yield [mended(text)[0] for text in texts]
