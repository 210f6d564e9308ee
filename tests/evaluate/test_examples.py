"""evaluate/examples.py: which rows become examples, what their texts are, why others do not."""

import json
from dataclasses import replace

import pytest

from fairseq_metro.common.errors import UserError
from fairseq_metro.evaluate.content_free import content_free_inputs
from fairseq_metro.evaluate.examples import EMPTY_CHOICE, Form, examples_of
from fairseq_metro.evaluate.kshot import Exemplars
from fairseq_metro.evaluate.passages import read_passages
from fairseq_metro.evaluate.suite import Run, SuiteSet, load_suite
from fairseq_metro.prompts import DropReason, Template, find_templates
from fairseq_metro.prompts.collection import promptsource_folder
from fairseq_metro.prompts.task_data import open_dataset
from tests.evaluate.fakes import write_rows

WORDS = Template("toy", "words", "{{text}} Which? ||| {{answer_choices[label]}}", "small ||| big")
SILENT = Template("toy", "silent", "{% if label %}{{text}} ||| {{answer_choices[1]}}{% endif %}",
                  "small ||| big")  # fmt: skip
OPTIONS = Template(
    "toy", "options", "{{text}} {{a}} or {{b}}? ||| {{[a, b][label]}}", "{{a}} ||| {{b}}"
)
RANDOM = Template("toy", "random", "{{['one', 'two', 'three', 'four'] | choice}} {{text}} ||| small",
                  "small ||| big")  # fmt: skip
ROWS = [{"text": f"row {i}", "a": f"left {i}", "b": "right", "label": i % 2} for i in range(10)]


@pytest.fixture
def toy(tmp_path):
    write_rows(tmp_path, "toy", ROWS)
    write_rows(tmp_path, "toy", [{**row, "text": f"train {row['text']}"} for row in ROWS], "train")
    return open_dataset("toy", tmp_path)


def examples(data, template, form=None, exemplars=None, **changes):
    one = SuiteSet("toy", "toy", "Toy", **changes)
    run = Run(template.task_name, one, template)
    return examples_of([run], data, form or Form(), exemplars)[0]


def test_inputs_choices_and_gold(toy):
    found = examples(toy, OPTIONS)
    assert found.inputs[3] == "row 3 left 3 or right?" and found.choices[3] == ("left 3", "right")
    assert found.gold == [0, 1] * 5 and found.row == list(range(10)) and found.rows == 10
    assert not found.dropped


def test_rows_on_which_a_template_is_silent_are_counted(toy):
    found = examples(toy, SILENT)
    assert found.row == [1, 3, 5, 7, 9] and found.dropped == {DropReason.NOT_TWO_PARTS.value: 5}


def test_all_templates_of_a_set_see_the_same_rows_in_one_reading(toy):
    one = SuiteSet("toy", "toy", "Toy")
    runs = [Run(t.task_name, one, t) for t in (WORDS, SILENT)]
    words, silent = examples_of(runs, toy, Form())
    assert len(words.inputs) == 10 and len(silent.inputs) == 5


def test_a_cut_target_is_no_choice_any_more(tmp_path):
    """Printed values are cut to 2,048 characters, choices are not."""
    long = "x" * 3000
    write_rows(tmp_path, "toy", [{**ROWS[0], "a": long}, {**ROWS[1], "a": long}])
    found = examples(open_dataset("toy", tmp_path), OPTIONS)
    assert found.row == [1] and found.dropped == {DropReason.NOT_A_CHOICE.value: 1}


def test_an_empty_choice_cannot_be_scored(tmp_path):
    write_rows(tmp_path, "toy", [{**ROWS[1], "a": " "}, ROWS[0]])
    found = examples(open_dataset("toy", tmp_path), OPTIONS)
    assert found.row == [1] and found.dropped == {EMPTY_CHOICE: 1}


def test_the_number_of_rows_is_asserted(toy):
    assert examples(toy, WORDS, rows=10).rows == 10
    with pytest.raises(UserError, match="toy, split validation: 10 rows, the suite has 11"):
        examples(toy, WORDS, rows=11)


def test_a_limit_takes_rows_from_everywhere(toy):
    assert examples(toy, WORDS, Form(limit=3)).row == [0, 3, 6]
    assert examples(toy, WORDS, Form(limit=30)).row == list(range(10))


def test_random_wordings_depend_on_the_row_or_on_the_order(toy):
    found = examples(toy, RANDOM)
    some = examples(toy, RANDOM, Form(limit=3))
    assert [found.inputs[i] for i in some.row] == some.inputs
    assert examples(toy, RANDOM, Form(seed=2)).inputs != found.inputs
    in_order = examples(toy, RANDOM, Form(sequential=True, seed=0))
    import random

    rng = random.Random(0)
    words = [rng.choice(["one", "two", "three", "four"]) for _ in ROWS]
    assert [text.split()[0] for text in in_order.inputs] == words
    # A row that is left out has its draw all the same.
    part = examples(toy, RANDOM, Form(sequential=True, seed=0, limit=3))
    assert part.inputs == [in_order.inputs[i] for i in part.row]


