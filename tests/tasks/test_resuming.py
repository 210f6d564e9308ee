"""fairseq-train that goes on with other processes, batches and options than it began with."""

import json
import shutil
import sys

import pytest
import torch

from fairseq_metro.common.errors import UserError
from fairseq_metro.tasks.resuming import update_changes
from tests import distillation, prompted
from tests.recording import VARIABLE, recorded_samples, samples_of
from tests.tasks.test_prompt_finetuning import command as finetuning_command
from tests.tasks.test_prompt_finetuning import finetune
from tests.training import ROOT, command, parameters, same_number, spawn, train

EPOCH = ["--disable-validation", "--max-epoch=1"]
QUICK = ["--disable-validation"]
WARNING = "goes on with other options than before"


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    return distillation.make_data(tmp_path_factory.mktemp("pairs"))


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    return distillation.write_teacher(tmp_path_factory.mktemp("teacher") / "run")


@pytest.fixture(scope="module")
def prompts(tmp_path_factory, vocabulary):
    return prompted.folder(tmp_path_factory.mktemp("prompts") / "data", vocabulary)


def progress(save_dir):
    return torch.load(save_dir / "checkpoint_last.pt", weights_only=True)["extra_state"][
        "train_iterator"
    ]


@pytest.mark.parametrize("kind", ["blocks", "prompts", "packed prompts", "distillation"])
def test_batches_change_in_the_midst_of_an_epoch(kind, data, prompts, pairs, teacher, tmp_path):
    trained_on, save_dir = tmp_path / "ids", tmp_path / "run"

    def run(*options):
        options = [*QUICK, *options]
        if kind == "blocks":
            return train(data, save_dir, *options)
        if kind == "distillation":
            return distillation.train(pairs, save_dir, f"--teacher={teacher}", *options)
        if kind == "packed prompts":
            options.append("--pack")
        return finetune(prompts, save_dir, *options)

    with recorded_samples(trained_on):
        run("--max-update=2", "--update-freq=2", "--max-tokens=300")
        first = progress(save_dir)
        assert first["iterations_in_epoch"] == 4 and first["samples"]["batches"] == 4
        run("--max-update=3", "--update-freq=3", "--max-tokens=200", "--batch-size=2")
        second = progress(save_dir)
        log = run("--max-epoch=1", "--max-tokens=400", "--batch-size=5")
    assert 0 < first["samples"]["done"] < second["samples"]["done"] < second["samples"]["total"]
    assert sorted(samples_of(trained_on, 1)) == list(range(second["samples"]["total"]))
    assert progress(save_dir)["epoch"] == 2
    (said,) = (text for _, text in log.records if WARNING in text)
    assert "--max-tokens 400 (was 200), --update-freq 1 (was 3)" in said


def test_two_processes_end_the_epoch_that_one_began_as_one_would(data, tmp_path):
    """An update stays as large. The last one leaves a process with a batch and an empty one."""
    options = [*EPOCH, "--dropout=0", "--attention-dropout=0", "--sample-break-mode=none"]
    options += ["--batch-size=48", "--clip-norm=0"]
    one = train(data, tmp_path / "one", *options, "--update-freq=4").lines("train_inner")
    trained_on, save_dir = tmp_path / "ids", tmp_path / "two"
    with recorded_samples(trained_on):
        train(data, save_dir, *options, "--update-freq=4", "--max-update=1")
    state = progress(save_dir)["samples"]
    shutil.copytree(save_dir, tmp_path / "on")  # this process keeps its own folder to itself
    words = command(data, tmp_path / "on", *options, "--update-freq=2")
    log = launched_recording(2, words, trained_on)
    assert state["batches"] == 4 and len(trained_on.read_text().splitlines()) == 4 + 4 + 3
    assert sorted(samples_of(trained_on, 1)) == list(range(state["total"]))
    assert not any(WARNING in line for line in log)
    two = [json.loads(line) for line in log if line.startswith('{"epoch": 1, "update"')]
    assert len(two) == len(one) - 1
    for ours, theirs in zip(two, one[1:], strict=True):
        for name in ("update", "loss", "rtd_loss", "gnorm", "wpb", "bsz"):
            assert same_number(ours[name], theirs[name], 1e-4), (name, ours, theirs)
    first, second = (parameters(tmp_path / d / "checkpoint_last.pt") for d in ("one", "on"))
    for name, value in first.items():
        torch.testing.assert_close(value, second[name], rtol=1e-4, atol=1e-5)


