"""Cells of the table, each one run, done from one loaded model and its tokenized examples."""

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import lru_cache

import numpy as np
import torch

from fairseq_metro.evaluate.fewshot.scorers import (
    HeadScorer,
    WordScorer,
    head_examples,
    set_dropout,
)
from fairseq_metro.evaluate.fewshot.training import Schedule, fine_tune, metric_of
from fairseq_metro.interchange.roberta import load_roberta
from fairseq_metro.smash.examples import read_split
from fairseq_metro.smash.metrics import score
from fairseq_metro.smash.tasks import load_task
from fairseq_metro.tasks.fewshot_prompt import PromptedExamples, split_hash

ROWS = MAJORITY, ZERO_SHOT, HEAD, PROMPT = "majority", "zero-shot", "head", "prompt"
DROPOUT = 0.1
SAMPLE_SEED = 0  # of the test rows, where only some are wanted


@dataclass(frozen=True)
class Cell:
    """What decides a run's numbers. data, weights: hashes of the split's files and the model.

    test_rows: most test rows, 0 for all; lr, batch, steps, every: 0 where nothing is trained.
    """

    row: str
    model: str
    weights: str
    task: str
    k: int
    seed: int
    folder: str
    data: str
    lr: float = 0.0
    batch: int = 0
    steps: int = 0
    every: int = 0
    test_rows: int = 0
    regression: str = "gold"

    @property
    def key(self):
        """Identity for resuming: hexadecimal string. Paths do not belong to it."""
        told = {k: v for k, v in asdict(self).items() if k not in ("model", "folder")}
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:24]


@lru_cache(maxsize=8)
def open_model(path):
    """(model, tokenizer, its state dict's copy, hash of it), loaded once a process."""
    model, tok = load_roberta(path)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    digest = hashlib.sha256(tok.hash.encode())
    for name in sorted(state):
        digest.update(name.encode() + state[name].numpy().tobytes())
    return model, tok, state, digest.hexdigest()


@lru_cache(maxsize=64)
def split_of_files(task, folder):
    """:func:`split_hash`, once a process."""
    return split_hash(folder)


@lru_cache(maxsize=64)
def examples_of(task, folder, split, test_rows):
    """Examples of a split, of a test at most ``test_rows``, drawn by one seed: tuple."""
    examples = read_split(load_task(task), folder, split)
    if test_rows and len(examples) > test_rows:
        rng = np.random.default_rng(SAMPLE_SEED)
        chosen = np.sort(rng.choice(len(examples), test_rows, replace=False))
        examples = [examples[i] for i in chosen]
    return tuple(examples)


@lru_cache(maxsize=64)
def tokenized(model, task, folder, split, test_rows, head):
    """Examples of a split in a model's ids, once a process: PromptedExamples."""
    _, tok, _, _ = open_model(model)
    fewshot, examples = load_task(task), examples_of(task, folder, split, test_rows)
    if head:
        return head_examples(fewshot, examples, tok)
    return PromptedExamples.of_task(fewshot, examples, tok)


def run_cell(cell):
    """Do one cell: dict of its fields, ``key``, ``test`` {name in the table: metric} with the
    number of rows, and of a training ``dev``, ``best_step`` and the first and last loss."""
    task = load_task(cell.task)
    if cell.row == MAJORITY:
        found = {"test": _tests(cell, task, lambda data: _majority(task, data))}
        return {"key": cell.key, **asdict(cell), **found}
    model, tok, state, _ = open_model(cell.model)
    model.load_state_dict(state)
    set_dropout(model, DROPOUT)
    torch.manual_seed(cell.seed)
    words = task.verbalizer(tok).ids
    head = cell.row == HEAD
    scorer = HeadScorer(model, len(words), DROPOUT) if head else WordScorer(model, words)
    found = {}
    if cell.row != ZERO_SHOT:
        train, dev = (
            tokenized(cell.model, cell.task, cell.folder, split, 0, head)
            for split in ("train", "dev")
        )
        schedule = Schedule(cell.lr, cell.batch, cell.steps, cell.every, cell.seed, cell.regression)
        trained = fine_tune(scorer, task, train, dev, schedule)
        found = {
            "dev": trained.dev,
            "best_step": min((trained.best + 1) * cell.every, cell.steps),
            "losses": [trained.losses[0], trained.losses[-1]],
        }
    found["test"] = _tests(cell, task, lambda data: metric_of(scorer, data, task))
    return {"key": cell.key, **asdict(cell), **found}


def _tests(cell, task, measure):
    found = {}
    for title, split in task.tests.items():
        if cell.row == MAJORITY:
            data = examples_of(cell.task, cell.folder, split, cell.test_rows)
        else:
            head = cell.row == HEAD
            data = tokenized(cell.model, cell.task, cell.folder, split, cell.test_rows, head)
        found[title] = {"value": measure(data), "rows": len(data)}
    return found


def _majority(task, examples):
    """The metric of always saying the test's commonest label (the first of equals, in the task's
    order); None for scores, where a constant has no correlation."""
    if task.is_regression:
        return None
    gold = np.array([task.labels.index(example.label) for example in examples])
    commonest = np.bincount(gold, minlength=len(task.labels)).argmax()
    return score(task.metric, np.full(len(gold), commonest), gold)
