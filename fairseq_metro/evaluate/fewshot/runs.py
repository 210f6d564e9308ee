"""One cell's run, from models and examples that are loaded already."""

from functools import partial

import torch

from fairseq_metro.evaluate.fewshot.cells import (
    MAJORITY,
    MAJORITY_OF_TEST,
    TAUGHT,
    ZERO_SHOT,
)
from fairseq_metro.evaluate.fewshot.loaded import (
    DEV,
    TRAIN,
    examples_of,
    open_model,
    shared,
    tokenized,
    tokenized_file,
)
from fairseq_metro.evaluate.fewshot.majority import majority_score
from fairseq_metro.evaluate.fewshot.scorers import HeadScorer, WordScorer, set_dropout
from fairseq_metro.evaluate.fewshot.teaching import (
    TaughtExamples,
    file_of,
    keep_scores,
    read_scores,
)
from fairseq_metro.evaluate.fewshot.training import Schedule, fine_tune, metric_of, scores_of
from fairseq_metro.smash.tasks import load_task

DROPOUT = 0.1
_zero_shot: dict = {}  # what _same_tests says -> test {name in the table: metric}, in this process


def run_cell(cell, device="cpu", runs=None, teacher=None):
    """Do one cell: dict of its fields, ``key``, ``test`` {name in the table: metric} with the
    number of rows, and of a training ``dev``, ``best_step`` and the first and last loss.

    runs: folder of teachers' scores; teacher: key of the run that teaches.
    """
    task = load_task(cell.task)
    if cell.row in (MAJORITY, MAJORITY_OF_TEST):
        outcome = {"test": _tests(cell, task, partial(_majority, cell))}
        return {"key": cell.key, **cell.facts, **outcome}
    if cell.row == ZERO_SHOT and _same_tests(cell) in _zero_shot:  # of another split
        return {"key": cell.key, **cell.facts, "test": _zero_shot[_same_tests(cell)]}
    loaded = open_model(cell.model)
    loaded.model.load_state_dict(loaded.state)
    set_dropout(loaded.model, DROPOUT)
    torch.manual_seed(cell.seed)
    words = task.verbalizer(loaded.tok).ids
    if cell.head:
        scorer = HeadScorer(loaded.model, len(words), DROPOUT, cell.head).to(device)
    else:
        scorer = WordScorer(loaded.model, words).to(device)
    outcome = {} if cell.row == ZERO_SHOT else _trained(cell, task, scorer, runs, teacher)
    outcome["test"] = _tests(
        cell, task, lambda task, split: metric_of(scorer, tokenized(cell, split), task)
    )
    if cell.row == ZERO_SHOT:
        _zero_shot[_same_tests(cell)] = outcome["test"]
    for name, path in cell.tells:
        data = tokenized_file(cell, path) if path else tokenized(cell, name)
        keep_scores(file_of(runs, cell.key, name), scores_of(scorer, data))
    return {"key": cell.key, **cell.facts, **outcome}


def _same_tests(cell):
    """What a model's answers without training come from: splits with the same tests share them."""
    tests = load_task(cell.task).tests.values()
    folders = tuple(shared(cell.task, cell.folder, split) for split in tests)
    return cell.weights, cell.task, cell.test_rows, folders


def _trained(cell, task, scorer, runs, teacher):
    train = tokenized(cell, TRAIN)
    if cell.row in TAUGHT:
        parts = {TRAIN: train}
        if cell.augmented:
            parts[cell.augmented] = tokenized_file(cell, cell.augmented_file)
        train = TaughtExamples(
            list(parts.values()),
            [read_scores(file_of(runs, teacher, name), len(part)) for name, part in parts.items()],
        )
    schedule = Schedule(
        cell.lr, cell.batch, cell.steps, cell.every, cell.seed, cell.regression, cell.kd_weight,
        cell.kd_temperature,
    )  # fmt: skip
    trained = fine_tune(scorer, task, train, tokenized(cell, DEV), schedule)
    return {
        "dev": trained.dev,
        "best_step": min((trained.best + 1) * cell.every, cell.steps),
        "losses": [trained.losses[0], trained.losses[-1]],
        **({"teacher": teacher} if teacher else {}),
    }


def _tests(cell, task, measure):
    """{name in the table: value and number of rows}; measure(task, split) gives the value."""
    tests = {}
    for title, split in task.tests.items():
        rows = len(examples_of(cell.task, cell.folder, split, cell.test_rows))
        tests[title] = {"value": measure(task, split), "rows": rows}
    return tests


def _majority(cell, task, split):
    examples = examples_of(cell.task, cell.folder, split, cell.test_rows)
    return majority_score(cell, task, examples)


def prepare(cell):
    """Make everything that a cell's run reads, so that processes forked afterwards share it.

    Returns the PromptedExamples among it, in the ids of the cell's model: list.
    """
    task, made = load_task(cell.task), []
    for split in task.tests.values():
        examples_of(cell.task, cell.folder, split, cell.test_rows)
        if cell.model:
            made.append(tokenized(cell, split))
    if cell.lr:
        made += [tokenized(cell, split) for split in (TRAIN, DEV)]
    paths = filter(None, [cell.augmented_file, *(path for _, path in cell.tells)])
    return made + [tokenized_file(cell, path) for path in paths]
