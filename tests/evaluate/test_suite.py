"""evaluate/suite.py: the package's suites, and a user's files with mistakes in them."""

import pytest

from fairseq_metro.common.errors import UserError
from fairseq_metro.evaluate.suite import load_suite, suite_names
from fairseq_metro.prompts import find_templates
from fairseq_metro.prompts.collection import promptsource_folder

RUNS = {"super_glue/rte": 10, "super_glue/cb": 15, "anli/r1": 15, "anli/r2": 15, "anli/r3": 15,
        "super_glue/wsc.fixed": 10, "winogrande/winogrande_xl": 5, "super_glue/copa": 8,
        "story_cloze/2016": 5, "hellaswag": 4, "super_glue/wic": 10}  # fmt: skip
ROWS = [277, 56, 1000, 1000, 1200, 104, 1267, 100, 1871, 10042, 638]


@pytest.fixture(scope="module")
def templates():
    if promptsource_folder() is None:
        pytest.skip("promptsource is not installed")
    return find_templates("promptsource")


def test_t0_eval_has_112_runs_with_the_published_templates(templates):
    suite = load_suite("t0_eval")
    found = {one.name: suite.runs_of(one, templates) for one in suite.sets}
    assert {name: len(runs) for name, runs in found.items()} == RUNS and sum(RUNS.values()) == 112
    assert [one.rows for one in suite.sets] == ROWS
    names = [run.name for runs in found.values() for run in runs]
    assert len(set(names)) == suite.runs == 112
    assert "super_glue_copa_C1_or_C2_premise_so_because_" in names
    assert {run.set.split for run in found["anli/r2"]} == {"dev_r2"}
    assert all(run.template.original_task for runs in found.values() for run in runs)
    # 115,688 prompts and 360,552 (prompt, choice) pairs, as counted from the sets' sizes.
    assert sum(one.rows * RUNS[one.name] for one in suite.sets) == 115_688


def test_cb_and_anli_have_the_same_words_in_another_order(templates):
    suite = load_suite("t0_eval")
    cb, anli = (
        {run.template.name: run.template.fixed_choices for run in suite.runs_of(one, templates)}
        for one in (suite.sets[1], suite.sets[2])
    )
    assert cb["can we infer"] == ("Yes", "No", "Maybe")
    assert all(anli[name] == (a, c, b) for name, (a, b, c) in cb.items())


def test_mmlu_has_57_subjects_and_one_template_or_five(templates):
    one, five = load_suite("mmlu"), load_suite("mmlu_five")
    subjects = dict(one.sets[0].group_rows)
    assert len(subjects) == 57 and sum(subjects.values()) == one.sets[0].rows == 1531
    assert five.sets[0].group_rows == one.sets[0].group_rows
    assert [run.name for run in one.runs_of(one.sets[0], templates)] == ["mmlu_heres_a_problem"]
    names = [run.template.name for run in five.runs_of(five.sets[0], templates)]
    assert names == ["heres_a_problem", "i_am_hesitating", "multiple_choice",
                     "pick_the_most_correct_option", "qa_options"]  # fmt: skip


@pytest.mark.parametrize("name", suite_names())
def test_every_suite_of_the_package_finds_its_templates(name, templates):
    suite, both = load_suite(name), find_templates(["promptsource", "own"])
    # For translation there are no templates but FLAN's own, which a user brings.
    known = [one for one in suite.sets if one.cluster != "translation"]
    runs = [run.name for one in known for run in suite.runs_of(one, both)]
    assert len(known) == len(suite.sets) or name == "flan"
    assert len(runs) == len(set(runs)) and suite.runs in (None, len(runs))


