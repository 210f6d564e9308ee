"""Made-up documents whose sentences say where they are, and a vocabulary with the label words."""

import functools
import tempfile
from pathlib import Path

import numpy as np

from fairseq_metro.prepare.intermediate.main import main
from fairseq_metro.prepare.intermediate.store import (
    BOUNDS,
    DOCUMENTS,
    ENDS,
    FILES,
    PLACES,
    ROW,
    TEXT,
    Sentences,
)
from fairseq_metro.prepare.train_vocabulary import train_vocabulary
from tests.prepare import samples

WORDS = "No Maybe Yes terrible bad okay good great incorrect correct".split()
_kept = tempfile.TemporaryDirectory()


def sentence(document, place):
    """A sentence of 9 words that says where it is; every seventh has one word only."""
    if (document + place) % 7 == 0:
        return "No." if place % 2 else "Yes."
    number = f"d{document}s{place}"
    return f"The {number} sentence comes here? It is {number}, so good." if place % 5 == 4 else (
        f"Here the sentence {number} stands, it was very good."
    )  # fmt: skip


def documents(count=60):
    """Texts of 1 to 9 paragraphs, a blank line between documents."""
    found = []
    for document in range(count):
        length = 3 + document % 7
        found.append("\n".join(sentence(document, place) for place in range(length)))
    return found


def write_text(path, count=60):
    path.write_text("\n\n".join(documents(count)) + "\n", "utf-8")
    return path


@functools.cache
def vocabulary_folder(words=True):
    """A vocabulary folder of the documents and other text, with or without the label words."""
    folder = Path(_kept.name) / f"vocabulary-{words}"
    text = write_text(Path(_kept.name) / "text")
    required = Path(_kept.name) / "words"
    required.write_text("\n".join(WORDS) + "\n")
    extra = Path(_kept.name) / "extra"
    extra.write_text(samples.text(0, 10) + "Yes, Yes, Yes! Maybe? No!\n" * 50)
    train_vocabulary([text, extra], folder, 400, required_words=required if words else None)
    return folder


def run(folder, *options, text=None, group="sentence_pair", dest="data", workers=1):
    """Run the command; return the data folder."""
    text = text or write_text(folder / "text.txt")
    data = folder / dest
    main(["--group", str(group), "--input", str(text), "--vocab", str(vocabulary_folder()),
          "--dest", str(data), "--workers", str(workers), *options])  # fmt: skip
    return data


def store(folder, places):
    """A store of sentences whose documents have these places: list of lists of int."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        (folder / name).write_bytes(b"")
    texts = [f"d{d} s{p}".encode() for d, one in enumerate(places) for p in one]
    (folder / TEXT).write_bytes(b"".join(texts))
    np.cumsum(list(map(len, texts)), dtype=np.int64).tofile(folder / ENDS)
    np.array([p for one in places for p in one], np.int32).tofile(folder / PLACES)
    rows = [(10 * number, number) for number in range(len(places))]
    np.array(rows, ROW).tofile(folder / DOCUMENTS)
    np.cumsum(list(map(len, places)), dtype=np.int64).tofile(folder / BOUNDS)
    return Sentences(folder)
