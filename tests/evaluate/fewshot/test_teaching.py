"""Task KD: the loss against a float64 loop, who teaches what, resuming, more rows, mistakes."""

import json
import math

import numpy as np
import pytest
import torch

from fairseq_metro.common.errors import UserError
from fairseq_metro.evaluate.fewshot.augmented import find_augmented, read_augmented
from fairseq_metro.evaluate.fewshot.command import main
from fairseq_metro.evaluate.fewshot.scorers import WordScorer, set_dropout
from fairseq_metro.evaluate.fewshot.teaching import TaughtExamples, read_scores
from fairseq_metro.evaluate.fewshot.training import Schedule, batch_losses, fine_tune
from fairseq_metro.interchange.roberta import load_roberta
from fairseq_metro.smash.examples import read_split
from fairseq_metro.smash.tasks import load_task
from fairseq_metro.tasks.fewshot_prompt import PromptedExamples
from tests import fewshot

SETTINGS = "--lr 1e-3 1e-2 --batch 4 --steps 4 --every 2 --k 4 --device cpu --jobs 1".split()
MORE = ["a poor river", "nice", "the house", "winter letter garden stone"]


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    return str(fewshot.write_model(tmp_path_factory.mktemp("teacher") / "run", seed=5))


@pytest.fixture(scope="module")
def more(tmp_path_factory):
    path = tmp_path_factory.mktemp("more") / "more.jsonl"
    path.write_text("".join(json.dumps({"sentences": [text]}) + "\n" for text in MORE))
    return path


def words(splits, model, out, *options, task="sst2"):
    places = ["--kshot", str(splits / "kshot"), "--out", str(out), "--model", model]
    return [*places, "--task", task, "--seeds", "13", *SETTINGS, *options]


def cells_of(out):
    return {
        cell["key"]: cell
        for cell in map(json.loads, (out / "cells.jsonl").read_text().splitlines())
    }


@pytest.fixture(scope="module")
def taught(splits, model, teacher, more, tmp_path_factory):
    out = tmp_path_factory.mktemp("taught")
    rows = ["--rows", "prompt", "kd", "kd-augmented"]
    assert (
        main(words(splits, model, out, *rows, "--teacher", teacher, "--augmented", str(more))) == 0
    )
    return out


def test_the_loss_of_task_kd_is_that_of_a_loop_in_float64():
    scores = torch.tensor([[0.3, -1.2, 2.0], [1.0, 0.0, -0.5]], requires_grad=True)
    soft, target = torch.tensor([[2.0, 0.1, -3.0], [0.2, 0.4, 0.6]]), torch.tensor([1, 2])
    labelled = torch.tensor([True, False])
    sample = {"target": target, "soft": soft, "labelled": labelled}
    schedule = Schedule(1e-3, 2, 1, kd_weight=0.7, kd_temperature=2.0)
    found = batch_losses(scores, sample, None, schedule)

    def shares(row, temperature):
        e = [math.exp(x / temperature) for x in row]
        return [x / sum(e) for x in e]

    expected = []
    for row, (s, z) in enumerate(zip(scores.tolist(), soft.tolist(), strict=True)):
        q, p = shares(z, 2.0), shares(s, 2.0)  # equation 1: of the label words alone
        loss = 0.7 * 4.0 * -sum(a * math.log(b) for a, b in zip(q, p, strict=True))
        if labelled[row]:
            loss -= math.log(shares(s, 1.0)[target[row]])
        expected.append(loss)
    assert found.tolist() == pytest.approx(expected, rel=1e-6)
    without = batch_losses(scores, {"target": target}, None, schedule)
    assert without[0].item() == pytest.approx(-math.log(shares(scores[0].tolist(), 1.0)[1]))


def test_scores_of_an_interval_are_taught_too():
    scores, soft = torch.tensor([[0.3, -1.2]]), torch.tensor([[2.0, 0.1]])
    sample = {"target": torch.tensor([2.0]), "soft": soft, "labelled": torch.tensor([True])}
    found = batch_losses(scores, sample, (0, 5), Schedule(1e-3, 1, 1))
    log_p, q = scores[0].double().log_softmax(0), torch.tensor([0.6, 0.4]).double()
    expected = (q * (q.log() - log_p)).sum() - (soft[0].double().softmax(0) * log_p).sum()
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)


