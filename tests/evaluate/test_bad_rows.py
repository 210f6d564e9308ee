"""Bad rows of an evaluation: the first ends it, unless --max-bad-rows says how many may be left out."""

import json
import logging

import pytest

from fairseq_metro.common.errors import UserError
from fairseq_metro.evaluate.examples import UNREADABLE, Form, examples_of
from fairseq_metro.evaluate.kshot import Exemplars
from fairseq_metro.evaluate.suite import Run, SuiteSet
from fairseq_metro.prompts import Template
from fairseq_metro.prompts.task_data import open_dataset

WORDS = Template("toy", "words", "{{text}} {{more}} ||| {{answer_choices[label]}}", "small ||| big")
ALONE = Template("toy", "alone", "{{text}} ||| {{answer_choices[label]}}", "small ||| big")
GOOD = [json.dumps({"text": f"row {i}", "more": "x", "label": i % 2}) for i in range(10)]
CUT, LABEL = '{"text": "cut', json.dumps({"text": "a", "more": "x", "label": -1})
NO_MORE = json.dumps({"text": "b", "more": None, "label": 1})


def toy(folder, *lines):
    (folder / "toy").mkdir(exist_ok=True)
    (folder / "toy/validation.jsonl").write_text("".join(f"{line}\n" for line in lines))
    return open_dataset("toy", folder)


def examples(data, max_bad_rows, templates=(WORDS, ALONE), **form):
    one = SuiteSet("toy", "toy", "Toy")
    runs = [Run(template.task_name, one, template) for template in templates]
    return examples_of(runs, data, Form(max_bad_rows=max_bad_rows, **form))


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (CUT, "line 4 is not JSON"),
        (LABEL, "line 4 has no label"),
        (NO_MORE, "toy, row 4: no value in field .more."),
    ],
)
def test_the_first_bad_row_ends_an_evaluation(bad, says, tmp_path):
    data = toy(tmp_path, *GOOD[:3], bad, *GOOD[3:])
    with pytest.raises(UserError, match=says):
        examples(data, None)


def test_bad_rows_are_left_out_of_those_runs_that_cannot_use_them(tmp_path, caplog):
    data = toy(tmp_path, *GOOD[:3], CUT, NO_MORE, LABEL, *GOOD[3:])
    with caplog.at_level(logging.WARNING):
        words, alone = examples(data, 2)
    rows = [0, 1, 2, *range(6, 13)]
    assert words.row == rows and words.gold == [i % 2 for i in range(10)]
    assert alone.row == [0, 1, 2, 4, *range(6, 13)]
    assert alone.dropped == {UNREADABLE: 2}
    assert words.dropped[UNREADABLE] == 2 and words.dropped.total() == 3
    assert "toy, split validation: 2 of 13 rows were left out: " in caplog.text
    assert "1 not JSON" in caplog.text and "1 without a label" in caplog.text
    with pytest.raises(UserError, match=r"more than --max-bad-rows allows .1."):
        examples(data, 1)


def test_each_of_a_few_rows_and_exemplars_may_be_bad_as_well(tmp_path):
    data = toy(tmp_path, *GOOD[:3], NO_MORE, *GOOD[3:])
    (words, alone) = examples(data, 1, limit=4)
    assert words.row == [0, 2, 5, 8] and alone.row == words.row
    pool = [json.loads(NO_MORE), *map(json.loads, GOOD[:2])]
    run = Run(WORDS.task_name, SuiteSet("toy", "toy", "Toy"), WORDS)
    (shown,) = examples_of([run], data, Form(max_bad_rows=1), Exemplars(pool, 3, 1))
    assert shown.inputs[0].startswith("row 0 x\nsmall\n\nrow 1 x\nbig\n\nrow 0 x")
    with pytest.raises(UserError, match=r"toy, row 1: no value in field .more."):
        examples_of([run], toy(tmp_path, *GOOD), Form(), Exemplars(pool, 3, 1))


def test_no_row_that_can_be_used_is_an_error_whatever_is_allowed(tmp_path):
    with pytest.raises(UserError, match="line 1 has no label"):
        examples(toy(tmp_path, *[LABEL] * 20), 1.0)
    with pytest.raises(UserError, match=r"toy, row 1: no value in field .more."):
        examples(toy(tmp_path, *[NO_MORE] * 20), 1.0, [WORDS])