def test_a_users_suite_with_templates_of_its_own(tmp_path):
    (tmp_path / "rows.jsonl").write_text("{}\n")
    path = tmp_path / "mine.yaml"
    path.write_text(
        "version: 1\nname: mine\ndefaults: {cluster: toys, premise: 'So:'}\nsets:\n"
        "- dataset: my/set\n  prompts:\n"
        "    plain: {jinja: '{{a}}? ||| {{b}}', answer_choices: x ||| y}\n"
        "- {dataset: ready, jsonl: rows.jsonl, cluster: other}\n"
    )
    suite = load_suite(path)
    (run,), (ready,) = (suite.runs_of(one, None) for one in suite.sets)
    assert (run.name, run.template.fixed_choices, run.set.cluster) == (
        "my_set_plain",
        ("x", "y"),
        "toys",
    )
    assert (ready.name, ready.template, ready.set.split) == ("ready", None, "train")
    assert ready.set.premise == "So:" and ready.set.cluster == "other"
    assert [one.name for one in suite.with_sets(["ready"]).sets] == ["ready"]
    with pytest.raises(UserError, match=r"no set 'redy' .nearest: ready"):
        suite.with_sets(["redy"])


WRONG = {
    "version: 2\nname: x\nsets: [a]": "version is 2, must be one of 1",
    "version: 1\nsets: [a]": "no 'name'",
    "version: 1\nname: x\nsets: []": "no 'sets'",
    "version: 1\nname: x\nsets: [a, a]": "a is there twice",
    "version: 1\nname: x\nsets: [{dataset: a, templats: all}]": "unknown key 'templats'",
    "version: 1\nname: x\nsets: [{dataset: a, rows: 0}]": "rows is 0, must be a whole number from 1",
    "version: 1\nname: x\nsets: [{name: a}]": "no 'dataset'",
    "version: 1\nname: x\nsets: [{dataset: a, kind: generate}]": "needs metrics",
    "version: 1\nname: x\nsets: [{dataset: a, metrics: [f1]}]": "metrics belong to kind: generate",
    "version: 1\nname: x\nsets: [{dataset: a, kind: generate, metrics: [f2]}]": "metrics is",
    "version: 1\nname: x\nsets: [{dataset: a, jsonl: no.jsonl}]": "no file .*no.jsonl",
    "version: 1\nname: x\nsets: [{dataset: a, prompts: {p: 3}}]": "prompts is",
    "version: 1\nname: x\nsets: [{dataset: a, answers: b, kind: generate, metrics: [f1]}]":
        "answers belong to templates",
    "version: 1\nname: x\ndefaults: {splt: a}\nsets: [a]": "unknown key 'splt'",
    "version: 1\nname: x\ndefaults_of: nowhere\nsets: [a]": "no suite 'nowhere'",
    "version: 1\nname: [x\n": "not valid YAML",
    "- a": "not a mapping",
}  # fmt: skip


@pytest.mark.parametrize("text", WRONG)
def test_a_wrong_suite_is_one_line(tmp_path, text):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=WRONG[text]) as error:
        load_suite(path)
    assert "\n" not in str(error.value)


def test_ready_made_rows_have_no_field_of_answers(tmp_path):
    path = tmp_path / "mine.yaml"
    (tmp_path / "rows.jsonl").write_text("{}\n")
    path.write_text("version: 1\nname: x\nsets: [{dataset: a, jsonl: rows.jsonl, answers: b}]\n")
    with pytest.raises(UserError, match="a: answers belong to templates with"):
        load_suite(path)


def test_an_unknown_suite_is_answered_with_the_nearest():
    with pytest.raises(UserError, match=r"no suite 't0_evl' .nearest: t0_eval"):
        load_suite("t0_evl")
    with pytest.raises(UserError, match="no such file"):
        load_suite("nowhere/mine.yaml")


def test_a_ranked_set_needs_templates_with_choices(templates, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("version: 1\nname: x\nsets: [samsum]")
    suite = load_suite(path)
    with pytest.raises(UserError, match="samsum has no template with choices"):
        suite.runs_of(suite.sets[0], templates)
    name = templates.of("samsum")[0].name
    path.write_text(f"version: 1\nname: x\nsets: [{{dataset: samsum, templates: ['{name}']}}]")
    suite = load_suite(path)
    with pytest.raises(UserError, match="has no choices to rank"):
        suite.runs_of(suite.sets[0], templates)
