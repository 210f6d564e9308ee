"""prompts/template.py: names of tasks, the steps of rendering, what a bad template or row says."""

import pickle
import random
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairseq_metro.common.errors import UserError
from fairseq_metro.prompts import DropReason, Template, row_random, task_name
from fairseq_metro.prompts.rules import EVALUATION, METRO, T0


def template(jinja, answer_choices=None, dataset="some/set", name="a name"):
    return Template(dataset, name, jinja, answer_choices)


YES_NO = template("{{text}}? ||| {{answer_choices[label]}}", "Yes ||| No")


@pytest.mark.parametrize(
    ("dataset", "name", "expected"),
    [
        ("super_glue/rte", "can we infer", "super_glue_rte_can_we_infer"),
        ("hellaswag", "Predict ending with hint", "hellaswag_Predict_ending_with_hint"),
        ("ai2_arc/ARC-Easy", "pick - one!! (é)", "ai2_arc_ARC_Easy_pick_one_é_"),
        ("cos_e/v1.11", "so/because… ", "cos_e_v1.11_so_because_"),
    ],
)
def test_names_of_tasks(dataset, name, expected):
    assert task_name(dataset, name) == expected
    assert template("", dataset=dataset, name=name).task_name == expected


@pytest.mark.parametrize("length", [2048, 2053, 2054, 3000])
def test_printed_values_are_cut_at_a_space_with_a_leeway_of_five(length):
    text = ("word " * 700)[: length - 1] + "."
    source, target = template("A {{text}} B ||| {{text}}").apply({"text": text})
    if length <= 2053:
        assert target == text
    else:
        assert target == ("word " * 409).rstrip() + "..." and len(target) <= 2048
    assert source == f"A {target} B"
    assert template("{{text}} ||| {{text}}").apply({"text": text}, truncate=False)[1] == text


def test_separator_in_the_row_is_kept_and_does_not_split():
    both = template("{{a}} and {{b[0]}} ||| {{answer_choices[1][-1]}}", "{{a}}x ||| {{a}}y")
    assert both.apply({"a": "1|||2", "b": ["z"]}) == ["1|||2 and z", "y"]
    assert both.choices_of({"a": "1|||2"}) == ["1|||2x", "1|||2y"]
    # As in promptsource, what stands deeper in the row, or in a printed choice, does split.
    assert both.apply({"a": "1", "b": ["3|||4"]}) == ["1 and 3", "4", "y"]
    printed = template("{{a}} ||| {{answer_choices[0]}}", "{{a}}x")
    assert printed.apply({"a": "1|||2"}) == ["1|||2", "1", "2x"]


@given(st.lists(st.text(), max_size=4), st.text())
def test_parts_are_stripped_and_whole(texts, last):
    row = {f"t{i}": text for i, text in enumerate(texts)} | {"last": last}
    jinja = "|||".join(f" {{{{ {name} }}}}\n" for name in row)
    assert template(jinja).apply(row) == [text.strip() for text in row.values()]


def test_fixed_choices_are_those_of_any_row():
    assert YES_NO.fixed_choices == ("Yes", "No")
    assert YES_NO.choices_of({"label": 0}) == ["Yes", "No"]
    assert template("", "{% for i in [1, 2] %}c{{i}}|||{% endfor %}d").fixed_choices == (
        "c1", "c2", "d",
    )  # fmt: skip
    assert template("", "{{a}} ||| {{b}}").fixed_choices is None
    assert template("x").fixed_choices is None and template("x").choices_of({}) is None


def test_undefined_names_print_nothing_and_trailing_newlines_stay_off():
    assert template("{{nothing}}a{{nothing}} ||| b\n").apply({}) == ["a", "b"]
    assert template("{% if label == 3 %}a ||| b{% endif %}").apply({"label": 1}) == [""]


