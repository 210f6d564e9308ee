"""Corpora, n-grams in common, passages by BM25."""

import gzip
import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairseq_metro.common.errors import UserError
from fairseq_metro.evaluate import bm25, ngrams
from fairseq_metro.evaluate.corpus_files import corpus_files, texts_of
from fairseq_metro.evaluate.ngrams import Ngrams, words_of
from fairseq_metro.evaluate.overlap import main as overlap_main
from fairseq_metro.evaluate.passages import read_passages
from tests.evaluate.fakes import write_rows
from tests.evaluate.test_comparison import folder, run

WORDS = st.lists(st.sampled_from("a b c d".split()), max_size=14).map(" ".join)


@given(st.lists(st.lists(WORDS, max_size=3), max_size=4), st.lists(WORDS, max_size=6),
       st.integers(1, 4), st.integers(1, 9))  # fmt: skip
def test_shares_are_those_of_sets_of_tuples(texts, corpus, n, chunk):
    """Against plain sets; the corpus is one text across its lines, the segments are apart."""
    found = Ngrams(n)
    for segments in texts:
        found.add(segments)
    before, ngrams._CHUNK = ngrams._CHUNK, chunk
    try:
        found.read(corpus)
    finally:
        ngrams._CHUNK = before
    there = grams(" ".join(corpus), n)
    expected = []
    for segments in texts:
        own = set().union(*(grams(one, n) for one in segments))
        expected.append((len(own), len(own & there)))
    assert found.shares() == expected


def grams(text, n):
    words = words_of(text)
    return {tuple(words[i : i + n]) for i in range(len(words) - n + 1)}


def test_several_corpora_add_up():
    found = Ngrams(2)
    found.add(["one two three"])
    found.read(["one two"])
    assert found.shares() == [(2, 1)]
    found.read(["two", "three"])
    assert found.shares() == [(2, 2)]


def test_the_command_counts_rows_and_splits_an_accuracy(tmp_path, capsys):
    rng = random.Random(0)
    rows = [{"premise": " ".join(rng.choices("abcdefgh", k=9)), "hypothesis": "x",
             "label": "entailment"} for _ in range(6)]  # fmt: skip
    rows[4]["premise"] = "short"
    write_rows(tmp_path / "tasks", "super_glue/rte", rows)
    corpus = tmp_path / "corpus.jsonl.gz"
    with gzip.open(corpus, "wt") as stream:
        stream.write(json.dumps({"text": f"Well, {rows[2]['premise'].upper()}!"}) + "\n")
    results = folder(tmp_path / "out", "m", [run("r", "super_glue/rte", [1, 1, 0, 1, 1, 0])])
    words = ["--corpus", tmp_path, "--tasks", tmp_path / "tasks", "--n", 5, "--results", results]
    (tmp_path / "corpus.txt").write_text("nothing of it\n")
    words[1] = corpus
    assert overlap_main([str(w) for w in (*words, "--out", tmp_path / "o.json")]) == 0
    line = capsys.readouterr().out.splitlines()[2]
    assert line == "| RTE | 6 | 5 | 1 | 20.00 % | 25 | 5 | 0.00 % | 80.00 % |"
    (one,) = json.loads((tmp_path / "o.json").read_text())["sets"]
    assert one["touched"] == [2]


def test_texts_of_every_kind_of_file(tmp_path):
    (tmp_path / "a.txt").write_text("one\n\ntwo\n")
    (tmp_path / "b.tsv").write_text("0\tthree\n1\tfour\n")
    (tmp_path / "c.jsonl").write_text('{"text": "five"}\n')
    (tmp_path / ".d").write_text("hidden")
    files = corpus_files([tmp_path])
    assert [text for path in files for text in texts_of(path)] == "one two three four five".split()
    with pytest.raises(UserError, match="none: no such file"):
        corpus_files([tmp_path / "none"])
    for text, says in (("{", "line 1: not JSON"), ("[]", "line 1: a list, not an object")):
        (tmp_path / "c.jsonl").write_text(text)
        with pytest.raises(UserError, match=says):
            list(texts_of(tmp_path / "c.jsonl"))
    (tmp_path / "a.txt").write_bytes(b"\xff")
    with pytest.raises(UserError, match="line 1, byte 0 is not UTF-8"):
        list(texts_of(tmp_path / "a.txt"))


def test_bm25_finds_the_passages_and_the_runner_reads_them(tmp_path):
    pytest.importorskip("bm25s", reason="bm25s is not installed")
    choices = {"text": ["1", "2", "3", "4"], "label": list("ABCD")}
    rows = [{"question": q, "subject": "x", "choices": choices, "answerKey": "A"}
            for q in ("Where does the river end?", "Who built the stone house?")]  # fmt: skip
    write_rows(tmp_path, "mmlu", rows)
    (tmp_path / "passages.tsv").write_text(
        "0\tA house of stone was built.\n1\tRivers and a river.\n2\tNothing here.\n"
    )
    words = ["--corpus", tmp_path / "passages.tsv", "--tasks", tmp_path, "--passages", 2]
    assert bm25.main([str(w) for w in (*words, "--out", tmp_path / "p.jsonl")]) == 0
    found = read_passages(tmp_path / "p.jsonl")
    assert [row[0] for row in found] == ["Rivers and a river.", "A house of stone was built."]
    assert all(len(row) == 2 for row in found)
    with pytest.raises(UserError, match=r"row 1: no text 'query' .its texts: question"):
        bm25.main([str(w) for w in (*words, "--out", tmp_path / "p.jsonl", "--field", "query")])


def test_without_its_library_retrieval_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "bm25s", None)
    with pytest.raises(UserError, match="pip install bm25s"):
        bm25.library()
