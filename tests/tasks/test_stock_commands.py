"""Plain fairseq's commands as a user types them, each a process of its own, for every task."""

import random
import sys
from pathlib import Path

import pytest

from fairseq_metro.vocabulary.folder import Vocabulary
from tests import newcomer, prompted, stock
from tests.tasks.conftest import story
from tests.training import OPTIMIZATION, QUIET, ROOT, SIZES, spawn

BIN = Path(sys.executable).parent
SMALL = ["--batch-size", 16, "--cpu", "--num-workers", 0, "--max-update", 2, *OPTIMIZATION, *QUIET]
ROBERTA = [word for word in SIZES if "relative" not in word]
BLOCKS = ["--tokens-per-sample", 32]
# Task -> architecture, what it needs besides, the kind of text that its data is made from.
TASKS = {
    "metro_t5": ("metro_t5_tiny", [*SIZES, *BLOCKS], "text"),
    "t5": ("t5_transformer_tiny", [*SIZES, *BLOCKS], "text"),
    "masked_lm_blocks": ("roberta_mlm_tiny", [*ROBERTA, *BLOCKS], "text"),
    "prompt_finetuning": (
        "t5_transformer_tiny",
        [*SIZES, "--max-source-length", 48, "--max-target-length", 16],
        "pairs",
    ),
    "prompt_distillation": ("roberta_mlm_tiny", ROBERTA, "masked"),
}


def run(*words):
    done = spawn([BIN / words[0], *words[1:]])
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout + done.stderr


def preprocess(folder, *options):
    run("fairseq-preprocess", "--destdir", folder / "bin", "--trainpref", folder / "train",
        "--validpref", folder / "valid", *options)  # fmt: skip
    return folder / "bin"


def train(task, data, save_dir, *options):
    architecture, needs, _ = TASKS[task]
    return run("fairseq-train", data, "--user-dir", ROOT / "fairseq_metro", "--task", task,
               "--criterion", task, "--arch", architecture, "--save-dir", save_dir,
               *needs, *SMALL, *options)  # fmt: skip


def write(path, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")


def made(kind, folder, corpus, vocabulary):
    """(a folder of fairseq-preprocess, more options) of text, pairs or masked lines."""
    words, rng = Vocabulary.load(vocabulary), random.Random(3)
    if kind == "text":
        folder.mkdir(parents=True)
        for split in ("train", "valid"):
            stock.write_pieces(vocabulary / "spm.model", corpus / f"{split}.txt", folder / split)
        return preprocess(folder, "--only-source"), []
    lines = [f"the {rng.choice(prompted.KINDS)} river ." for _ in range(40)]
    pieces = list(map(words.encode_pieces, lines))
    if kind == "pairs":
        for split in ("train", "valid"):
            write(folder / f"{split}.src", pieces)
            write(folder / f"{split}.tgt", [words.encode_pieces("yes")] * len(pieces))
        sides = ["--source-lang", "src", "--target-lang", "tgt"]
        return preprocess(folder, *sides, "--joined-dictionary"), []
    text, _ = made("text", folder / "text", corpus, vocabulary)
    train("masked_lm_blocks", text, folder / "teacher", "--disable-validation")
    for split in ("train", "valid"):
        write(folder / split, [f"{line} <mask>" for line in pieces])
    dictionary = folder / "teacher" / "vocab" / "dict.txt"
    data = preprocess(folder, "--only-source", "--srcdict", dictionary)
    return data, ["--teacher", folder / "teacher"]


@pytest.mark.parametrize(
    "task", ["metro_t5", *(pytest.param(t, marks=pytest.mark.slow) for t in [*TASKS][1:])]
)
def test_preprocess_and_train(task, corpus, vocabulary, tmp_path):
    data, more = made(TASKS[task][2], tmp_path / "made", corpus, vocabulary)
    said = train(task, data, tmp_path / "run", *more)
    assert said.count("no stamp") == 1 and '"valid_loss"' in said
    assert (tmp_path / "run" / "checkpoint_last.pt").is_file()
    assert (tmp_path / "run" / "vocab" / "dict.txt").is_file()


@pytest.mark.slow
def test_resume_validate_adopt_and_ask(corpus, vocabulary, tmp_path):
    data, _ = made("text", tmp_path / "made", corpus, vocabulary)
    train("t5", data, tmp_path / "run")
    assert "epoch 1 @ 2 updates" in train("t5", data, tmp_path / "run", "--max-update", 3)
    last = tmp_path / "run" / "checkpoint_last.pt"
    words = ["--user-dir", ROOT / "fairseq_metro", "--task", "t5", "--path", last, "--cpu"]
    assert "| loss " in run("fairseq-validate", data, *words, "--batch-size", 16)
    ask = [BIN / "fairseq-metro", "predict", tmp_path / "run", "--input", "the river"]
    done = spawn(ask)
    assert done.returncode == 1 and done.stdout == ""
    (line,) = [line for line in done.stderr.splitlines() if line]
    assert line.startswith("error: ") and f"{tmp_path}/run/vocab/spm.model" in line
    run("fairseq-metro", "adopt", data, "--sentencepiece-model", vocabulary / "spm.model")
    assert "no stamp" not in train("t5", data, tmp_path / "run", "--max-update", 4)
    assert spawn(ask).returncode == 0


@pytest.mark.slow
def test_a_mistake_is_one_line(corpus, vocabulary, tmp_path):
    data, _ = made("text", tmp_path / "made", corpus, vocabulary)
    text = (data / "dict.txt").read_text("utf-8")
    (data / "dict.txt").write_text(f"<mask> 1\n{text}", "utf-8")
    architecture, needs, _ = TASKS["metro_t5"]
    done = spawn([BIN / "fairseq-train", data, "--user-dir", ROOT / "fairseq_metro", "--task",
                  "metro_t5", "--criterion", "metro_t5", "--arch", architecture, "--save-dir",
                  tmp_path / "run", *needs, *SMALL])  # fmt: skip
    assert done.returncode == 1 and "Traceback" not in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "'<mask>' as id 4" in line
    assert not list((tmp_path / "run").glob("*"))


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("task", ["metro_t5", "masked_lm_blocks"])
def test_the_script(task, tmp_path):
    """train_scripts/quickstart_stock.sh in this environment, on a small text, with few updates."""
    clone, rng = newcomer.clone(tmp_path / "clone"), random.Random(5)
    text = "\n\n".join(story(rng, rng.randint(2, 12)) for _ in range(600))
    (tmp_path / "text.txt").write_text(f"{text}\n", "utf-8")
    environment = {"TASK": task, "UPDATES": "20", "RUN": str(tmp_path / "run"), "PROCESSES": "1",
                   "TEXT": str(tmp_path / "text.txt")}  # fmt: skip
    command = ["bash", clone / "train_scripts" / "quickstart_stock.sh"]
    done = spawn(command, **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "5/5 summary" in done.stdout
    assert Vocabulary.load(tmp_path / "run" / "checkpoints" / "vocab").has_tokenizer
    again = spawn(command, **environment)
    assert again.returncode == 0 and again.stdout.count("there already") == 4
