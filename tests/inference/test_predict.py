"""fairseq-metro predict, around a predictor with known answers; the real one: test_predictor.py."""

import gzip
import io
import json
import sys

import pytest

import fairseq_metro
from fairseq_metro.common.errors import run_command
from fairseq_metro.inference.predict import main


class Known:
    """Generates a text's capitals; the score of a choice is minus its length."""

    def __init__(self):
        self.options = None

    def generate(self, texts, **options):
        self.options = options
        return [text.upper() for text in texts]

    def score_choices(self, texts, choices):
        return [[-float(len(choice)) for choice in choices] for _ in texts]


@pytest.fixture
def known(monkeypatch):
    predictor = Known()
    monkeypatch.setattr(fairseq_metro, "load", lambda folder, device, frozen_model: predictor)
    return predictor


def test_one_line_for_each_text(known, capsys):
    assert main(["run", "--input", "a b", "c"]) == 0
    assert capsys.readouterr().out == "A B\nC\n"
    assert known.options == {}


def test_options_of_generation_reach_the_generator(known):
    main(["run", "--input", "a", "--beam", "2", "--max-len", "9"])
    assert known.options == {"beam": 2, "max_len_b": 9}


def test_texts_from_the_standard_input(known, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("one\ntwo\n"))
    main(["run", "--input", "-", "--json"])
    answers = list(map(json.loads, capsys.readouterr().out.splitlines()))
    assert answers == [{"input": "one", "output": "ONE"}, {"input": "two", "output": "TWO"}]


def test_the_first_of_the_likeliest_choices(known, capsys):
    main(["run", "--input", "a", "--choices", "long one", "no", "is"])
    assert capsys.readouterr().out == "no\n"
    main(["run", "--input", "\u00e4", "--json", "--choices", "long one", "no"])
    assert json.loads(capsys.readouterr().out) == {
        "input": "\u00e4", "output": "no", "choices": ["long one", "no"], "scores": [-8.0, -2.0]
    }  # fmt: skip


@pytest.mark.parametrize(
    "words, message",
    [
        (["--input", "a", "  "], "--input: text 2 is empty"),
        (["--input", "-"], "the standard input is empty"),
        (["--input", "a", "--choices"], "--choices: none given"),
        (["--input", "a", "--choices", "b", ""], "one of them is empty"),
        (["--input", "a", "--choices", "b", "--beam", "3"], "belong to generation"),
    ],
)
def test_what_cannot_be_answered_is_one_line(monkeypatch, capsys, words, message):
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    assert run_command(main, ["nowhere", *words]) == 1
    said = capsys.readouterr().err
    assert message in said and len(said.splitlines()) == 1


def test_a_missing_folder_is_one_line(capsys, tmp_path):
    assert run_command(main, [str(tmp_path / "nowhere"), "--input", "a"]) == 1
    assert capsys.readouterr().err.endswith("nowhere: no such file or folder; give a run's folder or a "
                                            "checkpoint file\n")  # fmt: skip


def piped(monkeypatch, raw):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw), "utf-8"))


def test_a_bad_byte_on_the_standard_input_is_one_line_with_its_place(known, capsys, monkeypatch):
    piped(monkeypatch, b"fine\ncaf\xe9\n")
    assert run_command(main, ["run", "--input", "-"]) == 1
    output = capsys.readouterr()
    assert "--input -: line 2, byte 8 is not UTF-8" in output.err and not output.out
    assert len(output.err.splitlines()) == 1 and known.options is None


def test_what_unicode_calls_a_lines_end_is_part_of_a_text(known, capsys, monkeypatch):
    piped(monkeypatch, "a\u2028b\x85c\x0bd\r\ne\n".encode())
    assert main(["run", "--input", "-", "--json"]) == 0
    answers = list(map(json.loads, capsys.readouterr().out.split("\n")[:-1]))
    assert [answer["input"] for answer in answers] == ["a\u2028b\x85c\x0bd", "e"]


@pytest.mark.parametrize(
    "raw", [gzip.compress(b"one\n", mtime=0), "\ufeffone\n".encode("utf-16-le")]
)
def test_the_standard_input_may_be_packed_or_say_its_encoding(known, capsys, monkeypatch, raw):
    piped(monkeypatch, raw)
    assert main(["run", "--input", "-"]) == 0
    assert capsys.readouterr().out == "ONE\n"


def test_bytes_of_an_argument_that_are_not_utf_8_are_replaced_and_said_once(known, capsys):
    words = ["run", "--input", "caf\udce9", "b\udce9", "--json", "--choices", "x\udce9", "y z"]
    assert run_command(main, words) == 0
    output = capsys.readouterr()
    answers = list(map(json.loads, output.out.splitlines()))
    assert [answer["input"] for answer in answers] == ["caf\ufffd", "b\ufffd"]
    assert answers[0]["output"] == "x\ufffd"
    assert output.err.splitlines() == [
        "--input: 2 byte(s) that are not UTF-8 replaced by U+FFFD",
        "--choices: 1 byte(s) that are not UTF-8 replaced by U+FFFD",
    ]


def test_unknown_characters_are_an_error_unless_allowed(known):
    main(["run", "--input", "a"])
    assert known.allow_unknown is False
    main(["run", "--input", "a", "--allow-unknown"])
    assert known.allow_unknown is True
