"""Options, exemplars and inputs without instructions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairseq_metro.common.errors import UserError
from fairseq_metro.prompts import Prompted, find_templates
from fairseq_metro.prompts.collection import promptsource_folder
from fairseq_metro.prompts.mixtures import flan, load_mixture
from tests.prompts.mixtures.made_up import template

QUESTION = Prompted("Is it?", "No", ("Yes", "No"))
SOLVED = [Prompted(f"Is {i}?", "Yes", ("Yes", "No")) for i in range(4)]


def test_options_follow_classification_inputs_in_the_choices_order():
    assert flan.with_options(QUESTION) == QUESTION._replace(input="Is it?\nOPTIONS:\n- Yes\n- No")
    free = Prompted("Tell me.", "A tale.")
    assert flan.with_options(free) is free


def test_exemplars_stand_in_front_with_their_answers():
    shown = flan.with_exemplars(QUESTION, SOLVED[:2])
    assert shown.input == (
        "Example: Is 0?\nAnswer: Yes\n\nExample: Is 1?\nAnswer: Yes\n\nNow: Is it?\nAnswer:"
    )
    assert shown[1:] == QUESTION[1:]
    assert flan.with_exemplars(QUESTION, []) is QUESTION


@given(limit=st.integers(0, 40))
def test_exemplars_that_do_not_fit_are_left_out_and_the_question_never(limit):
    shown = flan.with_exemplars(QUESTION, SOLVED, limit=limit).input
    count = shown.count("Example:")
    assert shown.endswith("Now: Is it?\nAnswer:") if count else shown == QUESTION.input
    assert not count or flan.words(shown) <= limit
    full = flan.with_exemplars(QUESTION, SOLVED[: count + 1]).input
    assert count == len(SOLVED) or flan.words(full) > limit  # one more would not fit


def test_lengths_are_measured_as_asked():
    shown = flan.with_exemplars(QUESTION, SOLVED, limit=50, length=len).input
    assert len(shown) <= 50 and shown.count("Example:") == 1


@given(
    rows=st.integers(1, 30), seed=st.integers(0, 9), low=st.integers(0, 10), more=st.integers(0, 9)
)
def test_a_row_is_never_its_own_exemplar(rows, seed, low, more):
    high = min(10, low + more)
    for row in range(rows):
        found = flan.exemplar_rows(seed, "task", row, rows, (low, high))
        assert row not in found and len(set(found)) == len(found)
        assert all(0 <= one < rows for one in found)
        assert min(low, rows - 1) <= len(found) <= min(high, rows - 1)
        assert found == flan.exemplar_rows(seed, "task", row, rows, (low, high))


def test_every_other_row_can_be_an_exemplar_and_every_number_is_drawn():
    found = [flan.exemplar_rows(seed, "task", 2, 5, (1, 3)) for seed in range(200)]
    assert {one for rows in found for one in rows} == {0, 1, 3, 4}
    assert {len(rows) for rows in found} == {1, 2, 3}
    of_others = [flan.exemplar_rows(1, "task", f"validation {i}", 5, (5, 5)) for i in range(50)]
    assert all(sorted(rows) == [0, 1, 2, 3, 4] for rows in of_others)
    assert len({tuple(rows) for rows in of_others}) > 10


@pytest.mark.parametrize(
    "jinja, paths",
    [
        ("{{ a }} and {{ b }} ||| {{ c }}", [("a",), ("b",)]),
        ("{{ b }}{{ a }}{{ b }} ||| x", [("b",), ("a",)]),
        ("{{ a | lower }} {{ b.strip() }} {{ d['e'] }}{{ d.f[0] }} ||| x", 
         [("a",), ("b",), ("d", "e"), ("d", "f")]),
        ("{{ answer_choices | join(' ') }} {{ answer_choices[label] }} {{ a }} ||| x", [("a",)]),
        ("{% if label == 0 %}{{ a }}{% else %}{{ b }}{% endif %} ||| {{ c }}", [("a",), ("b",)]),
        ("{% if x %}{{ a }} ||| {{ c }}{% else %}{{ b }} ||| {{ d }}{% endif %}{{ e }}",
         [("a",), ("b",)]),
        ("{% for s in sents %}{{ s }}{% endfor %} ||| x", [("sents",)]),
        ("{% for q, r in zip(a, b) %}{{ q }}{{ loop.index }}{% endfor %} ||| x", [("a",), ("b",)]),
        ("{% set t = a.b %}{{ t }} ||| {{ c }}", [("a", "b")]),
        ("{{ a if label else b }} {{ a ~ c }} ||| x", [("a",), ("b",), ("c",)]),
        ("{{ ['well', 'so'] | choice }} ||| x", []),
        ("{{ ', '.join(a) }} ||| x", [("a",)]),
        ("{{ a == b }} ||| x", []),
    ],
)  # fmt: skip
def test_an_input_is_made_of_the_fields_that_its_part_prints(jinja, paths):
    assert flan.input_fields(template("s", "t", jinja)) == tuple(paths)


def test_inputs_without_instructions_hold_the_rows_texts_alone():
    row = {"a": "One.", "b-c": ["two", "three"], "d": {"e": "four"}, "n": 5, "f": True}
    fields = [("a",), ("b_c",), ("d", "e"), ("n",), ("f",), ("unknown",), ("a", "deeper")]

    def plain(mode, **kwargs):
        return flan.plain(row, QUESTION, fields, mode, "glue/x", **kwargs)

    assert plain("natural") is QUESTION
    assert plain("none") == QUESTION._replace(input="One.\ntwo\nthree\nfour\n5")
    assert plain("dataset-name").input.startswith("[glue/x] One.\ntwo")
    assert plain("dataset-name", cluster="topic").input.startswith("[topic: glue/x] One.")
    with pytest.raises(UserError, match="mode is 'no', must be one of natural, none"):
        plain("no")


def test_the_answer_is_never_among_the_input_fields_of_rte_and_boolq():
    if promptsource_folder() is None:
        pytest.skip("promptsource is not installed")
    found = find_templates("promptsource")
    for dataset, fields in {
        "super_glue/rte": {("premise",), ("hypothesis",)},
        "super_glue/boolq": {("passage",), ("question",)},
        "ag_news": {("text",)},
    }.items():
        for one in found.of(dataset):
            assert set(flan.input_fields(one)) == fields, one


def test_every_template_of_the_mixtures_has_input_fields():
    if promptsource_folder() is None:
        pytest.skip("promptsource is not installed")
    found = find_templates("promptsource")
    without = [
        task.name
        for task in load_mixture("t0++").tasks(found)
        if not flan.input_fields(task.template)
    ]
    assert without == []