def test_the_teachers_best_run_teaches_and_stands_in_the_table(taught, model, teacher, more):
    cells = list(cells_of(taught).values())
    theirs = [cell for cell in cells if cell["model"] == teacher]
    assert [cell["row"] for cell in theirs] == ["prompt", "prompt"]
    best = max(theirs, key=lambda cell: max(cell["dev"]))
    for row in ("kd", "kd-augmented"):
        ours = [cell for cell in cells if cell["row"] == row]
        assert len(ours) == 2 and {cell["model"] for cell in ours} == {model}
        assert {cell["teacher"] for cell in ours} == {best["key"]}
    assert {cell["augmented_file"] for cell in ours} == {str(more)}
    values = {cell["row"]: cell["losses"] for cell in cells if cell["lr"] == 1e-2}
    assert len({tuple(losses) for losses in values.values()}) == len(values)
    table = (taught / "table.md").read_text()
    assert "| kd |" in table and "| kd-augmented |" in table


def test_what_is_kept_are_the_fine_tuned_teachers_scores(taught, teacher, splits):
    """Its first grid point again, by the parts that test_training.py holds against plain torch."""
    task, folder = load_task("sst2"), splits / "kshot" / "SST-2" / "4-13"
    model, tok = load_roberta(teacher)
    set_dropout(model, 0.1)
    torch.manual_seed(13)
    train, dev = (
        PromptedExamples.of_task(task, read_split(task, folder, name), tok)
        for name in ("train", "dev")
    )
    scorer = WordScorer(model, task.verbalizer(tok).ids)
    fine_tune(scorer, task, train, dev, Schedule(1e-3, 4, 4, 2, 13))
    (cell,) = (c for c in cells_of(taught).values() if c["model"] == teacher and c["lr"] == 1e-3)
    files = {path.stem: path for path in (taught / "teacher" / cell["key"]).iterdir()}
    (more,) = files.keys() - {"train"}
    prompts = [task.build([text], tok) for text in MORE]
    examples = [task.build(e.sentences, tok) for e in read_split(task, folder, "train")]
    scorer.eval()
    for name, rows in (("train", examples), (more, prompts)):
        kept = read_scores(files[name], len(rows))
        for prompt, scores in zip(rows, kept, strict=True):
            logits = model(torch.tensor([prompt.ids]))[0, prompt.mask_position]
            both = [logits[tok.encode(f" {word}")[0]].item() for word in ("terrible", "great")]
            assert scores.tolist() == pytest.approx(both, abs=1e-4)


def test_batches_hand_each_row_its_own_scores():
    first = PromptedExamples([[0, 5, 2], [0, 6, 7, 2]], [1, 1], [1, 0], pad=1)
    other = PromptedExamples([[0, 8, 9, 9, 2]], [2], [0], pad=1)
    soft = [np.array([[1, 2], [3, 4]], np.float32), np.array([[5, 6]], np.float32)]
    batch = TaughtExamples([first, other], soft).collater([2, 0])
    assert batch["soft"].tolist() == [[5, 6], [1, 2]]
    assert batch["labelled"].tolist() == [False, True] and batch["target"].tolist() == [0, 1]
    assert batch["net_input"]["src_tokens"][0, :5].tolist() == [0, 8, 9, 9, 2]


def test_a_killed_run_goes_on_and_lost_scores_are_made_again(
    taught, splits, model, teacher, more, tmp_path
):
    rows = ["--rows", "prompt", "kd", "kd-augmented"]
    options = [*rows, "--teacher", teacher, "--augmented", str(more)]
    lines = (taught / "cells.jsonl").read_text().splitlines(keepends=True)
    # Killed with the teacher's lines there and without its scores.
    (tmp_path / "cells.jsonl").write_text("".join(lines[:4]))
    assert main(words(splits, model, tmp_path, *options)) == 0
    assert cells_of(tmp_path) == cells_of(taught)
    assert (tmp_path / "table.csv").read_bytes() == (taught / "table.csv").read_bytes()
    before = (tmp_path / "cells.jsonl").read_bytes()
    assert main(words(splits, model, tmp_path, *options)) == 0
    assert (tmp_path / "cells.jsonl").read_bytes() == before  # nothing left to do


