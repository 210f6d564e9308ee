"""fairseq-metro: the list of commands, and how a name becomes a module's main."""

import importlib
import subprocess
import sys

import pytest

import fairseq_metro
from fairseq_metro import commands
from fairseq_metro.stamp import __version__


def call(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["fairseq-metro", *words])
    return commands.main()


def test_help_lists_every_command(monkeypatch, capsys):
    assert call(monkeypatch, "--help") == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line[:2] == "  "]
    assert listed == list(commands.COMMANDS)


def test_without_a_command_the_help_is_an_error(monkeypatch, capsys):
    assert call(monkeypatch) == 2
    assert "usage: fairseq-metro" in capsys.readouterr().out


def test_the_version_is_the_packages(monkeypatch, capsys):
    assert call(monkeypatch, "--version") == 0
    assert capsys.readouterr().out == f"fairseq-metro {__version__}\n"


@pytest.mark.parametrize("name", commands.COMMANDS)
def test_every_command_is_a_main(name):
    module = importlib.import_module(f"fairseq_metro.{commands.COMMANDS[name][0]}")
    assert callable(module.main)


def test_an_unknown_command_is_answered_with_the_nearest(monkeypatch, capsys):
    assert call(monkeypatch, "predct") == 1
    said = capsys.readouterr().err
    assert said.startswith("error: fairseq-metro has no command 'predct'; perhaps predict")
    assert len(said.splitlines()) == 1


def test_the_rest_of_the_line_goes_to_the_command(monkeypatch):
    got = []
    monkeypatch.setattr("fairseq_metro.prepare.split.main", lambda argv: got.append(argv) or 7)
    monkeypatch.setitem(commands.COMMANDS, "split", ("prepare.split", ""))
    assert call(monkeypatch, "split", "--help", "x") == 7
    assert got == [["--help", "x"]] and sys.argv[0] == "fairseq-metro split"


def test_the_list_needs_neither_torch_nor_fairseq(root):
    program = (
        "import sys; sys.argv = ['fairseq-metro', '-h']\n"
        "from fairseq_metro.commands import main\n"
        "main(); assert not {'torch', 'fairseq'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_clone_starts_the_same_commands(root):
    words = [sys.executable, "-m", fairseq_metro.__name__, "--version"]
    done = subprocess.run(words, cwd=root, capture_output=True, text=True)
    assert done.stdout == f"fairseq-metro {__version__}\n"
