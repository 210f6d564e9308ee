"""--kernels among a script's options: the training's FAIRSEQ_METRO_KERNELS, no option of fairseq."""

import os
import subprocess
import sys

import pytest

from fairseq_metro.common.errors import UserError
from fairseq_metro.kernels import choice


@pytest.fixture
def run(root, tmp_path):
    """Runs a script on a stand-in for fairseq-train: (its variable, its words, CompletedProcess)."""
    programs, record = tmp_path / "programs", tmp_path / "record"
    programs.mkdir()
    said = f'printf "%s\\n" "$FAIRSEQ_METRO_KERNELS" "$@" > {record}'
    for name, line in (("fairseq-train", said), ("python", f'exec {sys.executable} "$@"')):
        (programs / name).write_text(f"#!/bin/sh\n{line}\n")
        (programs / name).chmod(0o755)

    def start(script, *words, **variables):
        env = {"PATH": f"{programs}:/usr/bin:/bin", "HOME": os.environ.get("HOME", "")} | variables
        command = ["bash", root / "train_scripts" / script, *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=env)
        seen = record.read_text().splitlines() if record.exists() else [None]
        return seen[0], seen[1:], done

    return start


@pytest.mark.parametrize("words", [["--kernels", "attention=fused"], ["--kernels=attention=fused"]])
def test_launch_takes_it_out_of_the_command(words, run):
    chosen, seen, done = run("launch.sh", "1", "fairseq-train", "data", *words, "--lr", "1")
    assert done.returncode == 0, done.stderr
    assert chosen == "attention=fused" and seen[:3] == ["data", "--lr", "1"]
    assert not any("kernels" in word or "attention" in word for word in seen)


def test_without_it_the_variable_stays_and_with_it_the_option_wins(run):
    given = dict(FAIRSEQ_METRO_KERNELS="reference")
    assert run("launch.sh", "1", "fairseq-train", **given)[0] == "reference"
    assert run("launch.sh", "1", "fairseq-train", "--kernels", "auto", **given)[0] == "auto"


def test_a_forgotten_value_or_command_is_one_line(run):
    for words in (["fairseq-train", "--kernels"], ["--kernels", "auto"]):
        chosen, _, done = run("launch.sh", "1", *words)
        assert done.returncode == 2 and chosen is None
        assert len(done.stderr.strip().splitlines()) == 1


UNKNOWN = ["fuzed", "attention", "attentoin=fused", "attention=fuzed", "fused,reference"]
UNKNOWN += ["attention=fused;head_loss=fused", "attention:fused", "fused=attention"]
UNKNOWN += ["compiled", "layers", "layers=fused", "attention=compiled", "attention=apex", "apex"]
KNOWN = ["", "auto", " fused ", "reference,", "attention=fused", "attention=auto,,head_loss=fused"]
KNOWN += [
    " residual_norm=reference , attention = fused",
    "layers=compiled",
    "residual_norm=apex,attention=reference",
    "layers=auto,attention=fused",
]
KNOWN += ["layers = reference , head_loss=auto"]


@pytest.mark.parametrize("value", KNOWN + UNKNOWN)
def test_the_scripts_know_the_words_that_the_package_knows(value, root):
    script = f'source {root}/train_scripts/kernels.sh "$@"'
    done = subprocess.run(["bash", "-c", script, "x", "--kernels", value], capture_output=True)
    try:
        choice.parse(value)
    except UserError:
        assert value in UNKNOWN and done.returncode == 2
    else:
        assert value in KNOWN and done.returncode == 0, done.stderr


SCRIPTS = "launch.sh pretrain_metro.sh pretrain_t5.sh finetune_t0.sh smash_pair.sh quickstart.sh"


@pytest.mark.parametrize("words", [["--kernels", "fuzed"], ["--kernels=fuzed"], []])
@pytest.mark.parametrize("script", SCRIPTS.split())
def test_an_unknown_word_is_one_line_before_anything_starts(script, words, run, tmp_path):
    """Neither Python nor data, model or folder are looked at."""
    for program in ("fairseq-train", "python"):
        (tmp_path / "programs" / program).write_text(f"#!/bin/sh\necho began >> {tmp_path}/began\n")
    given = dict(
        DATA="data", TASKS="tasks", INIT="init", TEXT="text", ARCH="tiny", RUN=f"{tmp_path}/run"
    )
    given["SAVE"] = str(tmp_path / "save")
    if not words:
        given["FAIRSEQ_METRO_KERNELS"] = "fuzed"
    leading = ["1", "fairseq-train"] if script == "launch.sh" else []
    _, _, done = run(script, *leading, *words, **given)
    (line,) = done.stderr.strip().splitlines()
    assert done.returncode == 2 and "'fuzed' is unknown" in line and not done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["programs"]


@pytest.mark.parametrize("plan", [{"PLAN": "1"}, "--plan"])
def test_a_plan_takes_it_and_starts_nothing(plan, run, tmp_path):
    where = dict(DATA="data", ARCH="tiny", SAVE=str(tmp_path / "run"))
    words = ["--kernels", "reference"]
    words, where = ([*words, plan], where) if isinstance(plan, str) else (words, where | plan)
    chosen, _, done = run("pretrain_metro.sh", *words, **where)
    assert done.returncode == 0, done.stderr
    assert "parameters" in done.stdout and chosen is None and not (tmp_path / "run").exists()
    *words, done = run("pretrain_metro.sh", "--plan", "--kernels", "fuzed", **where)
    assert done.returncode == 2 and not done.stdout and "'fuzed' is unknown" in done.stderr


def test_pretraining_passes_it_on_and_keeps_it_in_its_command(run, tmp_path):
    where = dict(DATA="data", ARCH="tiny", SAVE=str(tmp_path / "run"))
    chosen, seen, done = run("pretrain_metro.sh", "--kernels", "reference", "--lr", "7", **where)
    assert done.returncode == 0, done.stderr
    assert chosen == "reference" and "--kernels" not in seen and "7" in seen
    assert "--kernels reference" in (tmp_path / "run" / "command.txt").read_text()


def test_the_choice_is_read_where_a_kernel_is_first_asked_for(monkeypatch):
    monkeypatch.setenv(choice.VARIABLE, "fuzed")
    choice.forget()
    with pytest.raises(UserError, match="did you mean 'fused'"):
        choice.fused("attention", "cpu")
    choice.forget()
