"""MMLU: the authors' one file without subjects, csv tables, five-shot, the published prompt."""

import pytest

from fairseq_metro.common.errors import UserError
from fairseq_metro.evaluate.examples import Form, examples_of
from fairseq_metro.evaluate.kshot import Exemplars
from fairseq_metro.evaluate.options import most_passages, parser
from fairseq_metro.evaluate.suite import load_suite
from fairseq_metro.prompts import find_templates
from fairseq_metro.prompts.collection import promptsource_folder
from fairseq_metro.prompts.task_data import open_dataset
from tests.evaluate.fakes import write_rows


def row(i, **more):
    choices = {"text": [f"{i}{letter}" for letter in "wxyz"], "label": list("ABCD")}
    return {"question": f"Question {i}?", "choices": choices, "answerKey": "ABCD"[i % 4], **more}


@pytest.fixture(scope="module")
def templates():
    if promptsource_folder() is None:
        pytest.skip("promptsource is not installed")
    return find_templates("promptsource")


def examples(tasks, templates, form=None, exemplars=None, suite=None):
    suite = suite or load_suite("mmlu")
    runs = suite.runs_of(suite.sets[0], templates)
    return examples_of(runs, open_dataset("mmlu", tasks), form or Form(), exemplars)[0]


def test_the_authors_file_tells_subjects_by_position(tmp_path, templates):
    write_rows(tmp_path, "mmlu", [row(i, passages=[f"p{i}"] * 12) for i in range(1531)])
    found = examples(tmp_path, templates)
    assert found.groups[:32] == ["high_school_biology"] * 32 and found.groups[32] == "jurisprudence"
    assert found.groups[-14:] == ["anatomy"] * 14 and len(set(found.groups)) == 57
    assert found.choices[5] == ("A", "B", "C", "D") and found.gold[:5] == [0, 1, 2, 3, 0]
    text = found.inputs[1]
    assert text.startswith("Here's a problem to solve: Question 1?")
    assert text.endswith("".join(f"Reference passage {k}: p1" for k in range(1, 6)))
    assert text.count("Reference passage") == 5
    assert "\n \nReference passage 1: p1Reference" in text
    write_rows(tmp_path, "mmlu", [row(i) for i in range(1530)])
    with pytest.raises(UserError, match="1,530 rows, the suite has 1,531"):
        examples(tmp_path, templates)


@pytest.mark.parametrize(
    ("words", "passages"),
    [
        ([], 5),  # METRO-T0, A.8
        (["--recipe", "release"], 10),  # its released script
        (["--recipe", "release", "--most-passages", "3"], 3),
        (["--most-passages", "12"], 12),
    ],
)
def test_the_paper_appends_five_passages_and_its_release_ten(words, passages):
    assert most_passages(parser().parse_args(["run", *words])) == passages


def test_csv_tables_name_their_subjects_and_cells_stay_text(tmp_path, templates):
    folder = tmp_path / "mmlu" / "data" / "test"
    folder.mkdir(parents=True)
    (folder / "anatomy_test.csv").write_text('What?,None,N/A,"a\nb",4.0,C\n')
    (folder / "virology_test.csv").write_text("Who?,1,2,3,4,A\nWhy?,1,2,3,4,D\n")
    suite = load_suite("mmlu").on_split("test")
    found = examples(tmp_path, templates, suite=suite)
    assert found.groups == ["anatomy", "virology", "virology"] and found.gold == [2, 0, 3]
    assert all(cell in found.inputs[0] for cell in ("A: None", "B: N/A", "D: 4.0"))


@pytest.mark.parametrize(
    ("text", "says"),
    [("What?,a,b,c,d\n", "anatomy_test.csv"), ("What?,a,b,c,d,E\n", "label 'E'"), ("", "no rows")],
)
def test_a_wrong_table_is_one_line(tmp_path, templates, text, says):
    folder = tmp_path / "mmlu" / "data" / "test"
    folder.mkdir(parents=True)
    (folder / "anatomy_test.csv").write_text(text)
    with pytest.raises(UserError, match=says) as error:
        examples(tmp_path, templates, suite=load_suite("mmlu").on_split("test"))
    assert "\n" not in str(error.value)


def test_five_shots_are_the_subjects_own_in_their_order(tmp_path, templates):
    rows = [row(i, subject="ab"[i % 2]) for i in range(6)]
    write_rows(tmp_path, "mmlu", rows, "test")
    dev = [row(100 + i, subject="ab"[i // 5]) for i in range(10)]
    exemplars = Exemplars(dev, 5, seed=1, group="subject")
    found = examples(
        tmp_path, templates, exemplars=exemplars, suite=load_suite("mmlu").on_split("test")
    )
    for place, text in enumerate(found.inputs):
        own = [text.index(f"Question {100 + 5 * (place % 2) + i}?") for i in range(5)]
        assert own == sorted(own) and text.count("Question") == 6
        assert text.rindex("Question") == text.index(f"Question {place}?")
