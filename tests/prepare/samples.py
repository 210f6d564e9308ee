"""Real text that every Python carries, and small vocabularies trained on it."""

import functools
import re
import tempfile
from pathlib import Path
from pydoc_data.topics import topics

from fairseq_metro.prepare.train_vocabulary import train_vocabulary
from fairseq_metro.vocabulary.folder import Vocabulary


def documents():
    """About 600 KB of English in 80 documents, each a list of non-blank lines."""
    return [
        [line for line in re.split(r"\s*\n\s*", topics[name]) if line] for name in sorted(topics)
    ]


def text(first=0, last=None):
    """Some of the documents, separated by blank lines."""
    return "\n\n".join("\n".join(lines) for lines in documents()[first:last]) + "\n"


_kept = tempfile.TemporaryDirectory()


@functools.cache
def vocabulary(normalization="none", model_type="unigram", vocab_size=600):
    """A trained vocabulary of the sample text, made once per process."""
    source = Path(_kept.name) / "text"
    source.write_text(text(0, 40), "utf-8")
    folder = Path(_kept.name) / f"{normalization}-{model_type}-{vocab_size}"
    train_vocabulary([source], folder, vocab_size, normalization=normalization,
                     lowercase=normalization == "metro", model_type=model_type)  # fmt: skip
    return Vocabulary.load(folder)
