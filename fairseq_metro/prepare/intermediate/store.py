"""Sentences of all documents on disk: text end to end, and where each sentence comes from.

text.bin       UTF-8, sentences end to end
ends.bin       int64, where each sentence's text ends
places.bin     int32, each sentence's number in its document, counting those left out
documents.bin  one row a document that is kept: its number in the input, and the draw that may hold
               it out (:func:`draw_of`)
bounds.bin     int64, where the sentences of each kept document end
"""

import hashlib
from dataclasses import dataclass

import numpy as np

from fairseq_metro.common.sources import mended
from fairseq_metro.prepare.intermediate.growing import GrowingFiles
from fairseq_metro.prepare.intermediate.pace import Pace
from fairseq_metro.prepare.intermediate.reading import SENTENCE, jobs, paragraphs_of
from fairseq_metro.prepare.intermediate.splitting import sentences_of
from fairseq_metro.prepare.workers import Workers
from fairseq_metro.vocabulary.tokenizers import load_tokenizer

FILES = TEXT, ENDS, PLACES, DOCUMENTS, BOUNDS = (
    "text.bin", "ends.bin", "places.bin", "documents.bin", "bounds.bin",
)  # fmt: skip
ROW = np.dtype([("number", np.int64), ("draw", np.uint64)])
COUNTS = (
    "documents", "documents_left_out", "sentences", "sentences_left_out", "characters",
    "unknown_characters",
)  # fmt: skip


@dataclass(frozen=True)
class Rules:
    """How documents become sentences. tokenizer: what load_tokenizer takes; seed: of the draws."""

    tokenizer: tuple
    lines: str
    least_tokens: int
    least_sentences: int
    seed: int


@dataclass
class Found:
    """A job's part of the files; ends and bounds count from its own first."""

    text: bytes
    ends: np.ndarray
    places: np.ndarray
    rows: np.ndarray
    bounds: np.ndarray
    counts: dict


def draw_of(text, seed):
    """64 bits that depend on the seed and a document's text alone: equal documents stay together."""
    digest = hashlib.blake2b(text.encode(), digest_size=8, salt=seed.to_bytes(8, "little"))
    return int.from_bytes(digest.digest(), "little")


def kept_sentences(text, rules, tokenizer):
    """The (place, sentence) of a document that are long enough, and how many are not.

    places count all sentences, so that neighbours stay known when one between them is left out.
    """
    sentences = []
    for paragraph in paragraphs_of(text, rules.lines):
        if rules.lines == SENTENCE:
            sentences.append(" ".join(paragraph.split()))
        else:
            sentences += sentences_of(paragraph)
    kept = [
        (place, sentence)
        for place, sentence in enumerate(sentences)
        if _long_enough(sentence, rules.least_tokens, tokenizer)
    ]
    return kept, len(sentences) - len(kept)


def _long_enough(sentence, least, tokenizer):
    # Every word with a letter or digit is a token at least: most sentences need no tokenizer.
    words = sum(any(map(str.isalnum, word)) for word in sentence.split())
    return words >= least or len(tokenizer.encode(sentence)) >= least


def sentences_in(job, rules, tokenizer):
    """The :class:`Found` of one job (:func:`~.reading.jobs`); its counts of characters are those of a
    job of which no sentence is kept."""
    first, texts = job
    texts_kept, places, rows, bounds = [], [], [], []
    counts = dict.fromkeys(COUNTS, 0)
    for number, text in enumerate(texts, first):
        text = text.encode("utf-8", "replace").decode()  # JSON can spell half a surrogate pair
        kept, short = kept_sentences(text, rules, tokenizer)
        counts["sentences_left_out"] += short
        if len(kept) < rules.least_sentences:
            counts["documents_left_out"] += 1
            counts["sentences_left_out"] += len(kept)
            continue
        rows.append((number, draw_of(text, rules.seed)))
        counts["documents"] += 1
        counts["sentences"] += len(kept)
        places += [place for place, _ in kept]
        bounds.append(len(places))
        texts_kept += [sentence.encode() for _, sentence in kept]
    if not texts_kept:  # perhaps the vocabulary makes one <unk> of each sentence
        characters = tokenizer.characters([mended(" ".join(text.split()))[0] for text in texts])
        counts["characters"], counts["unknown_characters"] = characters.all, characters.unknown
    ends = np.cumsum([0, *map(len, texts_kept)], dtype=np.int64)[1:]
    return Found(
        b"".join(texts_kept), ends, np.array(places, np.int32), np.array(rows, ROW),
        np.array(bounds, np.int64), counts,
    )  # fmt: skip


