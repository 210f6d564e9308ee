"""setup.py: the package as pip installs it, away from the clone, without its dependencies."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import fairseq
import pytest

from fairseq_metro.cli import COMMANDS


@pytest.fixture(scope="module")
def installed(tmp_path_factory, root):
    """A folder with the installed package, made from a copy (building writes into its source)."""
    folder = tmp_path_factory.mktemp("package")
    source = folder / "source"
    source.mkdir()
    for name in ("setup.py", "pyproject.toml", "README.md"):
        shutil.copy(root / name, source)
    shutil.copytree(
        root / "fairseq_metro", source / "fairseq_metro",
        ignore=shutil.ignore_patterns("__pycache__"),
    )  # fmt: skip
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    away = ["--no-deps", "--no-build-isolation", "--no-index", "--target", str(folder / "site")]
    subprocess.run([*pip, *away, "."], cwd=source, check=True)
    return folder / "site"


def run(installed, cwd, *command):
    paths = {"PYTHONPATH": f"{installed}", "PATH": f"{installed}/bin:{os.environ['PATH']}"}
    return subprocess.run(
        command, cwd=cwd, env=os.environ | paths, capture_output=True, text=True, timeout=120
    )


def test_every_module_and_data_file_is_installed(installed):
    def files(folder):
        return {
            str(path.relative_to(folder))
            for path in (folder / "fairseq_metro").rglob("*")
            if path.suffix in (".py", ".json", ".yaml")
        }

    assert files(installed) == files(installed.parent / "source")


def test_every_console_command_of_the_package_starts(installed, tmp_path):
    commands = sorted(path.name for path in (installed / "bin").glob("*metro*"))
    assert commands == ["fairseq-metro"]
    for command in commands:
        done = run(installed, tmp_path, command, "--help")
        assert done.returncode == 0, f"{command}: {done.stderr}"
        assert done.stdout.startswith("usage: ")


@pytest.mark.parametrize("name", ["predict", "corpus"])
def test_a_command_below_fairseq_metro_starts(installed, tmp_path, name):
    done = run(installed, tmp_path, "fairseq-metro", name, "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: ")


def test_user_mistake_in_a_console_command_is_one_line(installed, tmp_path):
    done = run(installed, tmp_path, "fairseq-metro", "summary", "nowhere")
    assert done.returncode == 1
    assert done.stderr.startswith("error: nowhere/train.log: cannot be read")
    assert len(done.stderr.splitlines()) == 1


def test_fairseq_finds_the_plugin_from_a_clone_and_from_an_installation(installed, tmp_path, root):
    # fairseq looks for a relative --user-dir in the working folder, then beside itself.
    (installed / "fairseq").mkdir()
    for entry in Path(fairseq.__file__).parent.iterdir():
        (installed / "fairseq" / entry.name).symlink_to(entry)
    find = (
        "import argparse, sys\n"
        "from fairseq import utils\n"
        "utils.import_user_module(argparse.Namespace(user_dir='fairseq_metro'))\n"
        "from fairseq.tasks import TASK_REGISTRY\n"
        "import fairseq_metro\n"
        "print('metro_t5' in TASK_REGISTRY, fairseq_metro.__file__)\n"
    )
    for paths, cwd, expected in ((installed, tmp_path, installed), ("", root, root)):
        done = run(paths, cwd, sys.executable, "-c", find)
        assert done.returncode == 0, done.stderr
        known, file = done.stdout.splitlines()[-1].split()
        assert (known, Path(file).resolve()) == ("True", expected / "fairseq_metro" / "__init__.py")


def test_readme_names_scripts_and_commands_that_exist(root):
    text = (root / "README.md").read_text("utf-8")
    scripts = set(re.findall(r"(?:bash|python) ([\w./]+\.(?:sh|py))", text))
    assert {"train_scripts/quickstart.sh", "tests/run.sh"} <= scripts
    assert [name for name in scripts if not (root / name).is_file()] == []
    named = re.findall(r"(?m)(?:^|`)(?:fairseq-metro|python -m fairseq_metro) ([a-z][\w-]*)", text)
    assert set(named) <= set(COMMANDS)
    assert len(text.splitlines()) <= 160
