"""Write encoded chunks to the files of a split, and collect facts about them."""

import hashlib
import sys
from collections import Counter

import numpy as np

from fairseq_metro.data.indexed import IndexedWriter
from fairseq_metro.prepare.encoding import END
from fairseq_metro.vocabulary.characters import Characters
from fairseq_metro.vocabulary.folder import UNKNOWN

FIRST_ORDINARY = 4  # ids below are fairseq's specials


class TextDigest:
    """SHA-256 over a split's text as it is read, file ends included (no byte 0xFF is in UTF-8)."""

    def __init__(self, blank_ends_document):
        self._digest = hashlib.sha256(b"blank-line" if blank_ends_document else b"file")
        self.bytes = 0

    def add(self, chunk):
        if chunk.new_file:
            self._digest.update(b"\xff")
        self._digest.update(chunk.data)
        self.bytes += len(chunk.data)

    def through(self, chunks):
        """The same chunks, each added on its way."""
        for chunk in chunks:
            self.add(chunk)
            yield chunk

    def hexdigest(self):
        return self._digest.hexdigest()


class Assembler:
    """Puts encoded chunks together: one boundary between two documents, none at either end."""

    def __init__(self, prefix, vocabulary, route):
        vocabulary_size = len(vocabulary)
        self._boundary, self._vocabulary = False, vocabulary
        self._writer = IndexedWriter(prefix, vocabulary_size) if route == "direct" else None
        self._text = None
        if route == "pieces":
            self._text = open(f"{prefix}.pieces", "w", encoding="utf-8")  # noqa: SIM115
        self._counts = np.zeros(vocabulary_size, dtype=np.int64)
        self._facts = Counter()
        self._sha256 = ""

    def add(self, encoded):
        self._facts["dropped"] += encoded.dropped
        if len(encoded.sizes) == 0:
            self._boundary |= encoded.boundary_before
            return
        if (self._boundary or encoded.boundary_before) and self._facts["lines"]:
            self._write([END], [1], "\n")
        self._write(encoded.tokens, encoded.sizes, encoded.text)
        self._boundary = encoded.boundary_after
        self._facts["unknown_characters"] += encoded.unknown_characters
        self._counts += np.bincount(encoded.tokens, minlength=len(self._counts))

    def _write(self, tokens, sizes, text):
        sizes = np.asarray(sizes)
        self._facts["lines"] += len(sizes)
        self._facts["documents"] += int((sizes == 1).sum())
        self._facts["tokens"] += len(tokens)
        if self._writer is not None:
            self._writer.write(tokens, sizes)
        else:
            self._text.write(text)

    def close(self):
        """Finish the files. What was left unfinished by an error, the caller removes."""
        if self._text is not None:
            self._text.close()
        elif sys.exc_info()[0] is not None:
            self._writer.abandon()
        else:
            self._sha256 = self._writer.close()

    def characters(self):
        """The Characters of the text so far, and those that the vocabulary could not write."""
        unknown = self._facts["unknown_characters"]
        return Characters(self._vocabulary.counter.written(self._counts) + unknown, unknown)

    def facts(self):
        """Counts of what was written; ``lines`` and ``tokens`` include boundaries and ``</s>``."""
        ordinary = self._counts[FIRST_ORDINARY:]
        return {
            "lines": self._facts["lines"],
            "documents": self._facts["documents"] + (self._facts["lines"] > 0),
            "tokens": self._facts["tokens"],
            "unknown": int(self._counts[UNKNOWN]),
            "unknown_characters": self._facts["unknown_characters"],
            "characters": self.characters().all,
            "dropped": self._facts["dropped"],
            "sha256": self._sha256,
            "commonest_token": FIRST_ORDINARY + int(ordinary.argmax()),
        }
