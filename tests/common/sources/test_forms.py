"""What a file holds is seen in it: rows are read as rows, prose stays prose."""

import json
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairseq_metro.common.sources.forms import JSON, TEXT, WIKI, form_of
from fairseq_metro.common.sources.streams import Stream

DOC = '<doc id="12" url="https://en.wikipedia.org/wiki?curid=12" title="A "quoted" > title">'


def form(content, name="part-00000"):
    content = content.encode() if isinstance(content, str) else content
    return form_of(name, Stream(BytesIO(content)))


@pytest.mark.parametrize(
    "content",
    [
        '{"text": "a row"}\n{"text": "another"}\n',
        '{"text": "no newline at the end"}',
        '\n\n  {"text": "after blank lines"}\n',
        '{"text": "first"}\n{"text": "damag\n{"text": "third"}\n',
        '{"text": "cut o\n{"text": "b"}\n{"text": "c"}\n',
        '[{"text": "a"}, {"text": "b"}]',
        '[\n  {\n    "text": "a"\n  }\n]\n',
        '{\n  "text": "a"\n}\n{\n  "text": "b"\n}\n',
        json.dumps({"text": "x" * 200_000}) + "\n",
    ],
)
def test_rows_of_json_are_seen_without_a_name(content):
    assert form(content) == JSON
    assert form(content, "corpus.txt") == JSON


@pytest.mark.parametrize(
    "content",
    [
        "",
        "plain text\n",
        "{This sentence begins with a brace} and goes on.\nSo does nothing else.\n",
        "{\\bf A macro}\n",
        "{{Infobox}}\n'''Anarchism''' is a political philosophy.\n",
        '{"Never," he said}\nAnd left.\n',
        "[1] A footnote.\n[2] Another.\n",
        "[edit]\n",
        "a\tb\tc\nd\te\tf\n",
        "One, two, three\nFour, five, six\n",
        '"Yes," she said, "and no."\n',
        "<doc> in angle brackets is a word here\n",
        "An object of JSON is shown below.\n\n"
        + "It has fields. " * 9
        + '\n{"text": "a"}\nThat is all.\n',
        "<html><body>text</body></html>\n",
        "123\n456\n",
        "true\n",
    ],
)
def test_prose_is_not_taken_for_rows(content):
    assert form(content) == TEXT


@given(st.lists(st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]))))
def test_text_becomes_rows_only_where_most_lines_are_objects(lines):
    objects = [line.lstrip().startswith("{") for line in lines if line.strip()]
    if 2 * sum(objects) < len(objects):
        assert form("\n".join(lines)) in (TEXT, JSON if lines[0][:1] == "[" else TEXT)


def test_wikiextractors_form_is_seen_without_a_name():
    assert form(f"{DOC}\nA title\n\nText.\n\n</doc>\n", "wiki_00") == WIKI
    assert form(f"\n{DOC}\r\nA title\r\n</doc>\r\n") == WIKI


@pytest.mark.parametrize(
    "name, expected", [("a.csv", "csv"), ("a.tsv", "tsv"), ("a.jsonl", "json"), ("a.ndjson", "json"),
                       ("a.parquet", "parquet"), ("csv", "text"), ("a.csv.txt", "text")],
)  # fmt: skip
def test_tables_are_told_by_their_names_alone(name, expected):
    assert form("a,b\nc,d\n", name) == expected
