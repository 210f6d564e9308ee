"""task_data/hub.py: the hub's library stood in for, absent, and refusing."""

import sys
from types import SimpleNamespace

import pytest

from fairseq_metro.common.errors import UserError
from fairseq_metro.prompts.task_data import open_dataset
from tests.prompts.task_data.files import write


class Table(list):
    """What the library gives for a split, as far as it is used."""

    cache_files = ({"filename": "cache/data.arrow"},)


def stand_in(monkeypatch, loaded):
    """A module ``datasets`` whose load_dataset gives ``loaded``, or raises it."""
    asked = []

    def load_dataset(path, subset=None):
        asked.append((path, subset))
        if isinstance(loaded, Exception):
            raise loaded
        return loaded

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    return asked


RTE = [{"premise": str(i), "hypothesis": "h", "label": i % 2, "idx": i} for i in range(5)]


def test_rows_of_the_hub_are_as_those_of_files(monkeypatch, tmp_path):
    hidden = [{**RTE[0], "label": -1}]
    tables = {"train": Table(RTE), "test": Table(hidden)}
    asked = stand_in(monkeypatch, tables)
    data = open_dataset("super_glue/rte", tmp_path, hub=True)
    assert asked == [("super_glue", "rte")]
    assert data.splits == ("train",) and data.count("train") == 5
    assert list(data.rows("train")) == RTE and list(data.rows("train", 3, 9)) == RTE[3:]
    assert data.files("train")[0].name == "data.arrow"
    assert "5 rows in split train, 2,490 are published" in data.check_count("train")
    with pytest.raises(UserError, match="split test has no labels"):
        data.rows("test")


def test_a_row_of_the_hub_without_label_is_told(monkeypatch):
    stand_in(monkeypatch, {"train": Table([RTE[0], {**RTE[1], "label": -1}])})
    with pytest.raises(UserError, match=r"^super_glue/rte, split train: row 1 has no label"):
        list(open_dataset("super_glue/rte", hub=True).rows("train"))


@pytest.mark.parametrize(
    ("name", "asked"),
    [("imdb", ("imdb", None)), ("cnn_dailymail/3.0.0", ("cnn_dailymail", "3.0.0")),
     ("mmlu", ("cais/mmlu", "all"))],
)  # fmt: skip
def test_names_on_the_hub(monkeypatch, name, asked):
    found = stand_in(monkeypatch, {})
    open_dataset(name, hub=True)
    assert found == [asked]


def test_both_releases_of_trec_give_the_same_labels(monkeypatch):
    new = {"text": "How far ?", "coarse_label": 5, "fine_label": 40}
    old = {"text": "How far ?", "label-coarse": 4, "label-fine": 40}
    stand_in(monkeypatch, {"train": Table([new, old])})
    rows = list(open_dataset("trec", hub=True).rows("train"))
    assert rows[0] == rows[1] == {"text": "How far ?", "label_coarse": 4, "label_fine": 40}


def test_local_files_come_first(monkeypatch, tmp_path):
    asked = stand_in(monkeypatch, RuntimeError("must not be asked"))
    write(tmp_path / "rte/train.jsonl", RTE)
    assert open_dataset("super_glue/rte", tmp_path, hub=True).count("train") == 5
    assert not asked


def test_without_the_library_the_remedy_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(
        UserError, match=r"^imdb: `datasets` is not installed: pip install datasets"
    ):
        open_dataset("imdb", hub=True)


def test_a_hub_that_does_not_answer_is_one_line(monkeypatch):
    stand_in(monkeypatch, ConnectionError("no route\nmany more lines"))
    with pytest.raises(UserError, match=r"\(ConnectionError: no route\); put its files") as error:
        open_dataset("imdb", hub=True)
    assert "\n" not in str(error.value) and "many more" not in str(error.value)
