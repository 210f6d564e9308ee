import random
from pathlib import Path

import pytest

from fairseq_metro.prepare import binarize, train_vocabulary
from tests import fewshot, prompted
from tests.evaluate.conftest import SUITE
from tests.evaluate.fakes import write_rows
from tests.tasks.conftest import story


@pytest.fixture(scope="session")
def inputs(tmp_path_factory):
    """Folder that every stage reads: text/, vocab/, bin/ (pretraining), prompts/ (fine-tuning)."""
    folder, rng = tmp_path_factory.mktemp("inputs"), random.Random(5)
    (folder / "text").mkdir()
    for split, documents in (("train", 400), ("valid", 8)):
        text = "\n\n".join(story(rng, rng.randint(2, 12)) for _ in range(documents))
        (folder / "text" / f"{split}.txt").write_text(text + "\n", encoding="utf-8")
    words = ["--input", folder / "text/train.txt", "--out", folder / "vocab", "--vocab-size", 70]
    assert train_vocabulary.main(list(map(str, words))) in (0, None)
    words = ["--vocab", folder / "vocab", "--train", folder / "text/train.txt", "--valid",
             folder / "text/valid.txt", "--dest", folder / "bin", "--workers", 1]  # fmt: skip
    assert binarize.main(list(map(str, words))) in (0, None)
    prompted.folder(folder / "prompts", folder / "vocab")
    return folder


@pytest.fixture(scope="session")
def mask_model(tmp_path_factory):
    """A run's folder with a random small RoBERTa."""
    return Path(fewshot.write_model(tmp_path_factory.mktemp("roberta") / "run"))


@pytest.fixture(scope="session")
def kshot(tmp_path_factory):
    folder = tmp_path_factory.mktemp("splits")
    fewshot.split(folder)
    return folder / "kshot"


@pytest.fixture(scope="session")
def toys(tmp_path_factory):
    """Folder with a suite of two small sets, suite.yaml, and their rows, tasks/."""
    folder = tmp_path_factory.mktemp("toys")
    (folder / "suite.yaml").write_text(SUITE)
    rows = [{"text": f"old {i} words", "label": i % 2} for i in range(30)]
    picks = [{"text": "one of", "options": ["a", "bb", str(i)], "label": i % 3, "subject": "art"}
             for i in range(17)]  # fmt: skip
    write_rows(folder / "tasks", "toy/kind", rows, "validation")
    write_rows(folder / "tasks", "toy/pick", picks, "validation")
    return folder
