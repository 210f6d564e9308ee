import pytest

from fairseq_metro.prepare.train_vocabulary import train_vocabulary
from fairseq_metro.smash.tasks import required_words
from tests.prepare import samples


@pytest.fixture(scope="session")
def vocabulary(tmp_path_factory):
    """A vocabulary of ours in which every label and prompt word is one piece."""
    folder = tmp_path_factory.mktemp("vocabulary")
    text, words = folder / "text.txt", folder / "words"
    text.write_text(samples.text(0, 30) + "Really? Yes: no, not so.\n" * 30, "utf-8")
    words.write_text("\n".join(required_words()) + "\n")
    return train_vocabulary([text], folder / "v", 700, required_words=words)
