"""Rows of every form to texts; what cannot be used is left out and counted, up to a limit."""

import csv
import gzip
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.sources import BadRows, Reading, documents_of, row_limit
from fairseq_metro.common.sources.forms import form_of
from fairseq_metro.common.sources.streams import Stream

TEXTS = st.lists(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=1, max_size=8
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("rows")


def read(path, content=None, **options):
    """The documents of a file, and the counts."""
    if content is not None:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    limit = options.pop("limit", None)
    reading = Reading(bad_rows=BadRows(limit), **options)
    return list(documents_of(str(path), reading)), reading.bad_rows


def rows(texts, **fields):
    return [{"id": n, **fields, "text": text, "meta": {"n": [n]}} for n, text in enumerate(texts)]


# What comes back


@given(TEXTS, st.booleans(), st.sampled_from(["", "\ufeff"]), st.sampled_from(["\n", "\r\n"]))
def test_json_lines_come_back(folder, texts, ascii_only, mark, end):
    lines = [json.dumps(row, ensure_ascii=ascii_only) for row in rows(texts)]
    assert read(folder / "a", mark + end.join(lines) + end)[0] == texts


@given(TEXTS, st.sampled_from([None, 1]), st.booleans())
def test_json_lists_and_objects_over_several_lines_come_back(folder, texts, indent, in_list):
    made = rows(texts)
    content = json.dumps(made, indent=indent)
    if not in_list:
        content = "\n".join(json.dumps(row, indent=1) for row in made)
    assert read(folder / "b", content)[0] == texts


def test_a_list_longer_than_any_buffer_comes_back(folder):
    texts = [f"{i} caf\u00e9 " * (1 + i * i) for i in range(150)]
    assert read(folder / "c", json.dumps(rows(texts), ensure_ascii=False))[0] == texts


@given(TEXTS)
def test_csv_comes_back_by_name_and_by_number(folder, texts):
    texts = [text.replace("\r", " ") for text in texts]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["id", "text", "more"])
    writer.writerows([n, text, "x"] for n, text in enumerate(texts))
    assert read(folder / "d.csv", buffer.getvalue())[0] == texts
    without_names = buffer.getvalue().split("\n", 1)[1]
    for field in ("2", "-2"):
        assert read(folder / "e.csv", without_names, field=field)[0] == texts


@given(TEXTS)
def test_tsv_comes_back_as_it_is(folder, texts):
    texts = [text.replace("\r", " ").replace("\n", " ").replace("\t", " ") for text in texts]
    content = "".join(f"{n}\t{text}\n" for n, text in enumerate(texts))
    assert read(folder / "f.tsv", content, field="-1")[0] == texts
    assert read(folder / "g.TSV", f"id\ttext\r\n{content}")[0] == texts


def test_wikiextractors_documents_come_back(folder):
    documents = ["Title\n\nA paragraph.\nAnother, of <nowiki> & co.", "Next\n\n" + "long " * 40_000]
    content = "".join(
        f'<doc id="{n}" url="u" title="t">\n{text}\n\n</doc>\n' for n, text in enumerate(documents)
    )
    texts, bad = read(folder / "wiki_00", content)
    assert [text.rstrip("\n") for text in texts] == documents and not bad.reasons


def test_a_field_can_be_named(folder):
    assert read(folder / "h", '{"body": "b", "text": 1}\n', field="body")[0] == ["b"]


def test_text_that_begins_like_parquet_is_text(folder):
    assert read(folder / "par", "PAR1 is a word here.\n")[0] == ["PAR1 is a word here."]


# What is left out


def good(n):
    return [json.dumps({"text": f"text {i}"}) for i in range(n)]


BAD = {
    '{"text": null}': "null",
    '{"title": "x"}': "without 'text'",
    '{"text": 5}': "int, not text",
    '{"text": ["a"]}': "list, not text",
    '{"text": "cut o': "not JSON",
    "not JSON": "not JSON",
    '["a", "list"]': "not an object",
    "[" * 100_000: "not JSON",
    '{"text": ' + "9" * 5000 + "}": "not JSON",
    b'{"text": "caf\xe9"}': "not UTF-8",
}


@pytest.mark.parametrize("line", BAD)
def test_a_bad_row_is_left_out_and_counted_by_reason(folder, line):
    lines = [text.encode() for text in good(6)]
    lines.insert(3, line if isinstance(line, bytes) else line.encode())
    texts, bad = read(folder / "bad.jsonl", b"\n".join(lines))
    assert texts == [f"text {i}" for i in range(6)]
    assert dict(bad.reasons) == {BAD[line]: 1} and bad.rows == 7
    (sentence,) = bad.summary()
    assert sentence.startswith(f"1 of 7 rows were left out: 1 {BAD[line]} (the first: ")
    assert "bad.jsonl: line 4: " in sentence


def test_lone_surrogates_are_replaced_and_counted(folder):
    texts, bad = read(folder / "s", r'{"text": "a \ud83d b \ude00 c \ud83d\ude00"}')
    assert texts == ["a \ufffd b \ufffd c \U0001f600"]
    assert bad.summary() == ["2 lone surrogates were replaced by U+FFFD"]


