"""The wrapper's own part: words, exit status, and where the harness is not installed."""

import sys
from types import SimpleNamespace

import pytest

from fairseq_metro.common.errors import UserError
from fairseq_metro.evaluate import harness_command


def test_without_the_harness_the_remedy_is_named(monkeypatch):
    monkeypatch.setattr(harness_command, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="is not installed; pip install 'lm_eval"):
        harness_command.main(["x"])


@pytest.mark.parametrize("code, status", [(None, 0), (0, 0), (3, 3), ("a message", 1)])
def test_the_status_is_the_harnesss(monkeypatch, code, status):
    def cli():
        asked.extend(sys.argv)
        raise SystemExit(code)

    asked = []
    monkeypatch.setattr(sys, "argv", ["fairseq-metro lm-eval"])
    monkeypatch.setattr(harness_command, "find_spec", lambda name: True)
    monkeypatch.setattr(
        harness_command, "importlib",
        SimpleNamespace(import_module=lambda name: SimpleNamespace(cli_evaluate=cli)),
    )  # fmt: skip
    assert harness_command.main(["runs/mine", "--tasks", "piqa"]) == status
    assert asked[:2] == ["lm-eval", "run"] and asked[-3:] == [
        "pretrained=runs/mine", "--tasks", "piqa"
    ]  # fmt: skip


def test_words_of_the_harness_are_left_alone(tmp_path, monkeypatch):
    for words in (["--tasks", "list"], [], ["run", "--model", "hf"], ["ls", "tasks"]):
        assert harness_command.harness_words(words) == words
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()  # a run's folder of that name
    assert harness_command.harness_words(["run"])[-1] == "pretrained=run"
