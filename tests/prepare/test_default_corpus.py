import json
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.files import sha256_file
from fairseq_metro.prepare import default_corpus
from fairseq_metro.prepare.default_corpus import write_corpus
from fairseq_metro.prepare.docstrings import documents, paragraphs, prose

MODULE = '''
"""The module's own text is here for all to read.

A list follows:

- the first point is a sentence of its own,
  which goes on in the next line.
- the second point is a sentence too.

>>> print("not this")
not this

.. code-block:: python

    x = not_this_either()

    still_not_this = True

.. note:: Look.
    This note is a sentence to be kept.

Section of No Interest
----------------------

The literal text follows here::

    not this at all, although it is a sentence.

======  ======
a       table
======  ======
"""

class Adder:
    """Adds :class:`~numbers.Number` s and *nothing* else, see ``add()`` for the rest"""

    def add(self, x, y=0):
        """Return the sum of all of the values.

        Args:
            x (int, optional): the first number to be added to the sum.
            y: the second number of the two that are added,
                over two lines of text.

        Returns:
            The sum of both of the numbers.
        """
        return x + y  # Comments are not read by the way.


add_docstr(Adder.sub, r"""
sub(a, b) -> Tensor

Subtracts the second of the numbers from the first.

Args:
    {input}
""".format(**args))
'''


def test_prose_of_a_file_comes_out_in_order_without_code_and_markup():
    assert documents(MODULE) == [
        [
            "The module's own text is here for all to read.",
            "the first point is a sentence of its own, which goes on in the next line.",
            "the second point is a sentence too.",
            "This note is a sentence to be kept.",
            "The literal text follows here:",
            "Adds numbers.Number s and nothing else, see add for the rest.",
            "Return the sum of all of the values.",
            "the first number to be added to the sum.",
            "the second number of the two that are added, over two lines of text.",
            "The sum of both of the numbers.",
            "Subtracts the second of the numbers from the first.",
        ]
    ]


def test_parameters_in_the_style_of_numpy_keep_their_descriptions_alone():
    text = """Parameters
----------
a : array_like
    The input array that is to be sorted.
axis : int, optional
    The axis along which to sort, or the last.
"""
    assert paragraphs(text) == [
        "The input array that is to be sorted.",
        "The axis along which to sort, or the last.",
    ]


def test_topics_are_documents_of_their_own():
    source = "topics = {'a': 'The text of the first\\n topic.', 'b': 'And that of the\\n second.'}"
    assert documents(source, apart=True) == [
        ["The text of the first topic."],
        ["And that of the second."],
    ]


@pytest.mark.parametrize(
    "code",
    [
        "x = {1: 2} for all of the values in the list.",
        "def f(a, b) is the one that is used here.",
        "| the | row | of a table is here |.",
        "See https://example.org for all of the rest.",
        "The \\mathbb symbol is in the text of a formula.",
        ":math:`x` is the value of the formula for this.",
        "f(x, y) -> Tensor of the same size as the input.",
        "No end of a sentence in the list of words,",
        "int int int float float str tuple list.",
        "# a comment in the middle of the code.",
        "Short one.",
    ],
)
def test_what_does_not_read_as_english_is_left_out(code):
    assert prose(code) == ""


def test_a_bad_sentence_does_not_take_its_neighbours_along():
    text = "This is the first of the sentences. X = {y} is not kept at all. This is the last one."
    assert prose(text) == "This is the first of the sentences. This is the last one."


def test_abbreviations_do_not_end_a_sentence():
    text = "It is used for a file, e.g. The Hobbit or that of the other books."
    assert prose(text) == text


@given(st.text(max_size=200))
def test_any_text_is_survived_and_the_outcome_is_one_line_per_paragraph(text):
    for paragraph in paragraphs(text):
        line = prose(paragraph)
        assert "\n" not in line and line == line.strip()


@pytest.mark.parametrize("source", ["def broken(:", "\x00", "(" * 300, ""])
def test_a_file_that_python_cannot_parse_has_no_text(source):
    assert documents(source) == []


