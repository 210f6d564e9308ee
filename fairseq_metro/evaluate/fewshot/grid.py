"""The grid: which cells there are, which are done, and the others over the cores there are."""

import json
import logging
import multiprocessing
import os
from pathlib import Path

import torch

from fairseq_metro.errors import UserError
from fairseq_metro.evaluate.fewshot.cells import (
    HEAD,
    MAJORITY,
    PROMPT,
    ZERO_SHOT,
    Cell,
    examples_of,
    open_model,
    run_cell,
    split_of_files,
)
from fairseq_metro.smash.tasks import load_task

logger = logging.getLogger(__name__)
CELLS = "cells.jsonl"


def plan(rows, models, folders, lrs, batches, steps, every, test_rows, regression):
    """All cells, in the table's order; everything they need is looked at first.

    folders: {(task, k, seed): K-shot folder}; steps: {k: updates}. Raises :class:`UserError` for
    a missing file, a label word of several tokens and the like.
    """
    cells = []
    for (name, k, seed), folder in folders.items():
        task = load_task(name)
        for split in ("train", "dev", *task.tests.values()):
            examples_of(name, str(folder), split, 0)
        data = dict(
            task=name, k=k, seed=seed, folder=str(folder), test_rows=test_rows,
            data=split_of_files(name, str(folder)),
        )  # fmt: skip
        if MAJORITY in rows:
            cells.append(Cell(MAJORITY, "", "", **data))
        for model in models:
            _, tok, _, weights = open_model(str(model))
            task.verbalizer(tok)
            if ZERO_SHOT in rows:
                cells.append(Cell(ZERO_SHOT, str(model), weights, **data))
            for row in (row for row in (HEAD, PROMPT) if row in rows):
                cells += [
                    Cell(row, str(model), weights, **data, lr=lr, batch=batch, steps=steps[k],
                         every=every, regression=regression)
                    for lr in lrs for batch in batches
                ]  # fmt: skip
    return cells


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
    found = {}
    for number, line in enumerate(whole.splitlines(), 1):
        try:
            cell = json.loads(line)
            found[cell["key"]] = cell
        except (ValueError, TypeError, KeyError):
            raise UserError(f"{path}: line {number} is no finished cell; remove the line") from None
    return found


def append(path, result):
    """Add a finished cell to the file as one line, in one write that is on the disk on return."""
    line = (json.dumps(result) + "\n").encode()
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(handle, line)
        os.fsync(handle)
    finally:
        os.close(handle)


def run(cells, path, workers):
    """Do what is not done of ``cells`` and return the results of all, in their order.

    path: of the file of cells; workers: processes, each with one thread, so that their number
    changes no digit. They are forked, and so share the models that :func:`plan` loaded.
    """
    done = read_cells(path)
    left = [cell for cell in cells if cell.key not in done]
    logger.info("%d cells, %d of them done", len(cells), len(cells) - len(left))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for number, result in enumerate(_results(left, workers), 1):
            append(path, result)
            done[result["key"]] = result
            logger.info("%d of %d: %s", number, len(left), _said(result))
    finally:
        torch.set_num_threads(threads)
    return [done[cell.key] for cell in cells]


def _results(cells, workers):
    if workers == 1 or len(cells) < 2:
        yield from map(run_cell, cells)
        return
    context = multiprocessing.get_context("fork")
    with context.Pool(min(workers, len(cells)), torch.set_num_threads, (1,)) as pool:
        yield from pool.imap_unordered(run_cell, cells, chunksize=1)


def _said(result):
    point = f" lr {result['lr']:g} batch {result['batch']}" if result["lr"] else ""
    tests = ", ".join(
        f"{title} {'-' if test['value'] is None else format(100 * test['value'], '.1f')}"
        for title, test in result["test"].items()
    )
    return f"{result['task']} {result['k']}-{result['seed']} {result['row']}{point}: {tests}"
