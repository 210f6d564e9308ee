"""task_data/readers.py: every format there and back, ranges, and damage told by line."""

import csv
import gzip
import io
import json
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairseq_metro.common.errors import UserError
from fairseq_metro.prompts.task_data.catalogue import Layout
from fairseq_metro.prompts.task_data.readers import count_records, read_records
from tests.prompts.task_data.files import write

WORDS = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
VALUES = st.one_of(WORDS, st.integers(), st.booleans(), st.none(), st.lists(WORDS, max_size=3))
ROWS = st.lists(st.dictionaries(WORDS, VALUES, max_size=4), max_size=8)
CELLS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\x00"), max_size=20)


def rows_of(path, start=0, stop=None, **layout):
    return [row for _, row in read_records(path, Layout(**layout), start, stop)]


@given(ROWS, st.integers(0, 9), st.integers(0, 9))
def test_jsonl_comes_back(tmp_path_factory, rows, start, stop):
    path = write(tmp_path_factory.mktemp("rows") / "t.jsonl", rows)
    assert rows_of(path) == rows
    assert rows_of(path, start, stop) == rows[start:stop]
    assert count_records(path, Layout()) == len(rows)


@given(ROWS, st.integers(0, 9), st.integers(0, 9), st.sampled_from(["list", "data"]))
def test_json_comes_back(tmp_path_factory, rows, start, stop, kind):
    value = rows if kind == "list" else {"version": 1, "data": rows}
    path = write(tmp_path_factory.mktemp("rows") / "t.json", json.dumps(value, indent=1))
    assert rows_of(path, start, stop) == rows[start:stop]
    assert count_records(path, Layout()) == len(rows)


@given(st.lists(st.tuples(CELLS, CELLS), max_size=8), st.integers(0, 9), st.integers(0, 9))
def test_csv_comes_back_with_line_breaks_and_quotes_in_cells(tmp_path_factory, cells, start, stop):
    stream = io.StringIO(newline="")
    csv.writer(stream, quoting=csv.QUOTE_ALL).writerows([("a", "b"), *cells])
    path = write(tmp_path_factory.mktemp("rows") / "t.csv", stream.getvalue())
    expected = [{"a": a, "b": b} for a, b in cells]
    assert rows_of(path) == expected
    assert rows_of(path, start, stop) == expected[start:stop]
    assert count_records(path, Layout()) == len(cells)


def test_a_tsv_has_quotes_as_text(tmp_path):
    path = write(tmp_path / "t.tsv", 'label\ttext\n1\t"quoted\n0\ta "b" c\n')
    assert rows_of(path) == [{"label": "1", "text": '"quoted'}, {"label": "0", "text": 'a "b" c'}]


def test_a_table_without_header_has_the_columns_of_its_layout(tmp_path):
    path = write(tmp_path / "t.csv", "None,N/A\n1,2\n")
    assert rows_of(path, columns=("a", "b")) == [{"a": "None", "b": "N/A"}, {"a": "1", "b": "2"}]


def test_a_label_and_a_text_a_line(tmp_path):
    path = write(tmp_path / "t.all", "1 a  b \n0 \nDESC:def What ?\n")
    assert rows_of(path, format="label_text") == [
        {"label": "1", "text": "a  b"},
        {"label": "0", "text": ""},
        {"label": "DESC:def", "text": "What ?"},
    ]


def test_gzip_is_unpacked_on_the_way(tmp_path):
    path = write(tmp_path / "t.jsonl.gz", gzip.compress(b'{"a": 1}\n{"a": 2}\n'))
    assert rows_of(path, 1) == [{"a": 2}]


DAMAGED = {
    "t.jsonl": ('{"a": 1}\n\n{"a": ', "line 3 is not JSON"),
    "l.jsonl": ('{"a": 1}\n[1]\n', "line 2 is a list, not an object"),
    "t.json": ('[{"a": 1}, {', "not JSON"),
    "n.json": ("3", "neither a list nor an object"),
    "b.json": (b'[{"a":\n "\xe9"}]', r"line 2, byte 2 of the line \(0xe9\) is not utf-8"),
    "t.csv": ('a,b\n"x\ny",2\n1,2,3\n', r"line 4 has 3 columns, 2 expected \(a, b\)"),
    "q.csv": ('a,b\n1,"open\n', "line 2"),
    "t.tsv": ("a\tb\n1\n", "line 2 has 1 columns, 2 expected"),
    "t.parquet": ("no parquet", "parquet"),
    "t.odd": ("a", "unknown format"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_is_told_in_one_line(tmp_path, name):
    content, message = DAMAGED[name]
    with pytest.raises(UserError, match=message) as error:
        rows_of(write(tmp_path / name, content))
    assert name in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("line", ["1", " no label"])
def test_a_line_without_label_or_text_is_an_error(tmp_path, line):
    with pytest.raises(UserError, match=r"line 2 .*is not a label, a space and a text"):
        rows_of(write(tmp_path / "t.all", f"1 a\n{line}\n"), format="label_text")


def test_rows_known_to_be_corrupt_are_left_out_where_the_layout_says_so(tmp_path):
    path = write(tmp_path / "t.tsv", "a\tb\n1\t2\n3\n5\t6\n")
    assert [row["a"] for row in rows_of(path, short_rows="skip")] == ["1", "5"]
    assert count_records(path, Layout(short_rows="skip")) == 2
    long = write(tmp_path / "l.tsv", "a\tb\n1\t2\t3\n")
    with pytest.raises(UserError, match="line 2 has 3 columns"):
        rows_of(long, short_rows="skip")


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(UserError, match=r"gone\.jsonl: no such file"):
        rows_of(Path(tmp_path / "gone.jsonl"))


def test_parquet_without_pyarrow_names_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(UserError, match="pip install pyarrow"):
        rows_of(write(tmp_path / "t.parquet", b"PAR1"))


@pytest.mark.parametrize(("start", "stop"), [(0, None), (3, 9), (6, 6), (9, None), (0, 0), (4, 5)])
def test_parquet_comes_back(tmp_path, start, stop):
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    from pyarrow import parquet

    rows = [{"text": f"row {i}", "choices": {"text": ["a"] * i}} for i in range(10)]
    path = tmp_path / "t.parquet"
    parquet.write_table(pyarrow.Table.from_pylist(rows), path, row_group_size=3)
    assert rows_of(path, start, stop) == rows[start:stop]
    assert count_records(path, Layout()) == 10


def test_json_under_the_name_of_a_table_is_read_as_json(tmp_path):
    rows = [{"text": "a", "label": 0}, {"text": "b, c", "label": 1}]
    content = "".join(json.dumps(row) + "\n" for row in rows)
    for name in ("a.csv", "b.tsv", "c.parquet"):
        assert rows_of(write(tmp_path / name, content)) == rows
        assert count_records(tmp_path / name, Layout()) == 2


def test_blanks_around_a_header_are_no_part_of_the_names(tmp_path):
    assert rows_of(write(tmp_path / "t.csv", "id, text\n1,a\n")) == [{"id": "1", "text": "a"}]