def test_options_and_passages(toy):
    form = Form(passages=[[f"p{i}", "q", "r"] for i in range(10)], most_passages=2)
    found = examples(toy, WORDS, form, options=True)
    assert found.inputs[4] == (
        "row 4 Which?\nOPTIONS:\n- small\n- big\n \nReference passage 1: p4Reference passage 2: q"
    )
    with pytest.raises(UserError, match="passages for 2 rows, but toy, split validation, has 10"):
        examples(toy, WORDS, Form(passages=[[], []]))


def test_passages_of_the_rows_themselves(tmp_path):
    write_rows(tmp_path, "toy", [{**ROWS[0], "passages": ["p", "q"]}])
    found = examples(open_dataset("toy", tmp_path), WORDS)
    assert found.inputs == ["row 0 Which?\n \nReference passage 1: pReference passage 2: q"]


def test_groups_by_field_or_by_position(tmp_path, toy):
    counts = (("even", 4), ("odd", 6))
    found = examples(toy, WORDS, group="kind", group_rows=counts)
    assert found.groups == ["even"] * 4 + ["odd"] * 6
    with pytest.raises(UserError, match="row 1 has no 'kind'"):
        examples(toy, WORDS, group="kind", group_rows=counts[:1])
    write_rows(tmp_path, "toy", [{**row, "kind": f"k{row['label']}"} for row in ROWS])
    found = examples(open_dataset("toy", tmp_path), WORDS, group="kind", group_rows=counts)
    assert found.groups == ["k0", "k1"] * 5


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("plain", "{0} Which?\n{1}\n\n{2} Which?\n{3}\n\nrow 4 Which?"),
        ("flan", "Example: {0} Which?\nAnswer: {1}\n\nExample: {2} Which?\nAnswer: {3}\n\n"
                 "Now: row 4 Which?\nAnswer:"),
    ],
)  # fmt: skip
def test_exemplars_stand_before_the_question(toy, form, expected):
    pool = list(toy.rows("train"))
    exemplars = Exemplars(pool, 2, seed=1, form=form)
    shown = exemplars.rows_for(WORDS.task_name, 4, ROWS[4])
    assert len(shown) == 2 and shown != exemplars.rows_for(WORDS.task_name, 5, ROWS[5])
    texts = [t for row in shown for t in (row["text"], ["small", "big"][row["label"]])]
    assert examples(toy, WORDS, exemplars=exemplars).inputs[4] == expected.format(*texts)


def test_exemplars_that_do_not_fit_are_left_out_and_a_question_is_never_cut(toy):
    pool = list(toy.rows("train"))
    for limit, shots in ((3, 0), (7, 0), (8, 1), (13, 2), (100, 5)):
        exemplars = Exemplars(pool, 5, seed=1, limit=limit)
        text = examples(toy, WORDS, exemplars=exemplars).inputs[0]
        assert text.count("train") == shots and text.endswith("row 0 Which?")


def test_a_small_pool_of_the_same_group_is_shown_in_its_order():
    pool = [{"kind": kind, "n": n} for n in range(3) for kind in "ab"]
    exemplars = Exemplars(pool, 3, seed=1, group="kind")
    assert exemplars.rows_for("run", 0, {"kind": "b"}) == pool[1::2]
    assert exemplars.rows_for("run", 0, {"kind": "c"}) == []


def test_ready_made_rows(tmp_path):
    rows = [{"inputs": " Is it? ", "targets": "no", "choices": ["yes", "no "]},
            {"inputs": "Or?", "targets": "maybe", "choices": ["yes", "no"]}]  # fmt: skip
    path = write_rows(tmp_path, "x", rows)
    one = SuiteSet("ready", "ready", "Ready", split="train", jsonl=path)
    (found,) = examples_of([Run("ready", one, None)], open_dataset(one.source), Form())
    assert (found.inputs, found.choices, found.gold) == (["Is it?"], [("yes", "no")], [1])
    assert found.dropped == {DropReason.NOT_A_CHOICE.value: 1}
    path = write_rows(tmp_path, "x", [{"inputs": "Is it?", "targets": "no"}])
    with pytest.raises(UserError, match="row 1 has no choices"):
        examples_of([Run("ready", one, None)], open_dataset(one.source), Form())
    one = replace(one, kind="generate", metrics=("f1",))
    (found,) = examples_of([Run("ready", one, None)], open_dataset(one.source), Form())
    assert (found.inputs, found.targets, found.choices) == (["Is it?"], ["no"], [])


