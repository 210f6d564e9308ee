"""task_data/shapes.py and nested.py: rows as distributed become rows as templates need them."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairseq_metro.common.errors import UserError
from fairseq_metro.prompts.task_data.catalogue import descriptions
from fairseq_metro.prompts.task_data.shapes import SHAPES, TREC_NEW_FINE, find_shape


def shaped(name, row, path="f.json"):
    return list(find_shape(name)(row, Path(path)))


def wsc(text, span1, index1, span2="it", index2=0):
    target = {
        "span1_text": span1, "span1_index": index1, "span2_text": span2, "span2_index": index2,
    }  # fmt: skip
    return shaped("wsc_fixed", {"text": text, "target": target, "label": True})[0]


@pytest.mark.parametrize(
    ("text", "span", "index", "fixed"),
    [
        ("The dog ran to it.", "the dog", 0, "The dog"),  # case of the word at the index
        ("So it saw the dog there.", "The dog", 3, "the dog"),
        ("it saw the dog", "the dog.", 2, "the dog"),  # trailing full stop
        ("it saw the dog", "the\ndog", 2, "the dog"),  # newline
        ("it saw the dog", "the dog", 2, "the dog"),
        ("Kamenev met it and Zinoviev", "Kamenev and Zinoviev", 0, "Kamenev and Zinoviev"),
        ("it saw the dog", "the cat.", 2, "the cat."),  # beyond repair: as it was
        ("it saw the dog", "the cat.", 9, "the cat."),
    ],
)
def test_a_span_of_wsc_is_found_in_its_text(text, span, index, fixed):
    row = wsc(text, span, index)
    assert row["span1_text"] == fixed and row["span1_index"] == index
    assert row["label"] is True and "target" not in row


def test_multirc_has_a_row_for_each_answer():
    answers = [{"text": "a", "label": 0, "idx": 0}, {"text": "b", "label": 1, "idx": 1}]
    questions = [
        {"question": "q", "answers": answers, "idx": 0},
        {"question": "r", "answers": answers[:1], "idx": 1},
    ]
    row = {"idx": 5, "passage": {"text": "p", "questions": questions}}
    assert [(r["question"], r["answer"], r["label"]) for r in shaped("multirc", row)] == [
        ("q", "a", 0), ("q", "b", 1), ("r", "a", 0),
    ]  # fmt: skip
    assert shaped("multirc", row)[1]["idx"] == {"paragraph": 5, "question": 0, "answer": 1}


def test_record_has_a_row_for_each_query_and_distinct_sorted_entities():
    spans = [{"start": 4, "end": 6}, {"start": 0, "end": 2}, {"start": 8, "end": 10}]
    answers = [{"text": "Bob"}, {"text": "Ann"}, {"text": "Bob"}]
    row = {
        "idx": 1,
        "passage": {"text": "Bob Ann Bob", "entities": spans},
        "qas": [{"query": "@placeholder", "answers": answers, "idx": 0}, {"query": "x", "idx": 1}],
    }
    first, second = shaped("record", row)
    assert first["entities"] == ["Ann", "Bob"] and first["answers"] == ["Ann", "Bob"]
    assert second["answers"] == [] and second["passage"] == "Bob Ann Bob"


def test_dream_has_a_row_for_each_question():
    questions = [
        {"question": "q", "choice": ["a", "b", "c"], "answer": "b"},
        {"question": "r", "choice": ["d", "e", "f"], "answer": "d"},
    ]
    first, second = shaped("dream", {"item": [["M: x", "W: y"], questions, "5-1"]})
    assert first["dialogue"] == second["dialogue"] == ["M: x", "W: y"]
    assert (first["id"], second["id"], second["answer"]) == (0, 1, "d")


def test_arc_keeps_labels_that_are_numbers_and_any_number_of_options():
    choices = [
        {"text": "a", "label": "1"},
        {"text": "b", "label": "2"},
        {"text": "c", "label": "3"},
    ]
    row = {"id": "x", "question": {"stem": "s", "choices": choices}, "answerKey": "2"}
    (made,) = shaped("stem_and_choices", row)
    assert made["question"] == made["question_stem"] == "s"
    assert made["choices"] == {"text": ["a", "b", "c"], "label": ["1", "2", "3"]}


def test_mmlu_carries_its_subject():
    row = {"question": "q", "A": "None", "B": "1", "C": "N/A", "D": "x\ny", "answerKey": "C"}
    (made,) = shaped("mmlu", row, "high_school_us_history_val.csv")
    assert made["subject"] == "high_school_us_history"
    assert made["choices"] == {"text": ["None", "1", "N/A", "x\ny"], "label": list("ABCD")}
    (hub,) = shaped("mmlu", {"question": "q", "subject": "s", "choices": list("wxyz"), "answer": 2})
    assert hub["answerKey"] == "C" and hub["choices"]["text"] == list("wxyz")


def test_trec_by_names_whatever_the_release():
    (raw,) = shaped("trec", {"label": "NUM:dist", "text": "How far ?"})
    assert raw == {"label_coarse": "NUM", "label_fine": "dist", "text": "How far ?"}
    new = {"coarse_label": 5, "fine_label": 40, "text": "How far ?"}
    assert shaped("trec", new) == [raw]
    old = {"label_coarse": 4, "label_fine": 40, "text": "How far ?"}
    assert shaped("trec", old) == [old]
    known = descriptions()["trec"].features["label_fine"]["classes"]
    assert len(TREC_NEW_FINE) == 50 and set(TREC_NEW_FINE) == set(known) and len(known) == 47


def test_questions_on_paragraphs():
    questions = [
        {"id": "1", "question": "q", "answers": [{"text": "a", "answer_start": 2}]},
        {"id": "2", "question": "r", "answers": [], "is_impossible": True},
    ]
    row = {"title": "t", "paragraphs": [{"context": "c", "qas": questions}]}
    first, second = shaped("squad", row)
    assert first["answers"] == {"text": ["a"], "answer_start": [2]}
    assert second["answers"] == {"text": [], "answer_start": []}
    assert {one["context"] for one in (first, second)} == {"c"} and first["title"] == "t"
    assert shaped("adversarial_qa", row, "train.json")[0]["metadata"] == {"split": "train"}
    ropes = {"paragraphs": [{"background": "b", "situation": "s", "qas": [
        {"id": "1", "question": "q", "answers": [{"text": "a"}]}]}]}  # fmt: skip
    (made,) = shaped("squad", ropes)
    assert (made["background"], made["situation"], made["answers"]["text"]) == ("b", "s", ["a"])


def test_race_and_duorc_have_a_row_for_each_question():
    row = {"id": "high1.txt", "article": "x", "questions": ["q", "r"], "answers": ["A", "D"],
           "options": [list("abcd"), list("efgh")]}  # fmt: skip
    assert [(r["question"], r["answer"], r["options"][0]) for r in shaped("race", row)] == [
        ("q", "A", "a"), ("r", "D", "e"),
    ]  # fmt: skip
    asked = {"id": "1", "question": "q", "answers": ["a"], "no_answer": False}
    (made,) = shaped("duorc", {"id": "p", "plot": "x", "title": "t", "qa": [asked]})
    assert made["plot"] == "x" and made["question_id"] == "1" and made["answers"] == ["a"]


def test_quarel_and_ag_news():
    (made,) = shaped("quarel", {"world_literals": {"world1": "glass", "world2": ["carpet"]}})
    assert made["world_literals"] == {"world1": ["glass"], "world2": ["carpet"]}
    (made,) = shaped("title_and_body", {"label": "3", "title": "t", "body": "b"})
    assert made == {"label": "3", "text": "t b"}


def test_ready_made_pairs_of_p3_have_texts_beside_numbers():
    row = {"inputs": [3, 4], "inputs_pretokenized": "in", "targets": [5],
           "targets_pretokenized": "out", "answer_choices": ["out", "no"]}  # fmt: skip
    assert shaped("ready_made", row) == [
        {"inputs": "in", "targets": "out", "choices": ["out", "no"]}
    ]
    assert shaped("ready_made", {"inputs": "a", "targets": "b", "x": 1}) == [
        {"inputs": "a", "targets": "b"}
    ]


@pytest.mark.parametrize("name", sorted(set(SHAPES) - {"ready_made", "quarel", "adversarial_qa"}))
@given(row=st.dictionaries(st.sampled_from(["text", "premise", "label"]), st.text()))
def test_a_row_in_its_final_form_passes_through(name, row):
    if ":" not in str(row.get("label")):
        assert shaped(name, row) == [row]


def test_an_unknown_shape_is_answered_with_the_nearest():
    with pytest.raises(UserError, match=r"no shape 'squadd' of rows .nearest: squad"):
        find_shape("squadd")
