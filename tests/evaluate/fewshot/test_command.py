"""The whole command: rows, resuming, workers, tables, one answer, mistakes."""

import csv
import json

import pytest

from fairseq_metro.common.errors import UserError
from fairseq_metro.evaluate.fewshot import grid
from fairseq_metro.evaluate.fewshot.command import main
from tests import fewshot

GRID = ["--lr", "1e-3", "1e-2", "--batch", "4", "--steps", "4", "--every", "2", "--k", "4"]


def run(splits, model, out, *more, tasks=("sst2",), seeds=("13", "21"), workers="1"):
    words = ["--model", model, "--kshot", str(splits / "kshot"), "--task", *tasks, "--seeds"]
    words += [*seeds, *GRID, "--jobs", workers, "--device", "cpu", "--out", str(out), *more]
    assert main(words) == 0
    return [json.loads(line) for line in (out / "cells.jsonl").read_text().splitlines()]


def by_key(cells):
    return {cell["key"]: cell for cell in cells}


@pytest.fixture(scope="module")
def undisturbed(splits, model, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    return out, run(splits, model, out)


def test_rows_of_every_kind_and_a_table_of_the_best_on_dev(undisturbed):
    out, cells = undisturbed
    assert sorted(c["row"] for c in cells) == sorted(
        ["majority", "zero-shot"] * 2 + ["head", "prompt"] * 4
    )
    # The test has 11 rows, 7 of label 1.
    assert {c["test"]["SST-2"]["value"] for c in cells if c["row"] == "majority"} == {7 / 11}
    lines = {
        line["row"]: line for line in csv.DictReader((out / "table.csv").read_text().splitlines())
    }
    values = []
    for seed in (13, 21):
        runs = [c for c in cells if c["row"] == "prompt" and c["seed"] == seed]
        best = max(max(c["dev"]) for c in runs)
        kept = next(c for c in runs if max(c["dev"]) == best)
        values.append(100 * kept["test"]["SST-2"]["value"])
    mean = sum(values) / 2
    assert float(lines["prompt"]["mean"]) == pytest.approx(mean)
    assert float(lines["prompt"]["std"]) == pytest.approx(abs(values[0] - mean))
    assert lines["prompt"]["runs"] == "4" and lines["prompt"]["sampled"] == "False"


def test_a_killed_run_goes_on_and_equals_an_undisturbed_one(undisturbed, splits, model, tmp_path):
    out, cells = undisturbed
    lines = (out / "cells.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "cells.jsonl").write_text("".join(lines[:5]) + lines[5][:30])
    again = run(splits, model, tmp_path)
    assert by_key(again) == by_key(cells) and len(again) == len(cells)
    assert (tmp_path / "table.csv").read_bytes() == (out / "table.csv").read_bytes()


def test_workers_change_no_digit(undisturbed, splits, model, tmp_path):
    out, cells = undisturbed
    assert by_key(run(splits, model, tmp_path, workers="2")) == by_key(cells)
    assert (tmp_path / "table.md").read_bytes() == (out / "table.md").read_bytes()


def test_scores_and_a_sample_of_the_test_rows(splits, model, tmp_path):
    cells = run(splits, model, tmp_path, "--test-rows", "5", tasks=("stsb",), seeds=("13",))
    assert {c["test"]["STS-B"]["rows"] for c in cells} == {5}
    (majority,) = (c for c in cells if c["row"] == "majority")
    assert majority["test"]["STS-B"]["value"] is None
    assert "STS-B*" in (tmp_path / "table.md").read_text()


def test_one_answer(model, capsys):
    words = ["predict", model, "--task", "sst2", "--text", "the river"]
    assert main(words) == 0
    label, *words = capsys.readouterr().out.splitlines()
    shares = {line.split("\t")[0].strip(): float(line.split("\t")[2]) for line in words}
    assert label == max(shares, key=shares.get) and sum(shares.values()) == pytest.approx(
        1, abs=1e-3
    )


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--kshot", "{kshot}", "--seeds", "77"], "4-77: no such split; run fairseq-metro kshot"),
        (["--tasks", "{originals}", "--k", "200", "--steps", "2"], "needs 400 for train and dev"),
        (["--tasks", "{originals}", "--kshot", "{kshot}"], "give --tasks .* or --kshot"),
        (["--kshot", "{kshot}", "--task", "sst3"], "no few-shot task 'sst3'"),
        (["--kshot", "{kshot}", "--jobs", "0"], "--jobs is 0"),
        (["--kshot", "{kshot}", "--model", "nowhere"], "nowhere"),
    ],
)
def test_mistakes_are_one_line(more, said, splits, model, tmp_path):
    places = {"kshot": splits / "kshot", "originals": splits / "originals"}
    words = ["--model", model, "--task", "sst2", "--k", "4", "--seeds", "13"]
    words += ["--out", str(tmp_path), *(word.format(**places) for word in more)]
    with pytest.raises(UserError, match=said) as error:
        main(words)
    assert "\n" not in str(error.value)


