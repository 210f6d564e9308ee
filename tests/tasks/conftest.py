import random

import pytest

from fairseq_metro.prepare import binarize, train_vocabulary
from tests.stock import binarized

NOUNS = "river stone house child winter letter garden engine teacher island".split()
VERBS = "follows carries remembers builds watches leaves answers finds".split()
KINDS = "old small bright quiet distant heavy simple strange".split()


def story(rng, sentences):
    return "\n".join(
        f"the {rng.choice(KINDS)} {rng.choice(NOUNS)} {rng.choice(VERBS)} "
        f"the {rng.choice(KINDS)} {rng.choice(NOUNS)} number {rng.randrange(100)} ."
        for _ in range(sentences)
    )


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """Folder with train.txt and valid.txt: documents of made-up sentences."""
    folder, rng = tmp_path_factory.mktemp("corpus"), random.Random(5)
    for split, documents in (("train", 60), ("valid", 8)):
        text = "\n\n".join(story(rng, rng.randint(2, 12)) for _ in range(documents))
        (folder / f"{split}.txt").write_text(text + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def vocabulary(tmp_path_factory, corpus):
    folder = tmp_path_factory.mktemp("vocabulary") / "vocab"
    words = ["--input", str(corpus / "train.txt"), "--out", str(folder), "--vocab-size", "70"]
    assert train_vocabulary.main(words) in (0, None)
    return folder


@pytest.fixture(scope="session")
def data(tmp_path_factory, corpus, vocabulary):
    """A binarized data folder; tests that change it take a copy."""
    folder = tmp_path_factory.mktemp("data") / "bin"
    words = [
        "--vocab",
        vocabulary,
        "--train",
        corpus / "train.txt",
        "--valid",
        corpus / "valid.txt",
    ]
    words += ["--dest", folder, "--workers", "1"]
    assert binarize.main(list(map(str, words))) in (0, None)
    return folder


@pytest.fixture(scope="session")
def stock(tmp_path_factory, corpus, vocabulary):
    """The same text as plain fairseq-preprocess leaves it, its dictionary learned from the pieces."""
    texts = {split: corpus / f"{split}.txt" for split in ("train", "valid")}
    folder = tmp_path_factory.mktemp("stock") / "bin"
    return binarized(folder, vocabulary / "spm.model", texts)
