import random

import pytest

from fairseq_metro.prepare import binarize
from fairseq_metro.vocabulary.authors import import_vocabulary
from tests.interchange.vocabulary import WORDS, write_theirs

SENTINELS = 9


@pytest.fixture(scope="session")
def theirs(tmp_path_factory):
    """A vocabulary folder of the authors' kind: sp.model, dict.txt."""
    return write_theirs(tmp_path_factory.mktemp("authors") / "vocab")


@pytest.fixture(scope="session")
def vocabulary(tmp_path_factory, theirs):
    """The same as a vocabulary of ours, with 9 sentinels."""
    return import_vocabulary(theirs, tmp_path_factory.mktemp("ours") / "vocab", SENTINELS)


@pytest.fixture(scope="session")
def data(tmp_path_factory, vocabulary):
    """A data folder binarized with it."""
    folder, rng = tmp_path_factory.mktemp("data"), random.Random(3)
    for split, documents in (("train", 40), ("valid", 6)):
        text = "\n\n".join(
            "\n".join(" ".join(rng.choices(WORDS, k=7)) for _ in range(rng.randint(2, 8)))
            for _ in range(documents)
        )
        (folder / f"{split}.txt").write_text(text + "\n", "utf-8")
    words = ["--vocab", vocabulary.path, "--train", folder / "train.txt", "--valid"]
    words += [folder / "valid.txt", "--dest", folder / "bin", "--workers", "1"]
    assert binarize.main(list(map(str, words))) in (0, None)
    return folder / "bin"