RECORD = {"passage": "Ann met Bob. Ann left.", "query": "@placeholder left.",
          "entities": ["Bob", "Ann", "Ms Ann"], "answers": ["Ms Ann", "Ann", "Cid"]}  # fmt: skip
WHO = Template("toy", "who", "{{passage}} {{query}} ||| {{answers | choice}}",
               "{{entities | join('|||')}}")  # fmt: skip
SENTENCE = Template(
    "toy", "sentence", "{{passage}} ||| - {{query | replace('@placeholder', answers | choice)}}",
    "{% for e in entities %}- {{query | replace('@placeholder', e)}} ||| {% endfor %}- Nobody."
)  # fmt: skip


@pytest.mark.parametrize("template", [WHO, SENTENCE])
def test_any_of_several_right_answers_counts(tmp_path, template):
    """Whatever a template makes of an answer; one that is no choice (Cid) counts nowhere."""
    write_rows(tmp_path, "toy", [RECORD] * 40 + [{**RECORD, "answers": ["Bob"]}])
    data = open_dataset("toy", tmp_path)
    found = examples(data, template, answers="answers")
    # Where the one answer drawn is no choice, the row is dropped as ever.
    assert found.dropped == {DropReason.NOT_A_CHOICE.value: 41 - len(found.row)}
    assert found.right == [(1, 2)] * (len(found.row) - 1) + [(0,)]
    assert set(found.gold[:-1]) == {1, 2}  # which of them the target is, the row's draw decides
    assert examples(data, template).right == []


def test_right_answers_among_choices_made_of_them(tmp_path):
    """Alone in its field an answer leaves other choices; its place is that among the row's own."""
    template = Template("toy", "made", "{{passage}} ||| {{answers | last}}",
                        "nobody ||| {{answers | join('|||')}}")  # fmt: skip
    write_rows(tmp_path, "toy", [RECORD])
    found = examples(open_dataset("toy", tmp_path), template, answers="answers")
    assert (found.gold, found.right) == ([3], [(1, 2, 3)])


@pytest.mark.parametrize("answers", ["Ann", None, [1], [], {}])
def test_right_answers_are_a_list_of_texts(tmp_path, answers):
    template = Template("toy", "first", "{{passage}} ||| Ann", "Bob ||| Ann")
    write_rows(tmp_path, "toy", [{**RECORD, "answers": answers}])
    if answers == []:
        assert examples(open_dataset("toy", tmp_path), template, answers="answers").right == [(1,)]
        return
    with pytest.raises(UserError, match="toy, row 1: no list of texts in 'answers'"):
        examples(open_dataset("toy", tmp_path), template, answers="answers")


def test_content_free_inputs_keep_the_choices():
    pair = OPTIONS.prompt(ROWS[3])
    assert content_free_inputs(OPTIONS, ROWS[3], pair)[0] == "N/A left 3 or right?"
    assert content_free_inputs(WORDS, ROWS[3], WORDS.prompt(ROWS[3])) == (
        "N/A Which?", "[MASK] Which?", "- Which?",
    )  # fmt: skip


def test_a_fingerprint_tells_every_text_and_setting(toy):
    found = examples(toy, WORDS)
    print_ = found.fingerprint({"model": "a"})
    assert print_ == examples(toy, WORDS).fingerprint({"model": "a"})
    assert print_ != found.fingerprint({"model": "b"})
    for name, change in (
        ("inputs", "other"),
        ("gold", 1),
        ("groups", "law"),
        ("choices", ("small", "bg")),
        ("row", 7),
    ):
        one = replace(found, **{name: [change, *getattr(found, name)[1:]]})
        assert one.fingerprint({"model": "a"}) != print_


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "line 2: not JSON"),
        ('{"passages": "one"}', "line 2: no list of texts"),
        ('{"passages": ["a"], "row": 7}', "line 2: row 7, expected 1"),
        ("[1]", "line 2: no list of texts"),
    ],
)
def test_a_wrong_passages_file_is_one_line(tmp_path, line, says):
    path = tmp_path / "passages.jsonl"
    path.write_text(f'{{"passages": ["a"], "row": 0}}\n{line}\n')
    with pytest.raises(UserError, match=says):
        read_passages(path)
    path.write_text('{"passages": ["a"], "row": 0}\n{"passages": []}\n')
    assert read_passages(path) == [["a"], []]
    path.write_bytes(b'{"passages": ["\xff"]}\n')
    with pytest.raises(UserError, match="not UTF-8"):
        read_passages(path)
    with pytest.raises(UserError, match="no such file"):
        read_passages(tmp_path / "none.jsonl")


