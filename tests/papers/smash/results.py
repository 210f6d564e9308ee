"""Made-up results of few-shot runs, as fairseq-metro fewshot writes them."""

import json

import numpy as np

from fairseq_metro.smash.tasks import load_task

SEEDS = (13, 21)


def cell(model, row, task, seed, value, k=16, dev=0.5, lr=1e-4):
    """One finished run; every test of the task has the value."""
    tests = {title: {"value": value, "rows": 20} for title in load_task(task).tests}
    key = f"{model}-{row}-{task}-{seed}-{k}-{lr}"
    form = {"majority": {"label": "1"}, "head": {"head": "paper"}}.get(row, {})
    return {
        "key": key, "model": model, "row": row, "task": str(task), "k": k, "seed": seed, "lr": lr,
        "batch": 4, "test_rows": 0, "dev": [dev], "test": tests, **form,
    }  # fmt: skip


def write(folder, cells):
    """A folder of results."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cells.jsonl").write_text("".join(json.dumps(one) + "\n" for one in cells))
    return folder


def some(models, rows, tasks, ks=(16,), seed=0):
    """Cells of all combinations over SEEDS, with values drawn."""
    rng = np.random.default_rng(seed)
    return [
        cell(model, row, task, split, float(rng.uniform(0.2, 0.9)), k)
        for model in models for row in rows for task in tasks for k in ks for split in SEEDS
    ]  # fmt: skip