def test_a_row_is_as_it_was_afterwards():
    changing = template("{{a.append(1)}}{{a|length}} ||| {{answer_choices.pop()}}", "x ||| y")
    row = {"a": [0], "b": {"c": "|||"}}
    for _ in range(2):
        assert changing.apply(row) == ["None2", "y"]
    assert row == {"a": [0], "b": {"c": "|||"}}
    assert changing.prompt(row).choices == ("x", "y")


def test_prompted_pairs_and_reasons():
    assert YES_NO.prompt({"text": "Is it", "label": 1}) == ("Is it?", "No", ("Yes", "No"))
    assert YES_NO.prompt({"text": "Is it", "label": 1}).gold == 1
    assert YES_NO.prompt({"text": "Is it", "label": 2}) is DropReason.EMPTY_TARGET
    assert YES_NO.prompt({"text": "Is it", "label": 2}, rules=T0).target == "<NO LABEL>"
    hyphens = template("{{a_b}} ||| c")
    assert hyphens.prompt({"a-b": "x"}).input == "x"
    assert hyphens.prompt({"a-b": ""}).input == ""
    assert hyphens.prompt({"a-b": ""}, rules=T0) is DropReason.EMPTY_INPUT
    assert hyphens.apply({"a-b": "x"})[0] == ""  # promptsource's own leaves names alone
    other = template("a ||| {{b}}", "c ||| d")
    assert other.prompt({"b": "e"}, rules=METRO).gold == -1
    assert other.prompt({"b": "e"}, rules=EVALUATION) is DropReason.NOT_A_CHOICE
    empty = template("{{ items | choice }} ||| a")
    assert empty.prompt({"items": []}) is DropReason.INDEX_ERROR
    with pytest.raises(IndexError):
        empty.apply({"items": []})
    assert template("a").prompt({}) is DropReason.NOT_TWO_PARTS
    assert template("a ||| b ||| c").prompt({}) is DropReason.NOT_TWO_PARTS


def test_random_wordings_follow_the_generator_they_are_given():
    wording = template("{{ ['a', 'b', 'c', 'd'] | choice }}{{ x | random }} ||| y")
    assert wording.random and not YES_NO.random
    row = {"x": list("efgh")}
    drawn = [wording.apply(row, row_random(1, "t", i))[0] for i in range(50)]
    assert drawn == [wording.apply(row, row_random(1, "t", i))[0] for i in range(50)]
    assert len(set(drawn)) > 8  # not chosen once, when the template is compiled
    rng = random.Random(5)
    expected = rng.choice("abcd") + rng.choice("efgh")
    random.seed(5)
    assert wording.apply(row)[0] == expected  # without a generator: Python's own, as promptsource


def test_threads_do_not_share_a_generator():
    wording = template("{% for i in range(200) %}{{ [0, 1] | choice }}{% endfor %} ||| y")
    alone = [wording.apply({}, random.Random(i)) for i in range(16)]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda i: wording.apply({}, random.Random(i)), range(16)))
    assert together == alone


def test_a_used_template_goes_to_another_process():
    assert YES_NO.apply({"text": "a", "label": 0})
    copy = pickle.loads(pickle.dumps(YES_NO))
    assert copy.apply({"text": "a", "label": 0}) == ["a?", "Yes"]


@pytest.mark.parametrize(
    ("jinja", "row", "message"),
    [
        ("a {% if %}", {}, "set: template 'a name': line 1: Expected an expression"),
        ("\n{{ a | nofilter }}", {}, "set: template 'a name': line 2: No filter named 'nofilter'"),
        ("{{ a.b.c }}", {"a": "x", "z": 1}, "no attribute 'b' (the row's fields: a, z)"),
        ("{{ 1 + a }}", {"a": "x"}, "TypeError: unsupported operand"),
        ("{{ a }}", {"a": "x", "answer_choices": 1}, "a row has a field 'answer_choices'"),
    ],
)  # fmt: skip
def test_what_a_template_cannot_do_is_said_in_one_line(jinja, row, message):
    with pytest.raises(UserError) as error:
        template(jinja).apply(row)
    assert message in str(error.value) and "\n" not in str(error.value)
    assert "some/set: template 'a name'" in str(error.value)
