"""What the SMASH quickstart says of its runs: chosen on dev, means, gains, an honest verdict."""

import json

import pytest

from fairseq_metro.common.errors import UserError
from fairseq_metro.papers.smash import quickstart_summary as quickstart
from fairseq_metro.prepare.corpus_tasks.main import task_text
from tests.analysis.fairseq_logs import write_log

SEEDS = (13, 21, 42)


def cell(task, model, row, seed, value, dev=None, **more):
    found = {"row": row, "model": model, "task": str(task), "k": 16, "seed": seed, "test_rows": 0,
             "test": {task.stem: {"value": value, "rows": 400}}, **more}  # fmt: skip
    found |= {} if dev is None else {"dev": [dev]}
    return {**found, "key": json.dumps([str(task), model, row, seed, value, dev])}


@pytest.fixture
def run(tmp_path):
    """A run with one task, on which the prompt fine-tuning of each model has two grid points."""

    def write(before=(0.5, 0.5, 0.5), after=(0.6, 0.61, 0.62), teacher=(0.8, 0.8, 0.81), label="a"):
        majority = {} if label is None else {"label": label}
        (tmp_path / "tasks").mkdir(exist_ok=True)
        task = tmp_path / "tasks" / "topic.yaml"
        task.write_text(task_text("topic", ("a", "b"), 64))
        cells = []
        models = {"student": before, "smash-single_sentence": after, "teacher": teacher}
        for number, seed in enumerate(SEEDS):
            cells.append(cell(task, "", "majority", seed, 0.5, **majority))
            for name, values in models.items():
                model = f"runs/1/{name}"
                cells.append(cell(task, model, "zero-shot", seed, 0.4))
                cells.append(cell(task, model, "prompt", seed, 0.99, dev=0.1, lr=1e-3))
                cells.append(cell(task, model, "prompt", seed, values[number], dev=0.9, lr=3e-4))
        folder = tmp_path / "fewshot" / "single_sentence"
        folder.mkdir(parents=True, exist_ok=True)
        text = "".join(json.dumps(one) + "\n" for one in cells)
        (folder / "cells.jsonl").write_text(text)
        for name in ("student", "teacher"):
            (tmp_path / name).mkdir(exist_ok=True)
            with open(tmp_path / name / "train.log", "w") as stream:
                write_log(stream)
        return tmp_path

    return write


def test_numbers_are_those_chosen_on_dev(run, capsys):
    folder = run()
    assert quickstart.main([str(folder)]) == 0
    said = capsys.readouterr().out
    summary = json.loads((folder / "summary.json").read_text())
    (test,) = summary["tests"]
    assert test["means"]["before"] == pytest.approx(50)
    assert test["means"]["after"] == pytest.approx(61)
    assert test["prompt"]["teacher"] == pytest.approx([80, 80, 81])
    assert (test["guess"], test["labels"], test["rows"]) == (50, 2, 400)
    assert test["gain"] == pytest.approx(11) and test["gain_error"] == pytest.approx(1 / 3**0.5)
    assert test["zero_shot"] == pytest.approx(dict.fromkeys(quickstart.MODELS, 40))
    assert "topic: 11.0 ± 0.6 more after distillation, clearly." in said and "NOT" not in said
    assert (folder / "bars.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"after": (0.5, 0.4, 0.6)}, "topic: 0.0 ± 5.8 more after distillation, NOT clearly"),
        ({"after": (0.4, 0.41, 0.4)}, "topic: 9.7 ± 0.3 LESS after distillation, clearly"),
        # 1.7 and 2.3 standard errors: two of them are the bound.
        (
            {"after": (0.517, 0.4997, 0.5343)},
            "topic: 1.7 ± 1.0 more after distillation, NOT clearly",
        ),
        ({"after": (0.523, 0.5057, 0.5403)}, "topic: 2.3 ± 1.0 more after distillation, clearly"),
        ({"teacher": (0.5, 0.45, 0.55)}, "NOT clearly ahead of guessing"),
        ({"before": (0.9, 0.9, 0.9)}, "not ahead of the student on topic"),
    ],
)
def test_the_verdict_says_what_did_not_work(run, capsys, changes, words):
    quickstart.main([str(run(**changes))])
    assert words in capsys.readouterr().out


def test_a_guess_from_the_tests_own_labels_says_so(run, capsys):
    folder = run(label=None)  # as earlier versions wrote the row
    quickstart.main([str(folder)])
    (test,) = json.loads((folder / "summary.json").read_text())["tests"]
    assert test["guess_of"] == "majority of the test"
    assert "No training set was at hand for topic: the test's own label." in capsys.readouterr().out
    path = folder / "fewshot" / "single_sentence" / "cells.jsonl"
    newer = cell(folder / "tasks" / "topic.yaml", "", "majority", 13, 0.4, label="b")
    with open(path, "a") as stream:
        stream.write(json.dumps(newer) + "\n")
    quickstart.main([str(folder)])
    (test,) = json.loads((folder / "summary.json").read_text())["tests"]
    assert (test["guess"], test["guess_of"]) == (40, "majority")
    assert "No training set" not in capsys.readouterr().out


def test_a_missing_row_is_one_line(run):
    folder = run()
    path = folder / "fewshot" / "single_sentence" / "cells.jsonl"
    lines = [one for one in path.read_text().splitlines() if "/teacher" not in one]
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(UserError, match=r"no row prompt of .* with the model teacher"):
        quickstart.read_scores(folder)
    path.unlink()
    with pytest.raises(UserError, match="no finished runs"):
        quickstart.read_scores(folder)