# The corpus itself, made once


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """A corpus of some of the standard library's files: all packages would take long."""
    library = default_corpus.Path(default_corpus.sysconfig.get_path("stdlib"))
    files = [*sorted(library.glob("[a-m]*.py")), library / "pydoc_data" / "topics.py"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(default_corpus, "PACKAGES", {"sentencepiece": ("sentencepiece",)})
        patch.setattr(default_corpus, "source_files", lambda: files)
        patch.setattr(default_corpus, "LEAST_BYTES", 300_000)
        out = tmp_path_factory.mktemp("corpus")
        write_corpus(out, 0.05, workers=1)
        before = {path: path.stat().st_mtime_ns for path in out.iterdir()}
        write_corpus(out, 0.05, workers=1)
        assert {path: path.stat().st_mtime_ns for path in out.iterdir()} == before
    return out


def test_the_facts_about_the_corpus_are_those_of_its_files(corpus):
    facts = json.loads((corpus / "corpus.json").read_text())
    assert set(facts["versions"]) == {"python", "sentencepiece"}
    for name in ("train", "valid"):
        text = (corpus / f"{name}.txt").read_text("utf-8")
        assert facts[name]["sha256"] == sha256_file(corpus / f"{name}.txt")
        assert facts[name]["bytes"] == len(text.encode())
        assert facts[name]["documents"] == len(text.strip("\n").split("\n\n"))
        assert facts[name]["lines"] == sum(bool(line) for line in text.split("\n"))
    assert 0.02 < facts["valid"]["documents"] / facts["train"]["documents"] < 0.1


def test_no_paragraph_is_in_both_parts_or_twice_in_one(corpus):
    lines = [
        line
        for name in ("train", "valid")
        for line in (corpus / f"{name}.txt").read_text("utf-8").split("\n")
        if line
    ]
    assert len(lines) == len(set(lines)) > 2000


def test_almost_all_lines_are_free_of_code(corpus):
    lines = (corpus / "train.txt").read_text("utf-8").split("\n")
    for mark in (">>>", "::", "``", "{", "://", "\\", "  "):
        assert not [line for line in lines if mark in line][:3]
    letters = sum(c.isalpha() or c.isspace() for line in lines for c in line)
    assert letters / sum(map(len, lines)) > 0.94


def test_a_changed_file_makes_the_corpus_anew(corpus, monkeypatch, tmp_path):
    monkeypatch.setattr(default_corpus, "collect", lambda workers: ["A document of its own.\n"])
    monkeypatch.setattr(default_corpus, "LEAST_BYTES", 1)
    for _ in range(2):
        write_corpus(tmp_path, 0.5)
        (tmp_path / "train.txt").write_text("edited")
    write_corpus(tmp_path, 0.5)
    assert (tmp_path / "train.txt").read_text() != "edited"


def test_too_little_text_is_an_error(monkeypatch, tmp_path):
    monkeypatch.setattr(default_corpus, "collect", lambda workers: ["too short\n"])
    with pytest.raises(UserError, match=r"only 0\.0 MB of text, less than 3 MB"):
        write_corpus(tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_a_place_that_cannot_be_written_is_said_before_the_work(monkeypatch, tmp_path):
    monkeypatch.setattr(default_corpus, "collect", lambda workers: pytest.fail("text was read"))
    (tmp_path / "file").write_text("")
    for out in ("file", "file/below"):
        with pytest.raises(UserError, match=rf"{out}: cannot be written \(.*file is no folder"):
            write_corpus(tmp_path / out)
    monkeypatch.setattr(os, "access", lambda place, mode: False)
    with pytest.raises(UserError, match=r"new/one: cannot be written"):
        write_corpus(tmp_path / "new" / "one")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_missing_package_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(default_corpus.PACKAGES, "no_such_package", ("no-such-package",))
    with pytest.raises(UserError, match="no_such_package is not installed"):
        write_corpus(tmp_path)


def test_a_share_outside_zero_and_one_is_refused(tmp_path):
    with pytest.raises(UserError, match="--valid-share is 2"):
        default_corpus.main(["--out", str(tmp_path), "--valid-share", "2"])


def test_nothing_that_is_read_is_imported(root):
    code = (
        "import sys; from fairseq_metro.prepare import default_corpus as d; d.versions(); "
        "assert len(list(d.source_files())) > 1000; "
        "assert not {'torch', 'fairseq', 'numpy', 'sentencepiece'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)


@pytest.mark.slow
def test_the_default_corpus_is_large_enough_and_the_same_for_any_number_of_workers(tmp_path):
    one, two = (write_corpus(tmp_path / str(n), workers=n) for n in (1, 2))
    assert one["train"]["bytes"] > default_corpus.LEAST_BYTES
    assert one["train"]["sha256"] == two["train"]["sha256"]
