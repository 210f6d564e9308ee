"""The docstrings that rows are made of: where each stands, its sentences, its side of the split.

A file of the default corpus is on one side: no docstring of a file that is trained on is evaluated,
and an evaluation docstring that shares a sentence with a training one is left out.
"""

import multiprocessing
import re
import sysconfig
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from fairseq_metro.prepare import default_corpus, docstrings

TRAIN, VALIDATION = "train", "validation"
VALIDATION_SHARE = 0.2  # of the files
STANDARD_LIBRARY = "python"
FEWEST_WORDS, MOST_WORDS = 5, 20  # of a sentence
# Where a sentence ends, but for two abbreviations in the middle of one.
_END = re.compile(r"(?<!\be\.g\.)(?<!\bi\.e\.)(?<=[.!?]) +(?=[\"'(]?[A-Z])")


@dataclass(frozen=True)
class Docstring:
    """place: its file, as ``torch/nn/functional.py``; sentences: str each, in their order."""

    place: str
    sentences: tuple[str, ...]

    @property
    def package(self):
        """torch, numpy, ...; ``python`` for the standard library."""
        return self.place.split("/")[0]

    @property
    def split(self):
        """train or validation, by the file's name alone."""
        return VALIDATION if default_corpus.draw(self.place) < VALIDATION_SHARE else TRAIN


def sentences(lines):
    """The sentences of 5 to 20 words in paragraphs of prose, none twice: tuple of str.

    >>> sentences(["Add one item to the list. It is kept, e.g. in memory, for later. See it."])
    ('Add one item to the list.', 'It is kept, e.g. in memory, for later.')
    """
    parts = [sentence for line in lines for sentence in _END.split(line)]
    fit = (s for s in parts if FEWEST_WORDS <= len(s.split()) <= MOST_WORDS)
    return tuple(dict.fromkeys(filter(docstrings.reads_as_english, fit)))


def normalised(sentence):
    """A sentence's words alone, in lower case: equal where two say the same."""
    return " ".join(re.findall(r"\w+", sentence.lower()))


def docstrings_of(source, place):
    """The :class:`Docstring` of each docstring in a Python file's source that has sentences."""
    texts = map(sentences, docstrings.documents(source, apart=True))
    return [Docstring(place, text) for text in texts if text]


def collect(workers):
    """All docstrings of the default corpus, by split: dict of lists, in a fixed order."""
    root = Path(sysconfig.get_path("stdlib"))
    packages = tuple(default_corpus.PACKAGES)
    pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))
    with pool:
        files = default_corpus.source_files()
        read = pool.map(partial(_read, root, packages), files, chunksize=32)
        return apart([docstring for docstrings in read for docstring in docstrings])


def apart(docstrings):
    """Docstrings by split, each text once; evaluation has no sentence that training has."""
    splits, seen = {TRAIN: [], VALIDATION: []}, set()
    for docstring in docstrings:
        text = tuple(map(normalised, docstring.sentences))
        if text not in seen:
            seen.add(text)
            splits[docstring.split].append(docstring)
    trained = {normalised(s) for docstring in splits[TRAIN] for s in docstring.sentences}
    splits[VALIDATION] = [
        docstring
        for docstring in splits[VALIDATION]
        if not trained & set(map(normalised, docstring.sentences))
    ]
    return splits


def place_of(path, root, packages):
    """A file's name from its package on, the same on every machine.

    >>> place_of(Path("/lib/python3/site-packages/torch/nn/a.py"), Path("/lib/python3"), ["torch"])
    'torch/nn/a.py'
    >>> place_of(Path("/lib/python3/email/mime.py"), Path("/lib/python3"), ["torch"])
    'python/email/mime.py'
    """
    parts = path.parts
    for index in range(len(parts) - 2, -1, -1):
        if parts[index] in ("site-packages", "dist-packages") and parts[index + 1] in packages:
            return "/".join(parts[index + 1 :])
    if path.is_relative_to(root):
        return f"{STANDARD_LIBRARY}/{path.relative_to(root).as_posix()}"
    index = next(i for i in range(len(parts) - 1, -1, -1) if parts[i] in packages)
    return "/".join(parts[index:])  # a package installed elsewhere, as from a clone


def _read(root, packages, path):
    try:
        source = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return []
    if '"""' not in source and "'''" not in source:
        return []
    return docstrings_of(source, place_of(path, root, packages))