_state: dict = {}


def _set_up(rules):
    _state["rules"], _state["tokenizer"] = rules, load_tokenizer(*rules.tokenizer)


def _work(job):
    return sentences_in(job, _state["rules"], _state["tokenizer"])


def collect(folder, sources, documents, reading, rules, workers, settings):
    """Read all documents into the files of ``folder``, or what is missing there; return the counts.

    ``settings``: what the files depend on. Raises :class:`UserError`.
    """
    growing = GrowingFiles(folder, FILES, settings)
    try:
        facts = growing.facts or dict.fromkeys((*COUNTS, "bytes"), 0)
        if growing.finished:
            return facts
        pace = Pace("reading", "sentences", before=facts["sentences"])
        # Work that is in the files already is read over: that takes a fraction of cutting it.
        of_sources = jobs(sources, documents, reading)
        todo = (job for n, job in enumerate(of_sources) if n >= growing.steps)
        with Workers(workers, _set_up, (rules,), _work) as pool:
            for result in pool.map(todo):
                growing.write(TEXT, result.text)
                growing.write(ENDS, result.ends + facts["bytes"])
                growing.write(PLACES, result.places)
                growing.write(DOCUMENTS, result.rows)
                growing.write(BOUNDS, result.bounds + facts["sentences"])
                facts["bytes"] += len(result.text)
                for name, count in result.counts.items():
                    facts[name] += count
                growing.step(facts)
                pace.show(facts["sentences"])
        growing.agree(finished=True)
        return facts
    except BaseException:
        growing.agree()
        raise
    finally:
        growing.close()


class Sentences:
    """The files of :func:`collect`, memory-mapped. Rows are sentences; documents rows of ROW."""

    def __init__(self, folder):
        self.folder = folder
        self._text = _mapped(folder / TEXT, np.uint8)
        self._ends = _mapped(folder / ENDS, np.int64)
        self.places = _mapped(folder / PLACES, np.int32)
        self.documents = _mapped(folder / DOCUMENTS, ROW)
        self._bounds = _mapped(folder / BOUNDS, np.int64)

    def __len__(self):
        return len(self.places)

    def text(self, row):
        """The text of a sentence."""
        begin = int(self._ends[row - 1]) if row else 0
        return self._text[begin : int(self._ends[row])].tobytes().decode()

    def document_of(self, rows):
        """Which kept document each of ``rows``, (k,), is in: (k,) int64."""
        return np.searchsorted(self._bounds, rows, side="right")

    def span_of(self, documents):
        """The first row of each of ``documents``, (k,), and the one after its last: (k,) int64."""
        begin = np.where(documents > 0, self._bounds[np.maximum(documents - 1, 0)], 0)
        return begin, np.asarray(self._bounds[documents])

    def next_is_adjacent(self, begin, end):
        """Whether the sentence after each row of begin .. end is next to it in its document.

        bool, (end - begin,).
        """
        places = np.asarray(self.places[begin : end + 1], dtype=np.int64)
        adjacent = np.zeros(end - begin, dtype=bool)
        adjacent[: len(places) - 1] = np.diff(places) == 1
        first, last = np.searchsorted(self._bounds, (begin + 1, end + 1))
        adjacent[self._bounds[first:last] - 1 - begin] = False  # the next row is another document's
        return adjacent


def _mapped(path, dtype):
    count = path.stat().st_size // np.dtype(dtype).itemsize
    return np.memmap(path, dtype, mode="r", shape=(count,)) if count else np.zeros(0, dtype)
