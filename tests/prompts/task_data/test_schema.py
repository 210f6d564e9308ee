"""task_data/schema.py: labels are never guessed, values come in their types."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairseq_metro.common.errors import UserError
from fairseq_metro.prompts.task_data.schema import conform

CB = {"label": {"classes": ["entailment", "contradiction", "neutral"]}}


def label_of(value, feature=CB["label"], mapping=None):
    return conform({"label": value}, {"label": feature}, {"label": mapping or {}}, lambda: "f: 3")[
        "label"
    ]


@pytest.mark.parametrize(
    ("value", "label"),
    [("entailment", 0), ("contradiction", 1), ("neutral", 2), (0, 0), (2, 2), ("1", 1)],
)
def test_a_class_is_its_name_or_its_number(value, label):
    assert label_of(value) == label and type(label_of(value)) is int


@pytest.mark.parametrize(("value", "label"), [(True, 1), (False, 0), ("True", 1), ("false", 0)])
def test_truth_is_a_class(value, label):
    found = label_of(value, {"classes": ["False", "True"]})
    assert found == label and type(found) is int


def test_a_mapping_comes_before_names_and_numbers():
    assert label_of("1", mapping={"1": 0, "2": 1}) == 0
    assert label_of("n", {"classes": ["entailment", "neutral"]}, {"e": 0, "n": 1}) == 1


@pytest.mark.parametrize("value", [None, "", -1, "-1"])
def test_a_missing_label_is_an_error(value):
    with pytest.raises(UserError, match=r"^f: 3 has no label .* use a split that has labels"):
        label_of(value)


def test_an_absent_label_is_an_error():
    with pytest.raises(UserError, match="has no label"):
        conform({"text": "a"}, CB, {}, lambda: "f: 3")


@given(st.one_of(st.integers(), st.text(), st.floats(allow_nan=False)))
def test_no_label_outside_the_classes(value):
    try:
        label = label_of(value)
    except UserError as error:
        assert "label" in str(error)
    else:
        assert label in (0, 1, 2) and str(value).strip() in ("0", "1", "2", *CB["label"]["classes"])


@pytest.mark.parametrize("value", [3, "3", "e", 1.0, [1], "-2"])
def test_a_label_outside_the_mapping_names_what_is_expected(value):
    with pytest.raises(UserError, match="is none of entailment, contradiction, neutral"):
        label_of(value)


def test_labels_that_are_not_classes():
    assert label_of(2, {"strings": ["1", "2"]}) == "2"
    assert label_of("2", {"ints": [1, 2]}) == 2
    for feature in ({"strings": ["1", "2"]}, {"ints": [1, 2]}):
        with pytest.raises(UserError, match="none of 1, 2"):
            label_of("0", feature)


def test_values_come_in_their_types_and_other_fields_as_they_are():
    features = {
        "n": "int", "x": "float", "b": "bool", "s": "string", "l": ["string"],
        "c": {"text": ["string"]}, "a": "any",
    }  # fmt: skip
    row = {"n": "3", "x": "0.5", "b": "True", "s": 7, "l": '["a", "b"]', "c": {"text": []}, "z": 1}
    assert conform(row, features, {}, str) == {
        "n": 3, "x": 0.5, "b": True, "s": "7", "l": ["a", "b"], "c": {"text": []}, "a": None, "z": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("feature", "value"),
    [("int", "x"), ("int", 1.5), ("float", "x"), ("bool", "2"), ("string", ["a"]), ("string", True),
     (["string"], "a"), (["string"], [None]), ({"text": ["string"]}, ["a"])],
)  # fmt: skip
def test_a_value_of_another_type_names_its_field(feature, value):
    with pytest.raises(UserError, match=r"^here: field 'f' .* is not "):
        conform({"f": value}, {"f": feature}, {}, lambda: "here")


def test_a_missing_field_names_those_there_are():
    with pytest.raises(UserError, match=r"^here has no field 'premise' \(it has: context, label\)"):
        conform({"context": "", "label": 0}, {"premise": "string"}, {}, lambda: "here")
