"""Rows that are not as they should be: an error, or counted with their places kept; any packing."""

import bz2
import io
import json
import zipfile
from pathlib import Path

import pytest

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.sources import BadRows
from fairseq_metro.prompts.task_data import open_dataset
from fairseq_metro.prompts.task_data.catalogue import Layout
from fairseq_metro.prompts.task_data.readers import mended_value, read_records, records
from tests.prompts.task_data.files import write

GOOD = {"sentence": "fine", "label": 1}


def sst2(tmp_path, *lines):
    """glue/sst2 with these lines, dicts as JSON, between rows that are good."""
    raw = b"".join(
        line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n" for line in lines
    )
    write(tmp_path / "glue/sst2/train.jsonl", raw)
    return open_dataset("glue/sst2", tmp_path)


BAD = [
    ({"sentence": None, "label": 1}, "null in 'sentence'", "field 'sentence' is null"),
    ({"label": 1}, "without 'sentence'", "has no field 'sentence' (it has: label)"),
    ({"sentence": ["a"], "label": 1}, "'sentence' not a text", "is not a text"),
    ({"sentence": "a", "label": None}, "without a label", "has no label"),
    ({"sentence": "a", "label": 7}, "with an unknown label", "label 7"),
    (b'{"sentence": \n', "not JSON", "is not JSON"),
    (b"[1]\n", "list, not an object", "is a list, not an object"),
    (b'{"sentence": "caf\xe9", "label": 1}\n', "not utf-8", "not utf-8"),
]


@pytest.mark.parametrize(("bad", "reason", "words"), BAD)
def test_a_bad_row_is_an_error_or_counted_and_its_place_kept(tmp_path, bad, reason, words):
    data = sst2(tmp_path, GOOD, bad, GOOD)
    with pytest.raises(UserError) as error:
        list(data.rows("train"))
    assert words in str(error.value) and "train.jsonl: line 2" in str(error.value)
    assert "\n" not in str(error.value)
    counts = BadRows(5)
    rows = list(data.rows("train", bad_rows=counts))
    assert rows == [GOOD, None, GOOD] and len(rows) == data.count("train")
    assert (counts.rows, counts.bad, dict(counts.reasons)) == (3, 1, {reason: 1})
    assert list(data.rows("train", 1, bad_rows=BadRows(5))) == [None, GOOD]


def test_no_message_names_as_missing_what_it_lists_as_there(tmp_path):
    data = sst2(tmp_path, {"sentence": None, "label": 1})
    with pytest.raises(UserError) as error:
        list(data.rows("train"))
    assert "no field" not in str(error.value) and "it has" not in str(error.value)
    pairs = write(tmp_path / "pairs.jsonl", [{"input": "a", "output": "b"}])
    with pytest.raises(UserError, match=r"no field 'inputs' \(it has: input, output\)"):
        list(open_dataset(f"jsonl:{pairs}").rows("train"))


def test_too_many_bad_rows_are_an_error_with_the_first_and_the_counts(tmp_path):
    data = sst2(tmp_path, GOOD, {"label": 1}, {"label": 1}, GOOD)
    with pytest.raises(
        UserError, match=r"line 2 has no field.*2 of \d rows so far are bad .2 without"
    ):
        list(data.rows("train", bad_rows=BadRows(1)))
    lines = [GOOD] * 2000 + [{"label": 1}] * 11
    with pytest.raises(UserError, match="11 of 2,011 rows so far are bad"):
        list(sst2(tmp_path, *lines).rows("train", bad_rows=BadRows()))
    assert len(list(sst2(tmp_path, *lines[:-1]).rows("train", bad_rows=BadRows()))) == 2010


def test_a_file_that_is_not_utf_8_or_cut_off_gets_no_few_rows_for_nothing(tmp_path):
    latin = b'{"sentence": "caf\xe9", "label": 1}\n'
    with pytest.raises(UserError, match="not utf-8"):
        list(sst2(tmp_path, *[GOOD] * 20, latin).rows("train", bad_rows=BadRows()))
    with pytest.raises(UserError, match="may be cut short"):
        list(sst2(tmp_path, *[GOOD] * 20, b'{"sente').rows("train", bad_rows=BadRows()))
    counts = BadRows()
    data = sst2(tmp_path, *[GOOD] * 2000, latin, b'{"sente')
    assert len(list(data.rows("train", bad_rows=counts))) == 2002 and counts.bad == 2


def test_a_file_without_a_good_row_is_an_error(tmp_path):
    data = sst2(tmp_path, {"sentence": "a", "label": -1}, {"sentence": "b", "label": -1})
    with pytest.raises(UserError, match="line 1 has no label"):
        list(data.rows("train", bad_rows=BadRows(1.0)))


def test_lone_surrogates_are_replaced_and_counted(tmp_path):
    line = b'{"sentence": "cut \\ud83d and \\ud83d\\ude00 and \\uDe00", "label": 1}\n'
    counts = BadRows()
    [row] = sst2(tmp_path, line).rows("train", bad_rows=counts)
    assert row["sentence"] == "cut \ufffd and \U0001f600 and \ufffd" and counts.replaced == 2
    assert mended_value({"\ud83d": ["\ud83d", {"a": 1}]}) == {"\ufffd": ["\ufffd", {"a": 1}]}


