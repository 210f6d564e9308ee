"""kill -9 at random instants: begun again, every stage ends as if nobody had disturbed it."""

import pytest

from tests import distillation
from tests.evaluate.conftest import SUITE
from tests.evaluate.fakes import write_rows
from tests.faults.killing import Stage, endure, fairseq, files, finished, json_lines, ours, trained
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


def pretrain_stage(inputs):
    return Stage(
        lambda folder: fairseq(
            "train", *command(inputs / "bin", folder / "run", *SAVING, "--disable-validation")
        ),
        lambda folder: trained(folder / "run"),
        lambda folder: finished(folder / "run", 12),
    )


def finetune_stage(inputs):
    words = [*SAVING, "--valid-subset=valid"]
    return Stage(
        lambda folder: fairseq(
            "train", *finetuning.command(inputs / "prompts", folder / "run", *words)
        ),
        lambda folder: trained(folder / "run"),
        lambda folder: finished(folder / "run", 12),
    )


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize(
    "stage, kills",
    [(vocabulary_stage, 10), (binarize_stage, 50), (pretrain_stage, 50), (finetune_stage, 10)],
    ids=["vocabulary", "binarize", "pretrain", "finetune"],
)
def test_killed_at_random_instants(stage, kills, inputs, tmp_path):
    done, folders = endure(stage(inputs), tmp_path, kills, seed=1)
    print(f"{done} kills, {folders} folders")
    assert done == kills


@pytest.mark.parametrize("stage", [binarize_stage, pretrain_stage], ids=["binarize", "pretrain"])
def test_killed_once(stage, inputs, tmp_path):
    assert endure(stage(inputs), tmp_path, 1, seed=2)[0] == 1


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_caching_a_teacher_killed(tmp_path):
    teacher = distillation.write_teacher(tmp_path / "teacher")
    (tmp_path / "made").mkdir()
    data = distillation.make_data(tmp_path / "made")
    stage = Stage(
        lambda folder: ours(
            "cache-teacher", data, "--teacher", teacher, "--dest", folder / "cache",
        ),
        lambda folder: files(folder / "cache", "*.npy", "*.bin"),
    )  # fmt: skip
    assert endure(stage, tmp_path / "work", 10, seed=3)[0] == 10


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_the_few_shot_grid_killed(mask_model, kshot, tmp_path):
    stage = Stage(
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
    assert endure(stage, tmp_path, 10, seed=4)[0] == 10


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_an_evaluation_killed(tmp_path):
    from tests.evaluate.test_command import steady

    toys = tmp_path / "toys"
    toys.mkdir()
    (toys / "suite.yaml").write_text(SUITE)
    rows = [{"text": f"old {i} words", "label": i % 2} for i in range(30)]
    picks = [{"text": "one of", "options": ["a", "bb", str(i)], "label": i % 3, "subject": "art"}
             for i in range(17)]  # fmt: skip
    write_rows(toys / "tasks", "toy/kind", rows, "validation")
    write_rows(toys / "tasks", "toy/pick", picks, "validation")
    write_folder(toys / "model")
    stage = Stage(
        lambda folder: ours(
            "evaluate", toys / "model", "--suite", toys / "suite.yaml", "--tasks", toys / "tasks",
            "--device", "cpu", "--out", folder / "out",
        ),
        lambda folder: steady(folder / "out"),
    )  # fmt: skip
    assert endure(stage, tmp_path / "work", 10, seed=5)[0] == 10
