"""The majority row is that of the whole training set: SMASH's table 2, and LM-BFF's before it."""

import json

import pytest

from fairseq_metro.evaluate.fewshot.command import main
from fairseq_metro.evaluate.fewshot.majority import majority_cell, majority_score
from fairseq_metro.papers.smash.published import paper_values
from fairseq_metro.smash.examples import read_split
from fairseq_metro.smash.splits import kshot_split, training_labels
from fairseq_metro.smash.tasks import load_task

YES, NO = "entailment", "not_entailment"
# For each test of SMASH's table 2 the training set's commonest label, and how many rows of each label
# the published test has.
PUBLISHED = {
    "mnli": ("contradiction", {
        "MNLI-m": {"entailment": 3479, "neutral": 3123, "contradiction": 3213},
        "MNLI-mm": {"entailment": 3463, "neutral": 3129, "contradiction": 3240},
    }),
    "mrpc": ("1", {"MRPC": {"1": 279, "0": 129}}),
    "qqp": ("0", {"QQP": {"0": 2554, "1": 1489}}),  # a tenth of its rows
    "cola": ("1", {"CoLA": {"1": 721, "0": 322}}),
    "snli": ("entailment", {"SNLI": {"entailment": 3329, "neutral": 3235, "contradiction": 3278}}),
    "qnli": (YES, {"QNLI": {YES: 2702, NO: 2761}}),
    "rte": (YES, {"RTE": {YES: 146, NO: 131}}),
    "sst2": ("1", {"SST-2": {"1": 444, "0": 428}}),
    "sst5": ("3", {"SST-5": {"0": 279, "1": 633, "2": 389, "3": 510, "4": 399}}),
    "mr": ("1", {"MR": {"1": 1000, "0": 1000}}),
    "cr": ("1", {"CR": {"1": 1000, "0": 1000}}),
}  # fmt: skip


def line(task, label):
    """A row of LM-BFF's file of a task with this label."""
    spec = task.lmbff
    if spec.format == "csv":
        return f"{label},some text\n"
    cells = ["x"] * 12
    cells[spec.label] = label
    return "\t".join(cells if spec.label == -1 else cells[:6]) + "\n"


def write_lmbff(folder, task, train, tests):
    """LM-BFF's files of a task. train: {label: rows}; tests: {split: {label: rows}}."""
    spec = task.lmbff
    folder = folder / task.folder
    folder.mkdir(parents=True)
    counts = {split: tests.get(split, train) for split in spec.files}
    header = ["a header\n"] if spec.header and spec.format == "tsv" else []
    for split, rows in counts.items():
        lines = [line(task, label) for label, number in rows.items() for _ in range(number)]
        path = folder / f"{spec.files[split]}.{spec.format}"
        path.write_text("".join([*header, *lines]))


@pytest.mark.parametrize("name", PUBLISHED)
def test_it_is_the_papers_number_on_every_test(tmp_path, name):
    task, (label, tests) = load_task(name), PUBLISHED[name]
    train = {other: 4 + (other == label) for other in task.labels}
    splits = {task.tests[title]: rows for title, rows in tests.items()}
    write_lmbff(tmp_path / "tasks", task, train, splits)
    words = ["--tasks", str(tmp_path / "tasks"), "--task", name, "--rows", "majority", "--k", "2"]
    assert main([*words, "--steps", "1", "--seeds", "13", "--out", str(tmp_path / "out")]) == 0
    (cell,) = map(json.loads, (tmp_path / "out" / "cells.jsonl").read_text().splitlines())
    assert (cell["row"], cell["label"]) == ("majority", label)
    for title in tests:
        (paper, _) = paper_values(2)["majority", title]
        assert round(100 * cell["test"][title]["value"], 1) == paper, title


@pytest.mark.parametrize("name", ["sst2", "rte", "cola"])
def test_real_files_give_the_papers_number(shared, tmp_path, name):
    tasks = shared / "data" / "tasks"
    folder = kshot_split(load_task(name), tasks, 16, 13, tmp_path)
    task = load_task(name)
    cell = majority_cell(task, cell_data(folder, name))
    examples = read_split(task, folder, "test")
    (paper, _) = paper_values(2)["majority", task.title]
    assert round(100 * majority_score(cell, task, examples), 1) == paper


def cell_data(folder, name):
    return {"task": name, "k": 16, "seed": 13, "folder": str(folder), "data": ""}


def test_without_the_training_set_the_rows_name_says_whose_label_it_is(tmp_path):
    task = load_task("sst2")
    train, test = {"0": 9, "1": 8}, {"0": 3, "1": 8}
    write_lmbff(tmp_path / "tasks", task, train, {"test": test})
    folder = kshot_split(task, tmp_path / "tasks", 2, 13, tmp_path / "out")
    assert training_labels(folder) == {"0": 9, "1": 8}
    cell = majority_cell(task, cell_data(folder, "sst2"))
    examples = read_split(task, folder, "test")
    assert cell.row == "majority" and majority_score(cell, task, examples) == 3 / 11

    labels = folder.parent / "training_labels.json"
    known = labels.read_text()
    labels.write_text(known.replace('"train.tsv"', '"others.tsv"'))  # of other originals
    assert training_labels(folder) is None
    labels.unlink()
    alone = majority_cell(task, cell_data(folder, "sst2"))
    assert alone.row == "majority of the test"
    assert majority_score(alone, task, examples) == 8 / 11
    assert alone.key != cell.key
    kshot_split(task, tmp_path / "tasks", 2, 13, tmp_path / "out")  # of earlier versions
    assert labels.read_text() == known


def test_a_majority_of_scores_is_none(splits):
    folder = splits / "kshot" / "STS-B" / "4-13"
    task = load_task("stsb")
    cell = majority_cell(task, cell_data(folder, "stsb"))
    assert (cell.row, cell.label) == ("majority", "")
    assert majority_score(cell, task, read_split(task, folder, "test")) is None