def test_other_rows_weights_and_teachers_are_other_cells(taught, splits, model, teacher, tmp_path):
    known = {key for key, cell in cells_of(taught).items() if cell["row"] == "kd"}
    same = ["--rows", "kd", "--teacher", teacher]
    other = str(fewshot.write_model(tmp_path / "other", seed=6))
    changes = [], ["--kd-weight", "2"], ["--kd-temperature", "3"], ["--teacher", other]
    for number, options in enumerate([*same, *change] for change in changes):
        out = tmp_path / str(number)
        main(words(splits, model, out, *options))
        found = {key for key, cell in cells_of(out).items() if cell["row"] == "kd"}
        assert (found == known) == (number == 0) and (number == 0 or not found & known)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--rows", "kd"], "--rows kd: give the model that teaches"),
        (["--rows", "kd-augmented", "--teacher", "t"], "give the file of more rows"),
        (["--rows", "prompt", "--teacher", "t"], "name one, or leave it out"),
        (["--augmented", "f"], "--augmented is for the row kd-augmented"),
        (["--kd-weight", "2"], "say nothing without --teacher"),
        (["--teacher", "t", "--kd-temperature", "0"], "must be positive"),
        (["--teacher", "t", "--kd-weight", "nan"], "must be positive"),
        (["--teacher", "nowhere"], "nowhere"),
        (["--teacher", "{teacher}", "--augmented", "nowhere"], "neither a file nor a folder with"),
        (["--teacher", "t", "--augmented", "{more}", "--task", "sst2", "stsb"], "one file for 2"),
    ],
)
def test_mistakes_are_one_line(options, said, splits, model, teacher, more, tmp_path):
    options = [option.format(teacher=teacher, more=more) for option in options]
    with pytest.raises(UserError, match=said) as error:
        main(words(splits, model, tmp_path, *options))
    assert "\n" not in str(error.value)


def test_files_of_more_rows(tmp_path):
    sst2, rte, cb = load_task("sst2"), load_task("rte"), load_task("cb")
    table, pairs = tmp_path / "a.tsv", tmp_path / "b.jsonl"
    table.write_text("sentence\tlabel\na fine one\t?\nanother\t0\n")
    assert [e.sentences for e in read_augmented(sst2, table)] == [("a fine one",), ("another",)]
    pairs.write_text('{"premise": "It is so.", "hypothesis": "So."}\n\n{"sentences": ["a", "b"]}\n')
    for task in (rte, cb):
        assert read_augmented(task, pairs)[0].sentences == ("It is so.", "So.")
    folder = tmp_path / "all"
    (folder / "SST-2" / "4-13").mkdir(parents=True)
    (folder / "SST-2" / "augmented.tsv").write_text("x\n")
    assert find_augmented(folder, sst2, 4, 13).parent.name == "SST-2"
    (folder / "SST-2" / "4-13" / "augmented.jsonl").write_text("x\n")
    assert find_augmented(folder, sst2, 4, 13).parent.name == "4-13"
    assert find_augmented(folder, sst2, 4, 21).parent.name == "SST-2"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jsonl", b'{"sentences": ["one"]}\n{"sentences": ["one", "two"]}\n', "line 2 has no 1"),
        ("a.jsonl", b"nothing\n", "line 1 has no 1 texts"),
        ("a.jsonl", b'{"sentences": [3]}\n', "line 1 has no 1 texts"),
        ("a.jsonl", b"\n", "no row in it"),
        ("a.jsonl", b"\xff\n", "a.jsonl"),
        ("a.csv", b"0,text\n", "read from .jsonl or .tsv"),
        ("a.tsv", b"sentence\tlabel\nno label\n", "line 2: column 2 is missing"),
    ],
)
def test_unreadable_rows_are_one_line(name, content, said, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=said) as error:
        read_augmented(load_task("sst2"), tmp_path / name)
    assert "\n" not in str(error.value)


def test_damaged_scores_are_named(tmp_path):
    path = tmp_path / "train.npy"
    path.write_bytes(b"\x93NUMPY")
    with pytest.raises(UserError, match="damaged, or of other rows"):
        read_scores(path, 3)
    np.save(path, np.zeros((4, 2), np.float32))
    with pytest.raises(UserError, match="damaged, or of other rows"):
        read_scores(path, 3)
