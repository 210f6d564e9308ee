"""fairseq-metro: the list of commands, their help, and how a name becomes a module's main."""

import subprocess
import sys

import pytest

import fairseq_metro
from fairseq_metro import cli
from fairseq_metro.common.arguments import CommandParser
from fairseq_metro.common.stamp import __version__


def test_help_lists_every_command_in_its_group(capsys):
    assert cli.main(["--help"]) == 0
    groups, group = {}, None
    for line in capsys.readouterr().out.splitlines():
        if line.rstrip(":") in cli.GROUPS:
            group = groups.setdefault(line.rstrip(":"), [])
        elif line.startswith("  "):
            group.append(line.split()[0])
    assert groups == {name: list(commands) for name, commands in cli.GROUPS.items()}


def test_without_a_command_the_help_is_an_error(capsys):
    assert cli.main([]) == 2
    assert "usage: fairseq-metro" in capsys.readouterr().out


def test_the_version_is_the_packages(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"fairseq-metro {__version__}\n"


def test_an_unknown_command_is_answered_with_the_nearest(capsys):
    assert cli.main(["predct"]) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: fairseq-metro has no command 'predct'; perhaps predict")
    assert len(message.splitlines()) == 1


def test_the_rest_of_the_line_goes_to_the_command(monkeypatch):
    received = []
    monkeypatch.setattr("fairseq_metro.prepare.split.main", lambda argv: received.append(argv) or 7)
    monkeypatch.setitem(cli.COMMANDS, "split", cli.Command("prepare.split", ""))
    assert cli.main(["split", "--help", "x"]) == 7
    assert received == [["--help", "x"]] and sys.argv[0] == "fairseq-metro split"


def test_the_help_of_every_command_needs_neither_torch_nor_fairseq(root):
    program = (
        "import sys\n"
        "from fairseq_metro.cli import COMMANDS, main\n"
        "for name in COMMANDS:\n"
        "    try:\n"
        "        status = main([name, '--help'])\n"
        "    except SystemExit as ended:\n"
        "        status = ended.code\n"
        "    assert not status, (name, status)\n"
        "    heavy = {'torch', 'fairseq', 'transformers', 'matplotlib'} & set(sys.modules)\n"
        "    assert name == 'lm-eval' or not heavy, (name, heavy)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("usage: fairseq-metro") >= len(cli.COMMANDS) - 1


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_an_unknown_option_is_one_line_with_the_nearest_and_status_2(name, monkeypatch, capsys):
    command = cli.COMMANDS[name]
    if command.options is None:
        pytest.skip("reads its words itself")
    parser = command.parser()
    option = max(parser._option_string_actions, key=len)
    with pytest.raises(SystemExit) as ended:
        parser.error(f"unrecognized arguments: {option}x")
    assert ended.value.code == 2
    message = capsys.readouterr().err
    assert f"perhaps {option}" in message and len(message.splitlines()) == 1


def test_a_missing_option_is_one_line_and_status_2(capsys):
    parser = CommandParser(prog="fairseq-metro x")
    parser.add_argument("--out", required=True)
    with pytest.raises(SystemExit) as ended:
        parser.parse_args([])
    assert ended.value.code == 2
    message = "error: the following arguments are required: --out (options: fairseq-metro x --help)"
    assert capsys.readouterr().err.splitlines() == [message]


@pytest.mark.parametrize("shell", cli.SHELLS)
def test_the_completion_script_knows_commands_and_options(shell, capsys):
    assert cli.main(["--print-completion", shell]) == 0
    script = capsys.readouterr().out
    assert "cache-teacher" in script and "--max-bad-rows" in script


def test_completion_for_an_unknown_shell_is_wrong_usage(capsys):
    assert cli.main(["--print-completion", "command.com"]) == 2
    assert capsys.readouterr().err.startswith("error: usage: fairseq-metro --print-completion bash")


def test_a_clone_starts_the_same_commands(root):
    words = [sys.executable, "-m", fairseq_metro.__name__, "--version"]
    done = subprocess.run(words, cwd=root, capture_output=True, text=True)
    assert done.stdout == f"fairseq-metro {__version__}\n"
