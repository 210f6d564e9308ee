"""The grid: which cells there are, which are done, and the others over the cores or GPUs there are."""

import json
import logging
import multiprocessing
import os
from dataclasses import dataclass
from pathlib import Path

import torch

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.files import sha256_file
from fairseq_metro.evaluate.fewshot.augmented import find_augmented
from fairseq_metro.evaluate.fewshot.cells import (
    HEAD,
    HEAD_OF_LMBFF,
    KD_AUGMENTED,
    MAJORITY,
    PAPER,
    PROMPT,
    TAUGHT,
    ZERO_SHOT,
    Cell,
    current_row,
)
from fairseq_metro.evaluate.fewshot.loaded import TRAIN, examples_of, open_model, split_of_files
from fairseq_metro.evaluate.fewshot.majority import majority_cell
from fairseq_metro.evaluate.fewshot.report import chosen_on_dev
from fairseq_metro.evaluate.fewshot.runs import prepare, run_cell
from fairseq_metro.evaluate.fewshot.teaching import FOLDER, has_told
from fairseq_metro.smash.tasks import load_task
from fairseq_metro.vocabulary.characters import Characters

logger = logging.getLogger(__name__)
CELLS = "cells.jsonl"
CPU = "cpu"


@dataclass(frozen=True)
class Grid:
    """What is wanted of each model, task and split.

    rows: of the table, None for all that there can be; lrs, batches: the grid; steps: {K: updates};
    every: updates between looks at dev; test_rows: most test rows, 0 for all; regression: loss of
    scores. Task KD: teacher's path or None; kd_weight, kd_temperature; augmented: file or folder of
    more rows, or None. head: form of a new head (scorers.py).
    """

    lrs: tuple
    batches: tuple
    steps: dict
    every: int = 100
    rows: tuple | None = None
    test_rows: int = 0
    regression: str = "gold"
    teacher: str | None = None
    kd_weight: float = 1.0
    kd_temperature: float = 1.0
    augmented: str | None = None
    head: str = PAPER


def plan(grid, models, folders):
    """All cells, in the table's order; everything they need is looked at first.

    folders: {(task, k, seed): K-shot folder}. The teacher's own runs, where rows need one, are among
    them. Raises :class:`UserError` for a missing file, a label word of several tokens and the like.
    """
    cells = {}
    for (name, k, seed), folder in folders.items():
        task, folder = load_task(name), str(folder)
        for split in ("train", "dev", *task.tests.values()):
            examples_of(name, folder, split)
        data = dict(
            task=name, k=k, seed=seed, folder=folder, test_rows=grid.test_rows,
            data=split_of_files(folder),
        )  # fmt: skip
        planned = [majority_cell(task, data)] if _wanted(grid, MAJORITY) else []
        for model in models:
            planned += _of_model(grid, str(model), task, data)
        if any(cell.row in TAUGHT for cell in planned):
            planned += _of_teacher(grid, task, data)
        # The teacher's run that tells stands for the same run of a model of the table.
        for cell in planned:
            cells[cell.key] = cell if cell.tells or cell.key not in cells else cells[cell.key]
    return list(cells.values())


def _wanted(grid, row):
    if grid.rows is not None:
        return row in grid.rows
    return (row not in TAUGHT or bool(grid.teacher)) and (row != KD_AUGMENTED or grid.augmented)


def _of_model(grid, model, task, data):
    loaded = open_model(model)
    task.verbalizer(loaded.tok)
    if loaded.decoder_input and HEAD in (grid.rows or ()):
        raise UserError(f"--rows {HEAD}: a new head is RoBERTa's, {model} is a T5; leave it out")
    data = dict(model=model, weights=loaded.hash, **data)
    cells = [Cell(ZERO_SHOT, **data)] if _wanted(grid, ZERO_SHOT) else []
    if _wanted(grid, HEAD) and not loaded.decoder_input:
        row = HEAD if grid.head == PAPER else HEAD_OF_LMBFF
        cells += _over_grid(grid, row, data, head=grid.head)
    if _wanted(grid, PROMPT):
        cells += _over_grid(grid, PROMPT, data)
    for row in (row for row in TAUGHT if _wanted(grid, row)):
        if open_model(grid.teacher).hash != loaded.hash:
            runs = _of_teacher(grid, task, data)
            cells += _over_grid(
                grid, row, data, teachers=tuple(cell.key for cell in runs),
                kd_weight=grid.kd_weight, kd_temperature=grid.kd_temperature,
                **(_more_rows(grid, task, data) if row == KD_AUGMENTED else {}),
            )  # fmt: skip
    return cells


