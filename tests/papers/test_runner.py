"""train_scripts/reproduce: every script and scale says its plan; steps, adoption, one real run."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from fairseq_metro.common.errors import UserError
from fairseq_metro.papers import cells, reproduction
from fairseq_metro.papers.adopted import adopted_rows
from fairseq_metro.papers.cells import Place, curves_file, run_folder
from fairseq_metro.papers.mixtures import BASE, NAME, changed_mixture, plain_templates
from fairseq_metro.papers.steps import BYTES, Step
from fairseq_metro.papers.targets import find_target, finetuning, target_names
from fairseq_metro.prompts import find_templates
from fairseq_metro.prompts.mixtures import load_mixture
from tests.trainer.test_checkpoints import save
from tests.training import ROOT, spawn

SCRIPT = ROOT / "train_scripts" / "reproduce.sh"
EVERY = [(name, scale) for name in target_names() for scale in find_target(name).scales]


def test_there_is_a_target_for_every_table_and_figure():
    papers = [name.split("_")[0] for name in target_names()]
    assert [papers.count(one) for one in ("metro", "smash", "flan")] == [18, 8, 5]


@pytest.mark.parametrize("name, scale", EVERY)
def test_a_plan_names_steps_tokens_disk_and_time(name, scale, capsys, tmp_path):
    words = [name, "--scale", scale, "--plan", "--out", str(tmp_path / "rows.jsonl")]
    assert reproduction.main([*words, "--work", str(tmp_path / "work")]) == 0
    said = capsys.readouterr().out
    target = find_target(name)
    steps = reproduction.steps_of(target, scale)
    assert said.startswith(f"{target.paper}: {target.title} (SCALE={scale})")
    assert f"{len(steps)} steps to run, 0 finished already" in said
    assert all(f"  {step.key}: " in said for step in steps)
    assert re.search(
        r"in all: [\d,]+ tokens, [\d,]+ MB of disk in .*(minutes|hours) \(not probed", said
    )
    assert len({step.key for step in steps}) == len(steps)
    assert not list(tmp_path.iterdir())  # a plan leaves nothing behind


@pytest.mark.parametrize("name", target_names())
def test_at_cpu_scale_no_step_is_longer_than_forty_minutes(name):
    target = find_target(name)
    for step in reproduction.steps_of(target, "cpu"):
        assert step.seconds <= 40 * 60, step.key


def test_one_seed_of_the_pair_takes_less_than_eighty_minutes_of_two_cores():
    steps = reproduction.steps_of(find_target("metro_table2"), "cpu", [1])
    seconds = [step.seconds / (2 if step.kind == "pretrain" else 1) for step in steps
               if step.fields["variant"] in ("metro", "t5")]  # fmt: skip
    assert sum(seconds) < 80 * 60


def test_equal_compute_is_equal_flops():
    from fairseq_metro.papers.compute import compute_ratio

    steps = reproduction.steps_of(find_target("metro_table2"), "cpu", [1])
    updates = {step.fields["variant"]: step.fields["updates"] for step in steps}
    assert updates["metro"] == updates["t5"] == 7000
    assert updates["metro-equal-compute"] == round(7000 / compute_ratio("small")) < 3500


def test_a_script_hands_its_variables_over(tmp_path):
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    command = ["bash", SCRIPT, "flan_fewshot", "--dry-run"]
    done = spawn(command, SCALE="paper", WORK="somewhere", PROCESSES="64", SEEDS="1 2",
                 OUT=str(tmp_path / "rows.jsonl"), PATH=path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "SCALE=paper" in done.stdout and "somewhere" in done.stdout


@pytest.mark.parametrize(
    "words, message",
    [
        (["metro_table22"], "no table or figure 'metro_table22'.*metro_table2"),
        (["smash_table2", "--scale", "gpu1"], "SCALE=gpu1: smash_table2 has cpu, paper"),
        (["metro_table2", "--scale", "paper"], "SCALE=paper needs a GPU"),
        (["metro_table4", "--variants", "t6"], "--variants t6: metro_table4 has all-positions, "),
        (["flan_tasks"], "TEXT=: no such folder; set it to that of text files"),
    ],
)
def test_mistakes_are_one_line(words, message, tmp_path, monkeypatch):
    monkeypatch.setattr(reproduction, "slowness", lambda: 1.0)
    monkeypatch.setattr(reproduction, "gpu_flops", lambda *size: None)
    with pytest.raises(UserError, match=message):
        reproduction.main([*words, "--out", str(tmp_path / "r.jsonl"), "--work", str(tmp_path)])


# Rows


def test_finished_steps_are_not_run_again_but_a_model_that_is_gone_is(tmp_path):
    place = Place(work=tmp_path, out=tmp_path / "rows.jsonl")
    todo = reproduction.steps_of(find_target("flan_tasks"), "cpu")
    everything = {step.key: {} for step in todo}
    assert reproduction.pending(todo, everything, place) == []
    first, second = todo[0], todo[1]
    assert (first.kind, second.kind) == ("pretrain", "finetune")
    rows = {key: row for key, row in everything.items() if key != second.key}
    assert reproduction.pending(todo, rows, place) == [first, second]  # its model is needed
    folder = run_folder(first.fields, place)
    folder.mkdir(parents=True)
    save(folder / "checkpoint_last.pt", first.fields["updates"] - 1)
    assert reproduction.pending(todo, rows, place) == [first, second]  # whole, by its last update
    save(folder / "checkpoint_last.pt", first.fields["updates"])
    assert reproduction.pending(todo, rows, place) == [second]


def test_rows_of_the_earlier_experiments_are_adopted(tmp_path):
    rows = {
        "pretraining.jsonl": {"variant": "metro", "seed": 1, "arch": "small", "updates": 7000},
        "prompt_finetuning.jsonl": {
            "model": "t5", "seed": 2, "arch": "t5_transformer_small", "mixture": "real-sentences",
            "updates": 3000, "updates_planned": 3000, "max_tokens": 4096, "pretraining_updates": 7000,
        },
        "reproduction_spans.jsonl": {"model": "t5", "updates": 7000, "seed": 2, "pattern": "iid"},
    }  # fmt: skip
    for name, row in rows.items():
        (tmp_path / name).write_text(json.dumps(row) + "\n")
    keys = [row["key"] for row in adopted_rows(tmp_path)]
    todo = {step.key for step in reproduction.steps_of(find_target("metro_table2"), "cpu")}
    assert keys == ["pretrain small-metro-7000-1", "finetune small-t5-7000-2 sentences",
                    "spans small-t5-7000-2"]  # fmt: skip
    assert set(keys) <= todo


def test_ones_own_run_does_not_begin_with_what_this_project_found(tmp_path, monkeypatch, capsys):
    measured = tmp_path / "results" / "reproduction.jsonl"
    measured.parent.mkdir()
    todo = reproduction.steps_of(find_target("metro_table2"), "cpu")
    step = next(step for step in todo if step.kind == "finetune")  # a result, no model
    row = {"key": step.key, "kind": "finetune", "scale": "cpu", **step.fields, "result": {}}
    measured.write_text(json.dumps(row) + "\n")
    earlier = {"model": "t5", "updates": 7000, "seed": 2, "pattern": "iid"}
    (measured.parent / "reproduction_spans.jsonl").write_text(json.dumps(earlier) + "\n")
    for place in (reproduction, cells):
        monkeypatch.setattr(place, "MEASURED", measured)
    words = ["metro_table2", "--plan", "--work", str(tmp_path / "work")]
    for more, finished, curves in (
        ([], 0, tmp_path / "work" / "results_curves.jsonl"),
        (["--out", str(measured)], 2, ROOT / "benchmarks" / "results" / "smash_curves.jsonl"),
    ):
        assert reproduction.main([*words, *more]) == 0
        said = f"{len(todo) - finished} steps to run, {finished} finished already"
        assert said in capsys.readouterr().out
        out = Path(more[1]) if more else tmp_path / "work" / "results.jsonl"
        assert curves_file(Place(work=tmp_path, out=out)) == curves


def test_some_variants_alone(tmp_path, capsys):
    words = ["metro_table4", "--plan", "--work", str(tmp_path), "--variants", "metro", "span"]
    assert reproduction.main(words) == 0
    steps = re.findall(r"^  (\w+) tiny-([\w-]+)-2000-1", capsys.readouterr().out, re.M)
    assert steps == [
        (kind, name) for name in ("metro", "span") for kind in ("pretrain", "finetune")
    ]


# Changed mixtures


def test_fewer_sets_are_trained_on_and_all_are_evaluated(tmp_path):
    path, templates = changed_mixture(finetuning("two-sets"), tmp_path, None)
    mixture = load_mixture(str(path))
    assert [one.dataset for one in mixture.sets] == ["glue/sst2", "trec"] and templates is None
    assert changed_mixture(finetuning("sentences"), tmp_path, None) == ("real-sentences", None)


@pytest.mark.parametrize("kind, said", [("none", "a question"), ("name", "trec: a question")])
def test_training_without_instructions(kind, said, tmp_path):
    pytest.importorskip("promptsource")
    folder = plain_templates(kind, tmp_path, None)
    templates = find_templates(str(folder))
    prompted = templates.get("trec", NAME).prompt({"text": "a question", "label_coarse": 3})
    assert (prompted.input, prompted.target) == (said, "Person")
    assert len(templates.of("trec")) == len(find_templates().of("trec")) + 1


# One real run, as small as can be


@pytest.mark.slow
def test_a_table_from_text_to_verdict(shared, tmp_path, monkeypatch):
    """A pair of tiny models for a few updates: rows one by one, resumed, table, plot, verdict."""
    settings = {"runs": "trained", "variants": ["metro", "t5"], "arch": "tiny", "updates": [40],
                "seeds": [1], "finetune": ["short"], "spans": True}  # fmt: skip
    monkeypatch.setitem(find_target("metro_table2").settings, "cpu", settings)
    mixture = yaml.safe_load(BASE.read_text("utf-8"))
    for part, rows in (("sets", 200), ("valid", 24), ("heldout", 24)):
        mixture[part] = [{**one, "first": rows} for one in mixture[part]]
    mixture["heldout"] = mixture["heldout"][:2]
    (tmp_path / "mixture.yaml").write_text(yaml.safe_dump(mixture))
    monkeypatch.setitem(finetuning("short"), "updates", 20)
    monkeypatch.setitem(finetuning("short"), "mixture", str(tmp_path / "mixture.yaml"))
    monkeypatch.setattr(reproduction, "slowness", lambda: 1.0)
    text = tmp_path / "text"
    (text / "books").mkdir(parents=True)
    source = shared / "data" / "text"
    (text / "some.txt").write_text((source / "movie_reviews.txt").read_text("utf-8")[:900_000])
    for name in ("wikitext2.valid.txt", "wikitext2.test.txt"):
        (text / name).write_text((source / name).read_text("utf-8")[:60_000])
    words = ["metro_table2", "--text", str(text), "--tasks", str(shared / "data" / "tasks"),
             "--work", str(tmp_path / "work"), "--out", str(tmp_path / "rows.jsonl"),
             "--blocks", "40"]  # fmt: skip
    assert reproduction.main([*words, "--only", "pretrain"]) == 0
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert [row["kind"] for row in rows] == ["pretrain", "pretrain"]
    assert reproduction.main(words) == 0
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert [row["kind"] for row in rows[2:]] == ["finetune", "spans"] * 2
    report = (tmp_path / "rows_metro_table2_cpu.md").read_text()
    assert "METRO-T0 is ahead of T0 of equal pretraining updates: **one seed" in report
    assert "METRO-T5 knows more of the masked tokens of both targets: **one seed" in report
    assert "| T0 base | 62.85 |" in report
    assert (tmp_path / "rows_metro_table2_cpu.png").stat().st_size > 10_000
    assert reproduction.main(words) == 0  # nothing is left to do
    assert len((tmp_path / "rows.jsonl").read_text().splitlines()) == len(rows)


def test_a_step_is_what_its_fields_say():
    step = Step("a", "b", {})
    assert step.seconds is None and step.command is None and BYTES["tiny"] < BYTES["small"]


def test_shell_is_whole():
    assert subprocess.run(["bash", "-n", SCRIPT]).returncode == 0