THREE = {
    "MNLI crowdsource": "Correct Incorrect Inconclusive", "GPT-3 style": "True False Neither",
    "claim true/false/inconclusive": "True False Inconclusive",
    "take the following as truth": "True False Inconclusive",
    "always/sometimes/never": "Always Never Sometimes",
    "consider always/sometimes/never": "Always Never Sometimes",
    "guaranteed/possible/impossible": "Guaranteed Impossible Possible",
}  # fmt: skip
LABELS = "entailment contradiction neutral".split()


def published_words(dataset, template):
    """{label: word} of a template, as the published lists have them."""
    if dataset == "super_glue/rte":
        words = "True False" if template == "GPT-3 style" else "Yes No"
        return dict(zip(("entailment", "not_entailment"), words.split(), strict=True))
    return dict(zip(LABELS, THREE.get(template, "Yes No Maybe").split(), strict=True))


def labels_have_their_words(name, data, labels):
    """Every template of T0 Eval has, on every row, the word of the label that the file says."""
    if promptsource_folder() is None:
        pytest.skip("promptsource is not installed")
    one = load_suite("t0_eval").with_sets([name]).sets[0]
    runs = load_suite("t0_eval").runs_of(one, find_templates("promptsource"))
    runs = [replace(run, set=replace(one, rows=len(labels))) for run in runs]
    for found in examples_of(runs, data, Form()):
        words = published_words(one.dataset, found.run.template.name)
        assert not found.dropped and len(found.inputs) == len(labels)
        chosen = [c[g] for c, g in zip(found.choices, found.gold, strict=True)]
        assert chosen == [words[label] for label in labels]
    return len(runs)


@pytest.mark.parametrize(("name", "count"), [("super_glue/rte", 10), ("super_glue/cb", 15)])
def test_real_rows_of_cb_and_rte_have_the_right_words(shared, name, count):
    data = open_dataset(name, shared / "data" / "tasks")
    with open(data.files("validation")[0], encoding="utf-8") as stream:
        labels = [json.loads(line)["label"] for line in stream]
    assert labels_have_their_words(name, data, labels) == count


def test_rows_of_anli_as_distributed_have_the_right_words(tmp_path):
    """The same words as CB's, whose second and third label change places."""
    labels = [LABELS[i] for i in (0, 2, 1, 1, 0, 2)]
    rows = [{"uid": str(i), "context": f"It rains {i} times.", "hypothesis": "It is wet.",
             "label": label[0], "reason": ""} for i, label in enumerate(labels)]  # fmt: skip
    write_rows(tmp_path, "anli/R2", rows, "dev")
    data = open_dataset("anli", tmp_path)
    assert [row["label"] for row in data.rows("dev_r2")] == [0, 1, 2, 2, 0, 1]
    assert labels_have_their_words("anli/r2", data, labels) == 15


# Templates that cannot work, rows without a value


@pytest.mark.parametrize(
    "jinja, choices, words",
    [
        ("{{txt}} ||| {{answer_choices[label]}}", "small ||| big", "'txt' is no field .*nearest: text"),
        ("{{text}} ||| {{answer_choices[lable]}}", "small ||| big", "'lable' .*nearest: label"),
        ("{{txt.lower()}} ||| small", "small ||| big", "'txt' is no field"),
        ("{{text}} {{answer_choices[label]}}", "small ||| big", r"no '\|\|\|' in it"),
        ("{{text}} ||| {{answer_choices[label]}}", "small, big", "'small, big', a single choice"),
        ("{{text}} ||| tiny", "small ||| big", r"no example .*\(10 target not among choices"),
        ("{% if label == 7 %}{{text}} ||| small{% endif %}", "small ||| big", "10 not two parts"),
    ],
)  # fmt: skip
def test_a_template_that_cannot_work_is_an_error(toy, jinja, choices, words):
    bad = Template("toy", "bad", jinja, choices, file="mine.yaml")
    with pytest.raises(UserError, match=words) as error:
        examples(toy, bad, templates=("bad",))
    assert "mine.yaml: template 'bad'" in str(error.value) and "\n" not in str(error.value)


def test_a_template_without_examples_is_logged_where_a_collection_or_a_limit_has_it(toy, caplog):
    found = examples(toy, Template("toy", "no", "{{text}} ||| tiny", "small ||| big"))
    assert not found.inputs and "10 target not among choices" in caplog.text
    rare = Template(
        "toy", "rare", "{% if label == 7 %}{{text}} ||| small{% endif %}", "small ||| big"
    )
    assert not examples(toy, rare, Form(limit=3)).inputs
    assert "3 not two parts" in caplog.text


@pytest.mark.parametrize("row", [{"text": None, "label": 1}, {"label": 1}])
def test_a_row_without_a_value_that_is_printed_is_an_error_with_its_place(tmp_path, row):
    write_rows(tmp_path, "toy", [ROWS[0], row])
    with pytest.raises(
        UserError, match=r"toy, row 2: no (value in )?field 'text', which toy: temp"
    ):
        examples(open_dataset("toy", tmp_path), WORDS)