@pytest.mark.parametrize("mark", ["little", "big"])
def test_utf16_with_a_mark_is_read_and_its_lone_surrogates_replaced(folder, mark):
    name = f"utf-16-{mark[0]}e"
    content = "\ufeffone line\n".encode(name) + "\ud800 caf\u00e9 \U0001f600".encode(
        name, "surrogatepass"
    )
    texts, bad = read(folder / "u16", content)
    assert texts == ["one line\n\ufffd caf\u00e9 \U0001f600"] and bad.replaced == 1


def test_utf32_with_a_mark_is_read(folder):
    for name in ("utf-32-le", "utf-32-be"):
        assert read(folder / "u32", "\ufeff\U0001f600 a\n".encode(name))[0] == ["\U0001f600 a"]


def test_damaged_tables_lose_rows_and_not_the_file(folder):
    content = b"id,text\n1,a\n2\n3,caf\xe9\n4,d\n"
    texts, bad = read(folder / "i.csv", content)
    assert texts == ["a", "d"]
    assert dict(bad.reasons) == {"with another number of columns": 1, "not UTF-8": 1}
    with pytest.raises(UserError, match=r"j\.csv: line 3: .*mend its quotes"):
        read(folder / "j.csv", 'id,text\n1,a\n2,"never closed\n' + "3,b\n" * 50)
    with pytest.raises(
        UserError, match=r"k\.csv: no column 'text' \(there is: a, b\); give --field"
    ):
        read(folder / "k.csv", "a,b\n1,2\n")
    with pytest.raises(UserError, match="--field 3, but only 2 columns"):
        read(folder / "k.csv", field="3")


def test_damaged_documents_of_wikiextractor_are_left_out(folder):
    doc = '<doc id="1" url="u" title="t">\n'
    texts, bad = read(folder / "w", f"{doc}lost\n{doc}a\n</doc>\nstray\n{doc}b\n</doc>\n{doc}cut")
    assert texts == ["a", "b"]
    assert dict(bad.reasons) == {"without </doc>": 2, "text outside <doc>": 1}


def test_a_damaged_list_is_one_line(folder):
    for content, words in (
        ('[{"text": "a"}, {"text": b}]', "row 2: not JSON"),
        ('[{"text": "a"}, {"text": "b"', "row 2: not JSON"),
        ('[{"text": "a"}, ', "the list has no end"),
        ('[{"text": ' + "[" * 50_000, "row 1: nested too deeply|row 1: not JSON"),
        (b'[\n{"text": "a"},\n{"text": "caf\xe9"}]', "line 3, byte 30 is not UTF-8"),
    ):
        with pytest.raises(UserError, match=words):
            read(folder / "l", content)


# How many may be bad


def with_bad(n, bad):
    return "\n".join([*good(n - bad), *['{"text": null}'] * bad])


@pytest.mark.parametrize(
    "limit, rows, bad, fits",
    [
        (None, 20, 10, True), (None, 20, 11, False), (None, 20_000, 20, True),
        (None, 20_000, 21, False), (0, 20, 1, False), (3, 20, 3, True), (3, 20, 4, False),
        (0.5, 20, 10, True), (0.5, 20, 11, False), (0.0, 20, 1, False), (1.0, 20, 19, True),
    ],
)  # fmt: skip
def test_more_bad_rows_than_allowed_are_an_error(folder, limit, rows, bad, fits):
    if fits:
        texts, counts = read(folder / "m", with_bad(rows, bad), limit=limit)
        assert len(texts) == rows - bad and counts.bad == bad
        return
    with pytest.raises(
        UserError, match=r"null in field 'text'.*rows so far are bad.*--max-bad-rows"
    ):
        read(folder / "m", with_bad(rows, bad), limit=limit)


def test_a_file_without_a_good_row_is_an_error_however_short(folder):
    with pytest.raises(UserError, match=r"n: line 1: no text in field 'text' \(there is: body\)"):
        read(folder / "n", '{"body": "x"}\n')


def test_a_wrong_field_is_told_long_before_the_end(folder):
    (folder / "o").write_text('{"body": "x"}\n' * 5000)
    reading = Reading()
    with pytest.raises(UserError, match="o: line 1: no text in field 'text'"):
        list(documents_of(str(folder / "o"), reading))
    assert reading.bad_rows.rows == 1000


def test_counts_go_on_where_an_interrupted_command_was(folder):
    _, bad = read(folder / "p", with_bad(20, 3))
    again = BadRows()
    again.restore(json.loads(json.dumps(bad.facts())))
    assert again.summary() == bad.summary() and again.rows == 20


@pytest.mark.parametrize("text", ["", "x", "-1", "1.5", "200%", "1e3", "5 rows"])
def test_a_limit_that_is_none_is_refused(text):
    with pytest.raises(UserError, match="--max-bad-rows is"):
        row_limit(text)


# Parquet


