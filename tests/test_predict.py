"""fairseq-metro predict, around a predictor with known answers; the real one: test_predictor.py."""

import io
import json
import sys

import pytest

import fairseq_metro
from fairseq_metro.errors import run_command
from fairseq_metro.predict import main


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
    assert capsys.readouterr().err.endswith("nowhere: no such folder; give a run's folder or a "
                                            "checkpoint file\n")  # fmt: skip