def launched_recording(processes, words, trained_on):
    words = [word for word in words if word != "--cpu"]
    program = [sys.executable, "-m", "tests.recording"]
    done = spawn(
        ["bash", ROOT / "train_scripts/launch.sh", processes, *program, *words],
        PATH=f"{sys.exec_prefix}/bin:/usr/bin:/bin",
        **{VARIABLE: str(trained_on)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [line.rpartition(" | ")[2] for line in (done.stdout + done.stderr).splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["blocks", "prompts", "distillation"])
def test_one_two_three_and_one_process(kind, data, prompts, pairs, teacher, tmp_path):
    trained_on, save_dir = tmp_path / "ids", tmp_path / "run"
    words = {
        "blocks": lambda: command(data, save_dir),
        "prompts": lambda: finetuning_command(prompts, save_dir, "--max-tokens=300"),
        "distillation": lambda: [
            *distillation.command(pairs, save_dir, f"--teacher={teacher}", "--batch-size=4")
        ],
    }[kind]()
    words += ["--disable-validation", "--num-workers=1"]
    for processes, updates in ((1, 3), (2, 5), (3, 7)):
        launched_recording(processes, [*words, f"--max-update={updates}"], trained_on)
    state = progress(save_dir)
    assert state["epoch"] == 1
    launched_recording(1, [*words, "--max-epoch=1"], trained_on)
    assert sorted(samples_of(trained_on, 1)) == list(range(state["samples"]["total"]))


# What is said


def test_options_with_another_value_are_named(data, tmp_path):
    train(data, tmp_path, *QUICK, "--max-update=1")
    options = ["--lr=1e-3", "--seed=2", "--warmup-updates=3", "--mask-prob=0.2", "--lambda-rtd=20"]
    log = train(data, tmp_path, *QUICK, "--max-update=2", *options, "--batch-size=3")
    (said,) = (text for _, text in log.records if WARNING in text)
    for words in (
        "--lr 0.001 (was 0.002)", "--seed 2 (was 1)", "--warmup-updates 3 (was 2)",
        "--mask-prob 0.2 (was 0.15)", "--lambda-rtd 20 (was 50)", "--batch-size 3 (was 4)",
    ):  # fmt: skip
        assert words in said
    assert said.count("(was") == 6 and "\n" not in said


def test_a_task_that_stands_alone_changes_no_update():
    then = {"dataset": {"batch_size": 8}, "optimization": {"update_freq": [2]}}
    assert update_changes(then, {"task": {}}) == []
    now = {"dataset": {"batch_size": 4}, "optimization": {"update_freq": [2]}}
    assert update_changes(then, now) == [("batch_size", "4", "8")]


def test_places_speed_and_how_often_to_look_are_not_named(data, tmp_path):
    train(data, tmp_path / "a", *QUICK, "--max-update=1")
    more = ["--num-workers=1", "--log-interval=2", "--save-interval-updates=1", "--max-epoch=9"]
    more += [f"--restore-file={tmp_path / 'a/checkpoint_last.pt'}", "--checkpoint-activations"]
    log = train(data, tmp_path / "b", *QUICK, "--max-update=2", *more)
    assert not any(WARNING in text for _, text in log.records)
    assert len(samples_done(tmp_path / "b")) > len(samples_done(tmp_path / "a"))


def samples_done(save_dir):
    return range(progress(save_dir)["samples"]["done"])


def test_another_block_length_is_refused_within_an_epoch_alone(data, tmp_path):
    train(data, tmp_path, *QUICK, "--max-update=2")
    before = (tmp_path / "checkpoint_last.pt").read_bytes()
    with pytest.raises(UserError) as caught:
        train(data, tmp_path, *QUICK, "--max-update=3", "--tokens-per-sample=24", "--seed=3")
    said = str(caught.value)
    assert "--tokens-per-sample 24 (was 32)" in said and "--reset-dataloader" in said
    assert "checkpoint_last.pt: it was saved within epoch 1" in said
    assert (tmp_path / "checkpoint_last.pt").read_bytes() == before
    again = ["--tokens-per-sample=24", "--reset-dataloader"]
    assert 3 in train(data, tmp_path, *QUICK, "--max-update=3", *again).losses()


def test_another_block_length_begins_with_an_epoch(data, tmp_path):
    train(data, tmp_path, *EPOCH, "--batch-size=40")
    options = ["--max-epoch=2", "--tokens-per-sample=24", "--batch-size=40"]
    log = train(data, tmp_path, *QUICK, *options)
    assert log.losses() and progress(tmp_path)["epoch"] == 3


def test_another_seed_redraws_the_rows_of_a_mixture(prompts, tmp_path):
    finetune(prompts, tmp_path, *QUICK, "--max-update=2")
    with pytest.raises(UserError, match=r"other samples now: --seed 2 \(was 1\); undo that"):
        finetune(prompts, tmp_path, *QUICK, "--max-update=3", "--seed=2")
    assert 3 in finetune(prompts, tmp_path, *QUICK, "--max-update=3").losses()
