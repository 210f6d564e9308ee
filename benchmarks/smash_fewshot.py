"""Few-shot cells of the SMASH experiment: run one by one, each appended at once, none run twice."""

import json
from dataclasses import asdict
from pathlib import Path

import torch

from fairseq_metro.errors import UserError
from fairseq_metro.evaluate.fewshot.cells import run_cell
from fairseq_metro.evaluate.fewshot.grid import append, plan
from fairseq_metro.smash.splits import kshot_split
from fairseq_metro.smash.tasks import load_task

K = 16
SCHEDULE = {"lrs": [3e-4, 1e-3], "batches": [8], "steps": 200, "every": 40, "test_rows": 1000}
PATHS = ("model", "folder", "teacher")  # of a cell: of this machine


def lines_of(path):
    """The file's lines: list of dicts."""
    path = Path(path)
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


def cells_of(task, rows, model, seeds, folder, kshot, **changes):
    """Cells of one task and model over splits; changes: of :data:`SCHEDULE`, for the teacher, say."""
    schedule = {**SCHEDULE, **changes}
    fewshot = load_task(task)
    folders = {
        (task, K, seed): kshot_split(fewshot, folder, K, seed, kshot, short_labels="halve")
        for seed in seeds
    }
    models = [str(model)] if model else []
    return plan(
        rows, models, folders, schedule["lrs"], schedule["batches"], {K: schedule["steps"]},
        schedule["every"], schedule["test_rows"], "gold",
    )  # fmt: skip


def run_cells(cells, path, **said):
    """Run what is not in the file yet and append it. said: what a line says beside the cell's own,
    by which it is known again, with the cell's key."""
    torch.set_num_threads(1)
    done = {_identity(line, said) for line in lines_of(path)}
    for cell in cells:
        line = {**said, "key": cell.key}
        if _identity(line, said) in done:
            continue
        result = run_cell(cell)
        kept = {name: value for name, value in result.items() if name not in PATHS}
        append(path, {**line, **kept})
        value = next(iter(result["test"].values()))["value"]
        print(" ".join(map(str, said.values())), cell.task, cell.row, cell.seed, f"lr {cell.lr:g}",
              f"{100 * value:.1f}", flush=True)  # fmt: skip


def _identity(line, said):
    return tuple(line.get(name) for name in (*said, "key"))


def finished(run):
    """A run's folder, or one of its checkpoints. Raises :class:`UserError` where nothing is there."""
    place = Path(run)
    if not (place if place.suffix else place / "checkpoint_last.pt").exists():
        raise UserError(f"{place}: not trained yet; run the stage that makes it first")
    return place


def as_dict(cell):
    """A cell's fields without paths of this machine."""
    return {name: value for name, value in asdict(cell).items() if name not in PATHS}