def _of_teacher(grid, task, data):
    """The teacher's prompt fine-tuning on the split, which keeps what KD reads of it."""
    loaded = open_model(grid.teacher)
    task.verbalizer(loaded.tok)
    tells = [(TRAIN, "")]
    if _wanted(grid, KD_AUGMENTED):
        tells.append(tuple(_more_rows(grid, task, data).values()))
    data = data | dict(model=grid.teacher, weights=loaded.hash, tells=tuple(tells))
    return _over_grid(grid, PROMPT, data)


def _more_rows(grid, task, data):
    path = find_augmented(grid.augmented, task, data["k"], data["seed"])
    return {"augmented": sha256_file(path)[:24], "augmented_file": str(path)}


def _over_grid(grid, row, data, **more):
    return [
        Cell(row, **data, lr=lr, batch=batch, steps=grid.steps[data["k"]], every=grid.every,
             regression=grid.regression, **more)
        for lr in grid.lrs for batch in grid.batches
    ]  # fmt: skip


def read_cells(path):
    """Finished cells of a file: {key: dict}. A last line cut off by a kill is dropped from it.

    Raises :class:`UserError` for any other line that is no cell.
    """
    path = Path(path)
    if not path.exists():
        return {}
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if whole != content:
        os.truncate(path, len(whole))
    cells = {}
    for number, line in enumerate(whole.splitlines(), 1):
        try:
            cell = json.loads(line)
            cells[cell["key"]] = {**cell, "row": current_row(cell)}
        except (ValueError, TypeError, KeyError, RecursionError):
            raise UserError(f"{path}: line {number} is no finished cell; remove the line") from None
    return cells


def append(path, result):
    """Add a finished cell to the file as one line, in one write that is on the disk on return."""
    line = (json.dumps(result) + "\n").encode()
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(handle, line)
        os.fsync(handle)
    finally:
        os.close(handle)


def run(cells, path, jobs, devices=(CPU,), allow_unknown=False):
    """Do what is not done of ``cells`` and return the results of all, in their order.

    path: of the file of cells; jobs: processes, each with one thread, so that their number changes
    no digit, and each on one of ``devices``. They are forked, and so share models and examples. What
    a teacher teaches begins when its runs are done. allow_unknown: whether a vocabulary may lack more
    than half of a task's characters.
    """
    runs, done = Path(path).with_name(FOLDER), read_cells(path)
    left = [cell for cell in cells if cell.key not in done or not has_told(cell, runs)]
    logger.info("%d cells, %d of them done", len(cells), len(cells) - len(left))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    number = 0
    try:
        for stage in (
            [cell for cell in left if not cell.teachers],
            [cell for cell in left if cell.teachers],
        ):
            tasks = [(cell, runs, _teacher(cell, done)) for cell in stage]
            for result in _results(tasks, jobs, devices, allow_unknown):
                append(path, result)
                done[result["key"]] = result
                number += 1
                logger.info("%d of %d: %s", number, len(left), _said(result))
    finally:
        torch.set_num_threads(threads)
    return [done[cell.key] for cell in cells]


def _teacher(cell, done):
    """The key of the teacher's run that is best on dev, the first of equals."""
    if not cell.teachers:
        return None
    (chosen,) = chosen_on_dev([done[key] for key in cell.teachers])
    return chosen["key"]


def _prepare(cells, allow_unknown):
    """Read what cells need, and tell of each model and task what the vocabulary could not write."""
    counted = {}
    for cell in cells:
        for examples in prepare(cell):  # several cells share them
            counted.setdefault((cell.model, cell.task), {})[id(examples)] = examples.characters
    for (model, task), characters in counted.items():
        total = sum(characters.values(), Characters())
        total.judge(f"{task} in the vocabulary of {model}", allow_unknown, logger)


def _results(tasks, jobs, devices, allow_unknown):
    _prepare([cell for cell, _, _ in tasks], allow_unknown)
    if jobs == 1:
        yield from (run_cell(cell, devices[0], *more) for cell, *more in tasks)
        return
    if not tasks:
        return
    context = multiprocessing.get_context("fork")
    turn = context.Value("i", 0)
    with context.Pool(min(jobs, len(tasks)), _begin, (turn, devices)) as pool:
        yield from pool.imap_unordered(_run, tasks, chunksize=1)


_device = CPU  # of this process


def _begin(turn, devices):
    global _device
    torch.set_num_threads(1)
    with turn.get_lock():
        _device = devices[turn.value % len(devices)]
        turn.value += 1


def _run(task):
    cell, *more = task
    return run_cell(cell, _device, *more)


def _said(result):
    point = f" lr {result['lr']:g} batch {result['batch']}" if result["lr"] else ""
    tests = ", ".join(
        f"{title} {'-' if test['value'] is None else format(100 * test['value'], '.1f')}"
        for title, test in result["test"].items()
    )
    return f"{result['task']} {result['k']}-{result['seed']} {result['row']}{point}: {tests}"
