"""LM-BFF's automatic prompts, from files in its layout, and few-shot runs with them."""

import json

import pytest

from fairseq_metro.common.errors import UserError
from fairseq_metro.evaluate.fewshot.command import main
from fairseq_metro.papers.smash.reading import read_scores
from fairseq_metro.smash.automatic import TEMPLATE, VERBALIZER, variants_of
from fairseq_metro.smash.tasks import load_task
from tests import fewshot

TEMPLATES = ["*cls**sent_0*_A*mask*_one.*sep+*", "*cls*_It\u2019s*mask*!*+sent_0**sep+*"]
WORDS = [{"1": "good", "0": "bad"}, {"0": "terrible", "1": "great"}]


def write(folder, task, lines, k=16, seed=13):
    path = folder / task / f"{k}-{seed}.sort.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return folder


def test_the_best_templates_of_a_split_become_tasks(tmp_path):
    write(tmp_path, "SST-2", [*TEMPLATES, "", "*cls**sent_0*_So*mask*.*sep+*"])
    paths = variants_of("sst2", TEMPLATE, tmp_path, 16, 13, 3, tmp_path / "out")
    assert [path.relative_to(tmp_path / "out").as_posix() for path in paths] == [
        f"16-13/sst2-template-{n}.yaml" for n in (1, 2, 3)
    ]
    tasks, manual = [load_task(path) for path in paths], load_task("sst2")
    assert [task.template for task in tasks[:2]] == TEMPLATES
    for task in tasks:
        assert task.splits_of == "sst2" and task.words == manual.words
        assert (task.title, task.folder, task.tests) == (manual.title, manual.folder, manual.tests)
    assert len(variants_of("sst2", TEMPLATE, tmp_path, 16, 13, 2, tmp_path / "out")) == 2


def test_label_words_are_put_into_the_tasks_order(tmp_path):
    write(tmp_path, "SST-2", map(json.dumps, WORDS))
    (path, _) = variants_of("sst2", VERBALIZER, tmp_path, 16, 13, 5, tmp_path / "out")
    assert list(load_task(path).words.items()) == [("0", "bad"), ("1", "good")]
    assert load_task(path).template == load_task("sst2").template
    write(tmp_path, "mr", ['{1: "good", 0: "bad"}'])  # LM-BFF's notation for its csv tasks
    (path,) = variants_of("mr", VERBALIZER, tmp_path, 16, 13, 5, tmp_path / "out")
    assert load_task(path).words == {"0": "bad", "1": "good"}
    write(tmp_path, "STS-B", ['{"0": "Yet", "1": "Indeed"}'])
    (path,) = variants_of("stsb", VERBALIZER, tmp_path, 16, 13, 5, tmp_path / "out")
    assert load_task(path).words == {"low": "Yet", "high": "Indeed"}


@pytest.mark.parametrize(
    "kind, line, said",
    [
        (TEMPLATE, "*cls**sent_0*_no.*sep+*", "16-13.sort.txt: line 1: template .* 0 masks"),
        (TEMPLATE, "*cls**sent_0**mask**+sent_1**sep+*", "2 sentences, but sst2 has 1"),
        (TEMPLATE, "*cls**senta_0**mask**sep+*", "unknown variable 'senta_0'"),
        (VERBALIZER, "{'0': 'a'", "is no mapping of labels to words"),
        (VERBALIZER, '{"0": "a", "1": 3}', "is no mapping of labels to words"),
        (VERBALIZER, "[" * 3000, "is no mapping"),
        (VERBALIZER, '{"0": "a", "yes": "b"}', "labels 0, yes, but sst2 has 0, 1"),
        (TEMPLATE, "", "no prompt in it"),
    ],
)
def test_a_bad_line_is_named(tmp_path, kind, line, said):
    write(tmp_path, "SST-2", [line])
    with pytest.raises(UserError, match=said):
        variants_of("sst2", kind, tmp_path, 16, 13, 5, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_missing_split_says_what_to_give(tmp_path):
    with pytest.raises(
        UserError, match=r"SST-2/16-21.sort.txt: cannot be read .* automatic prompts"
    ):
        variants_of("sst2", TEMPLATE, tmp_path, 16, 21, 5, tmp_path / "out")


def test_the_grid_runs_a_splits_own_prompts(tmp_path, capsys):
    """Splits have other templates; results put the i-th of each together, beside the manual one."""
    model = str(fewshot.write_model(tmp_path / "student"))
    for seed, template in ((13, TEMPLATES[0]), (21, "*cls**sent_0*_All*mask*.*sep+*")):
        fewshot.split(tmp_path, k=4, seed=seed)
        write(tmp_path / "auto_template", "SST-2", [template, TEMPLATES[1]], 4, seed)
        write(tmp_path / "auto_words", "SST-2", ['{"0": "bad", "1": "great"}'], 4, seed)
    words = ["--model", model, "--kshot", str(tmp_path / "kshot"), "--task", "sst2", "--seeds", "13",
             "21", "--rows", "prompt", "--lr", "1e-3", "--batch", "4", "--steps", "2", "--k", "4",
             "--jobs", "1", "--device", "cpu", "--best", "1", "--out", str(tmp_path / "out"),
             "--auto-templates", str(tmp_path / "auto_template"),
             "--auto-words", str(tmp_path / "auto_words")]  # fmt: skip
    assert main(words) == 0
    scores = {score.task: score for score in read_scores([tmp_path / "out"])}
    assert set(scores) == {"sst2", "sst2-template-1", "sst2-verbalizer-1"}
    assert {score.splits for score in scores.values()} == {2}
    head = (tmp_path / "out" / "table.md").read_text().splitlines()[2]
    assert head.count("SST-2") == 3 and "SST-2 (sst2-template-1)" in head
    cells = (tmp_path / "out" / "cells.jsonl").read_text()
    assert main(words) == 0 and (tmp_path / "out" / "cells.jsonl").read_text() == cells
