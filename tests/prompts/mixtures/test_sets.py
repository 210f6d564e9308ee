"""Rows and templates that a set of a mixture picks."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairseq_metro.common.errors import UserError
from fairseq_metro.prompts.mixtures import MixtureSet
from fairseq_metro.prompts.mixtures.sets import jsonl_tasks
from tests.prompts.mixtures.made_up import template

FOUND = [template("cr", name, original_task=name != "odd one") for name in ("a", "b", "odd one")]


def names(**kwargs):
    return [one.name for one in MixtureSet("cr", "cr", **kwargs).chosen(FOUND)]


@given(count=st.integers(0, 300), every=st.integers(2, 20), first=st.integers(1, 400))
def test_kept_and_left_rows_are_two_parts_of_the_first_rows(count, every, first):
    kept = MixtureSet("cr", "cr", first=first, keep_every=every).row_indices(count).tolist()
    left = MixtureSet("cr", "cr", first=first, leave_every=every).row_indices(count).tolist()
    assert sorted(kept + left) == list(range(min(count, first)))
    assert kept == sorted(kept) and left == sorted(left)
    assert not set(left) & set(MixtureSet("cr", "cr", keep_every=2 * every).row_indices(count))


def test_templates_are_picked_by_kind_by_name_and_by_exclusion():
    assert names() == ["a", "b", "odd one"]
    assert names(templates="original") == ["a", "b"]
    assert names(templates="first-original") == ["a"]
    assert names(templates="first-original", exclude=("a",)) == ["b"]
    assert names(templates=("odd one", "a")) == ["a", "odd one"]
    assert names(exclude=("b",)) == ["a", "odd one"]
    assert names(templates="original", exclude=("b",)) == ["a"]


@pytest.mark.parametrize(
    "kwargs, message",
    [
        (dict(templates=("odd won",)), "no template 'odd won' of cr .nearest: odd one."),
        (dict(exclude=("odd won",)), "no template 'odd won' of cr .nearest: odd one."),
        (dict(templates="original", exclude=("a", "b")), "no template of cr is left"),
    ],
)
def test_a_selection_that_means_nothing_is_refused(kwargs, message):
    with pytest.raises(UserError, match=message):
        names(**kwargs)


def test_files_of_ready_made_rows_are_tasks_of_their_set():
    one = MixtureSet("my/set", "my/set", jsonl=(Path("p/x.jsonl"), Path("p/y z.jsonl")))
    tasks = jsonl_tasks(one)
    assert [task.name for task in tasks] == ["my_set_x", "my_set_y_z"]
    assert [(task.index, task.of, task.template) for task in tasks] == [(0, 2, None), (1, 2, None)]
    assert tasks[0].source == f"jsonl:{Path('p/x.jsonl')}"
    (alone,) = jsonl_tasks(MixtureSet("my/set", "my/set", jsonl=(Path("p/x.jsonl"),)))
    assert alone.name == "my_set" and alone.dataset == "my/set"