def parquet(path, column, **options):
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    writer = pytest.importorskip("pyarrow.parquet")
    writer.write_table(pyarrow.table({"id": [0] * len(column), "text": column}), path)
    return read(path, **options)


def test_parquet_is_read_with_nulls_counted_under_any_name(folder):
    for name in ("q.parquet", "q"):
        texts, bad = parquet(folder / name, ["a", None, "b", ""])
        assert texts == ["a", "b", ""] and dict(bad.reasons) == {"null": 1}


def test_bytes_in_parquet_are_read_as_utf8(folder):
    texts, bad = parquet(folder / "r", ["caf\u00e9".encode(), b"caf\xe9", b"x"])
    assert texts == ["caf\u00e9", "x"] and dict(bad.reasons) == {"not UTF-8": 1}


def test_other_columns_of_parquet_are_refused_in_one_line(folder):
    for column, kind in (([["a"], ["b"]], "list"), ([1, 2], "int64"), ([{"a": 1}], "struct")):
        with pytest.raises(
            UserError, match=rf"s: column 'text' holds {kind}.*no text; give --field"
        ):
            parquet(folder / "s", column)
    with pytest.raises(UserError, match=r"no text in field 'body' \(there is: id, text\)"):
        parquet(folder / "s", ["a"], field="body")


def test_two_columns_of_one_name_are_refused(folder):
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    table = pyarrow.table([pyarrow.array(["a"])] * 2, names=["text", "text"])
    pytest.importorskip("pyarrow.parquet").write_table(table, folder / "twice")
    with pytest.raises(UserError, match="several columns are called 'text'"):
        read(folder / "twice")


def test_parquet_in_an_archive_is_read_and_a_damaged_one_is_one_line(folder):
    parquet(folder / "t", ["a", "b"])
    content = (folder / "t").read_bytes()
    assert read(folder / "t.gz", gzip.compress(content))[0] == ["a", "b"]
    for damaged in (content[:-20], content[:40] + bytes(len(content) - 80) + content[-40:]):
        with pytest.raises(UserError, match="t: not a whole parquet file"):
            read(folder / "t", damaged)


def test_a_name_that_says_another_form_than_the_content_does_not_decide(tmp_path):
    rows = b'{"text": "a row of text"}\n{"text": "another row"}\n'
    for name in ("a.csv", "b.TSV", "c.parquet", "d.csv.gz"):
        path = tmp_path / name
        path.write_bytes(gzip.compress(rows) if name.endswith("gz") else rows)
        assert read(path)[0] == ["a row of text", "another row"]
    wiki = tmp_path / "e.jsonl"
    wiki.write_text('<doc id="1" url="u" title="T">\nT\n\nIts text.\n</doc>\n')
    assert read(wiki)[0] == ["T\n\nIts text."]
    assert [form_of("a.csv", Stream(io.BytesIO(b))) for b in (b"a,b\n" + rows, b"text\n")] == [
        "csv"
    ] * 2
    with pytest.raises(UserError, match="not a whole parquet file"):
        read(tmp_path / "f.parquet", b"prose, and no table")


def test_blanks_around_a_header_are_no_part_of_the_names(folder):
    assert read(folder / "h.csv", "id, text \n1,good\n")[0] == ["good"]
    assert read(folder / "h.tsv", "id\t text\n1\tgood\n")[0] == ["good"]


@pytest.mark.parametrize(
    ("name", "shown"), [("text ", "'text '"), ("t\u0435xt", "'t.u0435xt'"), ("te\u200bxt", "u200b")]
)
def test_a_message_never_says_that_there_is_what_is_missing(folder, name, shown):
    with pytest.raises(UserError, match=f"no text in field 'text' .there is: .*{shown}") as error:
        read(folder / "odd.jsonl", json.dumps({name: "a"}) + "\n")
    assert "there is: text)" not in str(error.value)


def test_the_limit_that_a_message_names_is_the_one_that_was_passed(folder):
    good = '{"text": "a"}\n' * 100
    for content, limit in ((good + "\xff\n" * 3, None), (good + "null\n" * 3, 2)):
        raw = content.encode("latin-1")
        with pytest.raises(UserError, match="3 of 103 rows so far are bad") as error:
            counts = BadRows(limit)
            for line in raw.splitlines():
                good_line = line.startswith(b"{")
                if good_line:
                    counts.good()
                else:
                    counts.add("bad", "a: line 101: bad", of_file=line == b"\xff")
            counts.end_of_file()
        words = "0.1% of the rows where the file itself is damaged" if limit is None else "2"
        assert f"--max-bad-rows allows ({words})" in str(error.value)


def test_bytes_in_parquet_are_no_reason_to_convert_the_file(folder):
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    from pyarrow import parquet

    path = folder / "bytes.parquet"
    parquet.write_table(pyarrow.table({"text": [b"good"] * 9 + [b"caf\xe9"]}), path)
    texts, counts = read(path)
    assert texts == ["good"] * 9 and counts.reasons == {"not UTF-8": 1}
    (sentence,) = counts.summary()
    assert "iconv" not in sentence and "write column 'text' as UTF-8" in sentence
