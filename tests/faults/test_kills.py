"""kill -9 at random instants: begun again, every stage ends as if nobody had disturbed it."""

import json
import os
import re
import runpy
import shutil
import subprocess

import pytest

from fairseq_metro.common import stamp
from tests import distillation
from tests.evaluate.test_command import steady
from tests.faults.killing import Stage, endure, files, json_lines, ours, train, trained
from tests.interchange.t5_folders import write_folder
from tests.tasks import test_prompt_finetuning as finetuning
from tests.training import command

SAVING = ["--save-interval-updates=1", "--keep-interval-updates=2", "--max-update=12"]


def vocabulary_stage(inputs):
    return Stage(
        lambda folder: ours(
            "vocabulary", "--input", inputs / "text/train.txt", "--out", folder / "vocab",
            "--vocab-size", 70,
        ),
        lambda folder: files(folder, "*.model", "dict.txt"),
    )  # fmt: skip


def binarize_stage(inputs):
    text = inputs / "text"
    return Stage(
        lambda folder: ours(
            "binarize", "--vocab", inputs / "vocab", "--train", text / "train.txt", "--valid",
            text / "valid.txt", "--dest", folder / "bin", "--workers", 2,
        ),
        lambda folder: files(folder, "*.bin", "*.idx", "dict.txt"),
    )  # fmt: skip


def documents_stage(inputs):
    """Many small sources, of which some are rows and some have nothing new."""
    folder = inputs.parent / "sources"
    if not folder.exists():
        folder.mkdir()
        texts = (inputs / "text/train.txt").read_text("utf-8").split("\n\n")
        for i in range(2000):
            text = " ".join(texts[i % len(texts)].split()) * 3
            row = json.dumps({"text": text}) if i % 3 else text
            (folder / f"{i:04d}").write_text(row, "utf-8")
    return Stage(
        lambda out: ours(
            "documents", "--source", folder, "--out", out / "documents", "--valid-share", "0.1",
            "--min-characters", 20,
        ),
        lambda out: files(out / "documents", "*/*.zst"),
    )  # fmt: skip


def pretrain_stage(inputs):
    return Stage(
        lambda folder: train(
            *command(inputs / "bin", folder / "run", *SAVING, "--disable-validation")
        ),
        lambda folder: trained(folder / "run"),
    )


def finetune_stage(inputs):
    words = [*SAVING, "--valid-subset=valid"]
    return Stage(
        lambda folder: train(*finetuning.command(inputs / "prompts", folder / "run", *words)),
        lambda folder: trained(folder / "run"),
    )


def cache_stage(folder):
    teacher = distillation.write_teacher(folder / "teacher")
    (folder / "made").mkdir()
    data = distillation.make_data(folder / "made")
    return Stage(
        lambda folder: ours(
            "cache-teacher", data, "--teacher", teacher, "--dest", folder / "cache",
        ),
        lambda folder: files(folder / "cache", "*.npy", "*.bin"),
    )  # fmt: skip


def fewshot_stage(mask_model, kshot):
    return Stage(
        lambda folder: ours(
            "fewshot", "--model", mask_model, "--kshot", kshot, "--task", "sst2", "--seeds", 13,
            "--lr", "1e-3", "1e-2", "--batch", 2, 4, "--steps", 20, "--every", 5, "--k", 4,
            "--jobs", 2, "--device", "cpu", "--out", folder / "out",
        ),
        lambda folder: {
            **json_lines(folder / "out/cells.jsonl", "key", without=("seconds",)),
            **files(folder / "out", "table.*"),
        },
    )  # fmt: skip


def evaluate_stage(toys, model):
    return Stage(
        lambda folder: ours(
            "evaluate", model, "--suite", toys / "suite.yaml", "--tasks", toys / "tasks",
            "--device", "cpu", "--out", folder / "out",
        ),
        lambda folder: steady(folder / "out"),
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize(
    "stage, kills",
    [
        (documents_stage, 10),
        (vocabulary_stage, 10),
        (binarize_stage, 50),
        (pretrain_stage, 50),
        (finetune_stage, 10),
    ],
    ids=["documents", "vocabulary", "binarize", "pretrain", "finetune"],
)
def test_killed_at_random_instants(stage, kills, inputs, tmp_path):
    endure(stage.__name__.removesuffix("_stage"), stage(inputs), tmp_path, kills, seed=1)


@pytest.mark.parametrize("stage", [binarize_stage, pretrain_stage], ids=["binarize", "pretrain"])
def test_killed_once(stage, inputs, tmp_path):
    endure(stage.__name__.removesuffix("_stage"), stage(inputs), tmp_path, 1, seed=2)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_caching_a_teacher_killed(tmp_path):
    (tmp_path / "from").mkdir()
    endure("cache-teacher", cache_stage(tmp_path / "from"), tmp_path / "work", 10, seed=3)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_the_few_shot_grid_killed(mask_model, kshot, tmp_path):
    endure("fewshot", fewshot_stage(mask_model, kshot), tmp_path, 10, seed=4)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_an_evaluation_killed(toys, tmp_path):
    write_folder(tmp_path / "model")
    endure("evaluate", evaluate_stage(toys, tmp_path / "model"), tmp_path / "work", 10, seed=5)


def test_a_killed_command_leaves_no_lock_in_the_clone(tmp_path):
    """The commit that a stamp names is read without git's lock, which a kill would leave behind."""
    package, index = tmp_path / "fairseq_metro" / "common", tmp_path / ".git/index"
    package.mkdir(parents=True)
    shutil.copy(stamp.__file__, package / "stamp.py")
    for words in (
        ["init", "-q"], ["add", "fairseq_metro"],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "a"],
    ):  # fmt: skip
        subprocess.run(["git", "-C", tmp_path, *words], check=True)
    os.utime(package / "stamp.py", (1, 1))  # git looks at the file anew, and would note that
    before = index.read_bytes()
    module = runpy.run_path(str(package / "stamp.py"))
    assert re.fullmatch(r"[0-9a-f]{12}", module["commit"]())
    assert index.read_bytes() == before
    subprocess.run(["git", "-C", tmp_path, "status", "-s"], check=True, stdout=subprocess.DEVNULL)
    assert index.read_bytes() != before  # as it does by itself
