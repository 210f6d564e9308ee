"""Few-shot cells of the SMASH experiment: run one by one, each appended at once, none run twice."""

import dataclasses
import os
from contextlib import contextmanager
from pathlib import Path

import torch

from fairseq_metro.evaluate.fewshot.cells import HEAD, KD, MAJORITY, PROMPT, ZERO_SHOT
from fairseq_metro.evaluate.fewshot.grid import Grid, append, plan, read_cells
from fairseq_metro.evaluate.fewshot.report import chosen_on_dev
from fairseq_metro.evaluate.fewshot.runs import run_cell
from fairseq_metro.evaluate.fewshot.teaching import FOLDER, has_told
from fairseq_metro.smash.splits import SEEDS, kshot_split
from fairseq_metro.smash.tasks import load_task

TASKS = "sst2 cr subj trec rte cb cola".split()
K = 16
GRID = Grid(lrs=(3e-4, 1e-3), batches=(8,), steps={K: 60}, every=15, test_rows=400)
ROWS = {  # what is run of each model
    "student": (MAJORITY, ZERO_SHOT, HEAD, PROMPT),
    "teacher": (ZERO_SHOT, PROMPT),
    "kd": (KD,),  # the student, taught on each task by the teacher
    "smash": (ZERO_SHOT, PROMPT),
}


@contextmanager
def standing_in(folder):
    """Work in a folder, so that models and splits are told by names that hold on any machine."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def split_folders(task, seeds, originals):
    """{(task, K, seed): K-shot folder, below the folder one stands in}. CB has too few rows of a
    label, of which train and dev take half each."""
    fewshot = load_task(task)
    return {
        (task, K, seed): kshot_split(fewshot, originals, K, seed, "kshot", short_labels="halve")
        for seed in seeds
    }


def table_cells(task, smash, originals, seeds=SEEDS, models=tuple(ROWS)):
    """Cells of one task's column. smash: folder of the distilled student of the task's group;
    models: of :data:`ROWS`."""
    folders = split_folders(task, seeds, originals)
    places = {"kd": "student", "smash": smash}
    # The teacher's runs tell what the row kd needs, whichever of the two is run first.
    taught = {"kd", "teacher"} & set(models)
    cells = {}
    for name in [*models, *(["kd"] if taught and "kd" not in models else [])]:
        grid = dataclasses.replace(
            GRID, rows=ROWS[name], teacher="teacher" if name == "kd" else None
        )
        for cell in plan(grid, [places.get(name, name)], folders):
            if cell.row == KD and "kd" not in models:
                continue
            if cell.key not in cells or cell.tells:
                cells[cell.key] = cell
    return list(cells.values())


def run_cells(cells, path, extra=None):
    """Run what is not in the file yet, teachers first, and append each as a line.

    extra: dict of fields that every line gets as well.

    Returns the number of cells run.
    """
    torch.set_num_threads(1)
    runs, ran = Path(FOLDER), 0
    for cell in sorted(cells, key=lambda cell: bool(cell.teachers)):
        done = read_cells(path)
        if cell.key in done and has_told(cell, runs):
            continue
        teacher = None
        if cell.teachers:
            teacher = chosen_on_dev([done[key] for key in cell.teachers])[0]["key"]
        result = run_cell(cell, runs=runs, teacher=teacher)
        if cell.key not in done:
            append(path, {**(extra or {}), **result})
        value = next(iter(result["test"].values()))["value"]
        print(f"{cell.task} {cell.seed} {cell.model} {cell.row} lr {cell.lr:g}: {100 * value:.1f}",
              flush=True)  # fmt: skip
        ran += 1
    return ran
