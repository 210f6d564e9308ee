"""Tables 1 to 3: ours and the paper's, in every form."""

import csv

import numpy as np
import pytest
from matplotlib.image import imread

from fairseq_metro.common.errors import user_message
from fairseq_metro.papers.smash.published import published
from fairseq_metro.papers.smash.tables import main
from fairseq_metro.smash.tasks import task_file
from tests.papers.smash.results import SEEDS, cell, some, write

ALL = ["runs/student", "runs/smash-pair", "runs/middle", "runs/teacher"]
TASKS = ["mnli", "mrpc", "qqp", "rte", "sst2", "subj"]


def run(tmp_path, number, cells, *options):
    folder = write(tmp_path / "results", cells)
    words = [number, "--results", str(folder), "--out", str(tmp_path / "out"), *options]
    assert main(words) == 0
    with open(tmp_path / "out" / f"table{number}.csv", newline="") as stream:
        return list(csv.DictReader(stream)), (tmp_path / "out" / f"table{number}.md").read_text()


@pytest.mark.parametrize("number", ["1", "2", "3"])
def test_every_row_of_the_paper_is_there_twice(tmp_path, number):
    rows = "zero-shot head prompt kd kd-augmented".split()
    cells = some(ALL, rows, TASKS) + some([""], ["majority"], TASKS)
    lines, text = run(tmp_path, number, cells)
    entry = published("tables", number)
    for row in entry["rows"]:
        for source in ("ours", "paper"):
            mine = {line["test"]: line for line in lines
                    if (line["row"], line["source"]) == (row["name"], source)}  # fmt: skip
            wanted = set(entry["tests"])
            if source == "ours":
                wanted = wanted & {"MNLI-m", "MNLI-mm", "MRPC", "QQP", "RTE", "SST-2"} | {"Subj"}
                if number != "2":
                    wanted |= {"MNLI-m", "MNLI-mm", "MRPC", "QQP", "RTE", "SST-2"}
            else:
                paper = dict(zip(entry["tests"], row["paper"], strict=True))
                wanted = {test for test in wanted if paper[test] is not None}
            assert set(mine) == wanted
            assert np.isfinite([float(line["mean"]) for line in mine.values()]).all()
            assert f"| {row['name']} | {source} |" in text
    assert imread(tmp_path / "out" / f"table{number}.png").std() > 0.05


def test_a_number_is_the_mean_over_splits_of_the_run_best_on_dev(tmp_path):
    cells = [
        cell("runs/student", "prompt", "sst2", SEEDS[0], 0.5, dev=0.6),
        cell("runs/student", "prompt", "sst2", SEEDS[0], 0.9, dev=0.5, lr=1e-3),
        cell("runs/student", "prompt", "sst2", SEEDS[1], 0.7),
        cell("runs/student", "prompt", "sst2", SEEDS[1], 0.1, k=32),
    ]
    lines, text = run(tmp_path, "1", cells)
    (ours,) = (line for line in lines if line["source"] == "ours")
    assert (ours["row"], float(ours["mean"]), float(ours["std"])) == ("dR-b PT", 60, 10)
    assert ours["splits"] == "2" and "| dR-b PT | ours |  |  |  | 60.0 (10.0) |" in text
    assert "| dR-b PT - FT | paper | 8.3 | -0.1 | 4.0 | 10.2 |" in text


def test_a_majority_of_the_tests_own_labels_is_a_row_of_another_name(tmp_path):
    cells = some([""], ["majority"], ["rte", "sst2"])
    for one in cells:
        if one["task"] == "rte":
            del one["label"]  # as earlier versions wrote the row
    lines, text = run(tmp_path, "2", cells)
    ours = {(line["row"], line["test"]) for line in lines if line["source"] == "ours"}
    assert ours == {("majority", "SST-2"), ("majority of the test", "RTE")}
    assert "| majority of the test | ours |" in text
    assert "| majority of the test | paper |" not in text


def test_head_fine_tuning_in_lmbffs_form_is_a_row_of_another_name(tmp_path):
    cells = some(["runs/student"], ["prompt", "head"], ["rte"])
    for one in cells:
        one.pop("head", None)  # as earlier versions wrote the row
    lines, text = run(tmp_path, "1", cells)
    ours = [line["row"] for line in lines if line["source"] == "ours"]
    assert ours == ["dR-b PT", "dR-b FT, head of LM-BFF"]
    assert "| dR-b PT - FT | paper | 8.3 |" in text and "| dR-b PT - FT | ours |" not in text


def test_runs_with_another_template_are_not_the_tasks_number(tmp_path):
    variant = tmp_path / "sst2-template-1.yaml"
    variant.write_text(task_file("sst2").read_text())
    cells = [cell("runs/student", "prompt", variant, seed, 0.9) for seed in SEEDS]
    cells += [cell("runs/student", "prompt", "sst2", seed, 0.5) for seed in SEEDS]
    lines, _ = run(tmp_path, "1", cells)
    (ours,) = (line for line in lines if line["source"] == "ours")
    assert float(ours["mean"]) == 50


def test_without_results_it_is_the_papers_table(tmp_path):
    assert main(["2", "--out", str(tmp_path)]) == 0
    text = (tmp_path / "table2.md").read_text()
    assert "nothing yet" in text and "| SMASH | paper | 55.9 (1.6) |" in text


def test_roles_by_pattern(tmp_path):
    cells = some(["a/base", "b/base"], ["prompt"], ["sst2"])
    lines, _ = run(tmp_path, "2", cells, "--role", "student=b/base")
    assert {line["row"] for line in lines if line["source"] == "ours"} == {"dR-b"}


def mistake(tmp_path, cells, *options):
    folder = write(tmp_path / "results", cells)
    with pytest.raises(Exception) as caught:
        main(["2", "--results", str(folder), "--out", str(tmp_path), *options])
    return user_message(caught.value)


def test_mistakes_are_one_line(tmp_path):
    two = some(["a/student", "b/student"], ["prompt"], ["sst2"])
    assert "dR-b on SST-2 is there of several models: a/student, b/student" in mistake(
        tmp_path, two
    )
    assert "must be NAME=PATTERN" in mistake(tmp_path, two, "--role", "pupil=x")
    assert "no finished run yet" in mistake(tmp_path, [])
    with pytest.raises(Exception, match="no such file"):
        main(["2", "--results", str(tmp_path / "nowhere"), "--out", str(tmp_path)])