def test_nested_rows_and_separate_labels_keep_their_places(tmp_path):
    answers = [{"text": str(i), "label": i} for i in range(2)]
    passage = {"text": "p", "questions": [{"question": "q", "answers": answers}]}
    write(tmp_path / "multirc/train.jsonl", [{"passage": passage}, {"passage": {"text": "x"}}])
    data = open_dataset("super_glue/multirc", tmp_path)
    rows = list(data.rows("train", bad_rows=BadRows(1)))
    assert [row and row["answer"] for row in rows] == ["0", "1", None] and data.count("train") == 3
    piqa = {"goal": "g", "sol1": "a", "sol2": "b"}
    raw = json.dumps(piqa) + "\n{\n" + json.dumps(piqa) + "\n"
    write(tmp_path / "piqa/train.jsonl", raw)
    write(tmp_path / "piqa/train-labels.lst", "1\n0\n0\n")
    rows = list(open_dataset("piqa", tmp_path).rows("train", bad_rows=BadRows(1)))
    assert [row and row["label"] for row in rows] == [1, None, 0]


TABLE = "a,b\n1,2\n3\n4,5\n6,caf\xe9\n7,8\n"


def test_bad_lines_of_a_table_are_told_one_by_one(tmp_path):
    path = write(tmp_path / "t.csv", TABLE.encode("latin-1"))
    found = [(n, r if isinstance(r, dict) else r.reason) for n, r in records(path, Layout())]
    assert found == [
        (2, {"a": "1", "b": "2"}), (3, "with another number of columns"), (4, {"a": "4", "b": "5"}),
        (5, "not utf-8"), (6, {"a": "7", "b": "8"}),
    ]  # fmt: skip
    assert [n for n, _ in records(path, Layout(), 3)] == [5, 6]
    assert next(iter(records(path, Layout(), 4)))[1] == {"a": "7", "b": "8"}


# Packing and forms by content


def packed(kind, raw):
    if kind == "bz2":
        return bz2.compress(raw)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("rows", raw)
    return stream.getvalue()


@pytest.mark.parametrize("kind", ["bz2", "zip"])
@pytest.mark.parametrize("name", ["train.jsonl", "train.JSONL.BZ2", "Train.jsonl.zip", "train"])
def test_rows_are_read_in_any_packing_under_any_name(tmp_path, kind, name):
    raw = (json.dumps({"text": "a", "label": 1}) + "\n").encode() * 3
    write(tmp_path / "my/set" / name, packed(kind, raw))
    data = open_dataset("my/set", tmp_path)
    assert list(data.rows("train")) == [{"text": "a", "label": 1}] * 3 and data.count("train") == 3


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_a_byte_order_mark_says_the_encoding(tmp_path, encoding):
    write(tmp_path / "my/set/train.jsonl", '{"text": "café"}\n'.encode(encoding))
    assert list(open_dataset("my/set", tmp_path).rows("train")) == [{"text": "café"}]


@pytest.mark.parametrize("name", ["train.json", "train"])
def test_objects_a_line_are_read_whatever_the_name_says(tmp_path, name):
    write(tmp_path / "my/set" / name, '{"text": "a"}\n{"text": "b"}\n')
    rows = list(open_dataset("my/set", tmp_path).rows("train"))
    assert rows == [{"text": "a"}, {"text": "b"}]


def test_ready_made_pairs_in_other_forms(tmp_path):
    pairs = [{"inputs": "a", "targets": "b"}] * 2
    for name, content in (("p.json", json.dumps(pairs)), ("p", json.dumps(pairs[0]) + "\n")):
        path = write(tmp_path / name, content)
        assert next(open_dataset(f"jsonl:{path}").rows("train")) == pairs[0]


def test_parquet_with_nulls_bytes_and_bytes_that_are_no_text(tmp_path):
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    from pyarrow import parquet

    def data(values, kind):
        column = pyarrow.array(values, kind)
        (tmp_path / "glue/sst2").mkdir(parents=True, exist_ok=True)
        table = pyarrow.table({"sentence": column, "label": [1] * len(values)})
        parquet.write_table(table, tmp_path / "glue/sst2/train.parquet")
        return open_dataset("glue/sst2", tmp_path)

    def texts(values, kind):
        rows = data(values, kind).rows("train", bad_rows=BadRows(1))
        return [row and row["sentence"] for row in rows]

    assert texts(["a", None, "b"], pyarrow.string()) == ["a", None, "b"]
    assert texts([b"a", "café".encode()], pyarrow.binary()) == ["a", "café"]
    assert texts([b"a", b"caf\xe9"], pyarrow.binary()) == ["a", None]
    unchecked = pyarrow.array([b"a", b"caf\xe9"], pyarrow.binary()).view(pyarrow.string())
    assert texts(unchecked, pyarrow.string()) == ["a", None]
    with pytest.raises(UserError, match=r"train.parquet: row 2: field 'sentence' is null"):
        list(data(["a", None], pyarrow.string()).rows("train"))
    with pytest.raises(UserError, match=r"train.parquet: row 1: field 'sentence' .* is not a text"):
        list(data([["a"]], pyarrow.list_(pyarrow.string())).rows("train"))
    path = tmp_path / "glue/sst2/train.parquet"
    squeezed = Path(f"{path}.xz")
    import lzma

    squeezed.write_bytes(lzma.compress(path.read_bytes()))
    path.unlink()
    assert len(list(read_records(squeezed, Layout()))) == 1
