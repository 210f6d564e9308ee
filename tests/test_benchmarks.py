"""The benchmarks as commands: each says what it does, and what the tables of the experiments say."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fairseq_metro.analysis.prompt_summary import HELD_IN, NEW_KIND
from fairseq_metro.common.errors import UserError
from fairseq_metro.papers import prompt_finetuning
from fairseq_metro.papers.prompt_finetuning_report import report, sets_of

ROOT = Path(__file__).resolve().parent.parent
# Those that are run; the others are read by them.
COMMANDS = sorted(
    path.name
    for path in (ROOT / "benchmarks").glob("*.py")
    if "__main__" in path.read_text(encoding="utf-8")
)


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_a_benchmark_says_what_it_does(name):
    done = subprocess.run(
        [sys.executable, f"benchmarks/{name}", "--help"],
        cwd=ROOT, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: ")


def row(model, seed, after, mixture="toys", updates=10):
    """A cell's row with two data sets, one of them held out."""
    sets = [
        {"dataset": dataset, "group": group, "kind": "", "rows": 8, "chance": 0.5,
         "commonest": 0.6, "before": 0.5, "after": score, "templates": {"a": score, "b": score}}
        for dataset, group, score in (("toy/nli", HELD_IN, after), ("toy/qa", NEW_KIND, 0.25))
    ]  # fmt: skip
    return {
        "model": model, "seed": seed, "mixture": mixture, "updates": updates, "max_tokens": 64,
        "lr": 1e-3, "parameters": 1000, "minutes": 2.0, "pretraining_updates": 5, "sets": sets,
        "cola_mcc": {"a": after - 0.5, "b": after - 0.5},
    }  # fmt: skip


def test_the_table_of_prompt_finetuning_has_means_and_spread_over_seeds():
    rows = [row("metro", 1, 0.7), row("metro", 2, 0.9), row("t5", 1, 0.6)]
    text = report(rows, sets_of(rows))
    assert "| toy/nli (8 rows) | 50.0 | 60.0 | 50.0 ± 0.0 | 80.0 ± 14.1 | 50.0 | 60.0 |" in text
    assert "Matthews correlation x 100 | 0.0 | 0.0 |  | 30.0 ± 14.1 |  | 10.0 |" in text
    assert "Seeds: metro 1, 2; t5 1." in text


def test_cells_of_another_mixture_or_length_are_other_cells(tmp_path):
    rows = [row("metro", 1, 0.7), row("metro", 1, 0.8, updates=20), row("metro", 1, 0.9, "more")]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(f"{prompt_finetuning.json.dumps(one)}\n" for one in rows))
    assert len(prompt_finetuning.rows_of(path)) == 3


@pytest.mark.parametrize(
    "words, message",
    [
        (["--models", "metro"], "metro= must be NAME=RUN"),
        (["--models", "metro=x", "--cells", "t5:1"], r"--cells t5:1: must be NAME:SEED"),
        (["--models", "metro=x", "--tasks", "nowhere"], "nowhere: no such folder"),
    ],
)
def test_bad_words_for_prompt_finetuning_are_one_line(tmp_path, words, message):
    tasks = [] if "--tasks" in words else ["--tasks", str(tmp_path)]
    with pytest.raises(UserError, match=message):
        prompt_finetuning.main([*words, *tasks, "--json", str(tmp_path / "rows.jsonl")])


def test_a_model_that_is_not_there_yet_is_left_for_later(tmp_path, capsys):
    path = tmp_path / "rows.jsonl"
    words = ["--models", f"metro={tmp_path}/run-{{seed}}", "--tasks", str(tmp_path), "--seeds", "4"]
    assert prompt_finetuning.main([*words, "--json", str(path)]) == 0
    assert "metro:4: left for later" in capsys.readouterr().out and not path.exists()


def test_matthews_correlation():
    from sklearn.metrics import matthews_corrcoef  # another's definition of the same

    gold, said = [1, 1, 1, 0, 0, 1, 0, 1], [1, 0, 1, 0, 1, 1, 0, 1]
    assert prompt_finetuning.matthews(gold, said) == pytest.approx(matthews_corrcoef(gold, said))