def test_a_label_word_of_several_tokens_is_one_line(splits, model, tmp_path):
    task = tmp_path / "mine.yaml"
    task.write_text(
        "title: SST-2\nmetric: accuracy\nmax_length: 64\n"
        'template: "*cls**sent_0*_It_was*mask*.*sep+*"\n'
        'words: {"0": terrible, "1": unpronounceable}\n'
        "lmbff: {format: tsv, text: [0], label: 1, files: {train: train, test: dev}}\n"
    )
    words = ["--model", model, "--tasks", str(splits / "originals"), "--task", str(task)]
    with pytest.raises(UserError, match=r"'unpronounceable' is .* tokens"):
        main([*words, "--k", "4", "--seeds", "13", "--out", str(tmp_path / "out")])


def test_a_damaged_line_of_cells_is_named(tmp_path):
    path = tmp_path / "cells.jsonl"
    path.write_text('{"key": "a"}\nnothing\n{"key": "b"}\n')
    with pytest.raises(UserError, match="line 2 is no finished cell"):
        grid.read_cells(path)


def test_another_model_is_another_cell(undisturbed, splits, tmp_path):
    other = str(fewshot.write_model(tmp_path / "other", seed=1))
    cells = run(splits, other, tmp_path, "--rows", "zero-shot", seeds=("13",))
    assert not by_key(cells).keys() & by_key(undisturbed[1]).keys()


def test_a_template_without_a_mask_is_one_line(splits, model, tmp_path):
    task = tmp_path / "mine.yaml"
    task.write_text(
        'title: SST-2\nmetric: accuracy\nmax_length: 64\ntemplate: "*cls**sent_0*_It_was.*sep+*"\n'
        'words: {"0": terrible, "1": great}\n'
        "lmbff: {format: tsv, text: [0], label: 1, files: {train: train, test: dev}}\n"
    )
    words = ["--model", model, "--tasks", str(splits / "originals"), "--task", str(task)]
    with pytest.raises(UserError, match=r"mine.yaml: .* has 0 masks; write \*mask\* exactly once"):
        main([*words, "--k", "4", "--seeds", "13", "--out", str(tmp_path / "out")])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"sentence\tlabel\n\xff\xfe\t1\n", r"train.tsv: line 2"),
        (b"sentence\tlabel\nno label here\n", r"train.tsv: line 2: column 2 is missing"),
        (b"sentence\tlabel\nfine\t7\n", r"train.tsv: line 2: label '7' has no word"),
        (None, r"train.tsv: no such file; run fairseq-metro kshot"),
    ],
)
def test_an_unreadable_split_is_one_line(content, said, model, tmp_path):
    folder = tmp_path / "kshot" / "SST-2" / "4-13"
    folder.mkdir(parents=True)
    for name in ("dev", "test"):
        (folder / f"{name}.tsv").write_text("sentence\tlabel\nfine\t1\n")
    if content is not None:
        (folder / "train.tsv").write_bytes(content)
    words = ["--model", model, "--kshot", str(tmp_path / "kshot"), "--task", "sst2", "--k", "4"]
    with pytest.raises(UserError, match=said) as error:
        main([*words, "--seeds", "13", "--rows", "prompt", "--out", str(tmp_path / "out")])
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()  # nothing half-written


def test_a_task_in_another_script_is_refused_unless_allowed(model, tmp_path, caplog):
    table = tmp_path / "tasks/SST-2"
    table.mkdir(parents=True)
    for name in ("train", "dev"):
        rows = [f"日本語の文章です {i}\t{i % 2}" for i in range(20)]
        (table / f"{name}.tsv").write_text("\n".join(["sentence\tlabel", *rows]) + "\n", "utf-8")
    words = [
        "--model",
        model,
        "--tasks",
        str(tmp_path / "tasks"),
        "--task",
        "sst2",
        "--seeds",
        "13",
    ]
    words += ["--rows", "zero-shot", "--k", "4", "--jobs", "1", "--device", "cpu"]
    with pytest.raises(
        UserError, match=r"^sst2 in the vocabulary of .*% of the characters.*unknown"
    ):
        main([*words, "--out", str(tmp_path / "out")])
    with caplog.at_level("WARNING"):
        assert main([*words, "--out", str(tmp_path / "out"), "--allow-unknown"]) == 0
    assert caplog.text.count("of the characters are not in the vocabulary") == 1
    one = ["predict", model, "--task", "sst2", "--text", "日本語"]
    with pytest.raises(UserError, match=r"--text: 100.00% of the characters"):
        main(one)
    assert main([*one, "--allow-unknown"]) == 0
