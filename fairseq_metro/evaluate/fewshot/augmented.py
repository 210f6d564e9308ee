"""More rows of a few-shot task, without labels, which a teacher answers (SMASH, baseline 6).

A file of the task's own format (the label's column is there, and not read), or ``.jsonl``, a line
each: ``{"sentences": ["first", "second"]}``, or the data set's own text fields.
"""

import json
import logging
from pathlib import Path

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.sources import BadRows, mended
from fairseq_metro.common.sources.kinds import plain_name
from fairseq_metro.prompts.task_data.bad_row import BadRow, good_rows
from fairseq_metro.prompts.task_data.lines import lines_or_bad
from fairseq_metro.smash import lmbff
from fairseq_metro.smash.examples import Example

logger = logging.getLogger(__name__)

STEM, JSONL = "augmented", ".jsonl"


def find_augmented(path, task, k, seed):
    """The file of a split: ``path`` itself, or in a folder ``<Task>/<K>-<seed>/augmented.*``, or
    ``<Task>/augmented.*`` for all splits. Raises :class:`UserError`."""
    path = Path(path)
    if path.is_file():
        return path
    places = [path / task.folder / f"{k}-{seed}", path / task.folder]
    for place in places:
        files = sorted(place.glob(f"{STEM}.*"))
        if len(files) > 1:
            raise UserError(f"{place}: several files {STEM}.*; leave one")
        if files:
            return files[0]
    raise UserError(
        f"--augmented {path}: neither a file nor a folder with {places[0].relative_to(path)}/{STEM}"
        f".* or {task.folder}/{STEM}.*; put one there"
    )


def check_augmented(task, path, max_bad_rows):
    """Read a file of more rows and log which were left out. max_bad_rows: as BadRows takes it.

    Raises :class:`UserError` for too many.
    """
    bad_rows = BadRows(max_bad_rows)
    read_augmented(task, path, bad_rows)
    for sentence in bad_rows.summary():
        logger.warning("%s: %s", path, sentence)


def read_augmented(task, path, bad_rows=None):
    """Its rows as Examples, whose labels mean nothing: list. Raises :class:`UserError`.

    bad_rows: a BadRows that counts those left out; None: none may be bad.
    """
    path = Path(path)
    label = float(task.interval[0]) if task.is_regression else task.labels[0]
    name = plain_name(path.name)
    if name.endswith(JSONL):
        texts = _json_rows(task, path, bad_rows)
    elif task.lmbff is not None and name.endswith(f".{task.lmbff.format}"):
        texts = (texts for _, texts, _ in lmbff.read_examples(task, path, bad_rows))
    else:
        known = f"{JSONL} or .{task.lmbff.format}" if task.lmbff else JSONL
        raise UserError(f"{path}: rows of {task.name} are read from {known}; give such a file")
    examples = [Example(tuple(sentences), label) for sentences in texts]
    if not examples:
        raise UserError(f"{path}: no row in it; write some, or leave --augmented out")
    return examples


def _json_rows(task, path, bad_rows):
    lines = lines_or_bad(path)
    rows = (
        line if isinstance(line, BadRow) else _sentences(task, path, n, line) for n, line in lines
    )
    for sentences in good_rows(rows, bad_rows):
        if sentences is not None:
            whole = [mended(text) for text in sentences]
            if bad_rows is not None:
                bad_rows.replaced += sum(count for _, count in whole)
            yield [text for text, _ in whole]


def _sentences(task, path, number, line):
    """The sentences of a line of JSON: list of str, or a :class:`BadRow`."""
    count, names = task.prompt.sentences, task.dataset.text if task.dataset else ()
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        row = None
    row = row if isinstance(row, dict) else {}
    texts = row.get("sentences", [row[name] for name in names if name in row])
    if (
        isinstance(texts, list)
        and len(texts) == count
        and all(isinstance(text, str) for text in texts)
    ):
        return texts
    problem = f'{path}: line {number} has no {count} texts; write {{"sentences": [...]}}'
    return BadRow(problem, "without its texts", of_file=not line.endswith("\n"))
