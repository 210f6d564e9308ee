"""A small common interface of the tokenizers that prompts are built with.

``encode(text)``   ids without special tokens; ``literal(char)``: the id of one character without
                   a blank before it; ``pieces(ids)``: what the ids are called, for messages
``characters(texts)``  how many there are, and how many become ``<unk>``
``bos eos pad unk mask``  ids; ``sentinel(n)`` T5's n-th; ``cls``: the ids before a source
``kind``           "roberta" (a mask token) or "t5" (a sentinel where the mask is)
``hash``           hexadecimal string that two equal tokenizers share; ``len(tok)``: rows of ids
"""

import hashlib
import json
from itertools import chain
from pathlib import Path

import numpy as np

from fairseq_metro.common.errors import UserError
from fairseq_metro.vocabulary.byte_bpe import MERGES, ONE, VOCABULARY, ByteBPE
from fairseq_metro.vocabulary.characters import Characters, letters
from fairseq_metro.vocabulary.folder import (
    MODEL,
    SPECIALS,
    VOCAB_FOLDER,
    Vocabulary,
    is_vocabulary_folder,
)

KINDS = ROBERTA, T5 = "roberta", "t5"


class VocabularyTokenizer:
    """A vocabulary folder of ours (SentencePiece) as a tokenizer for prompts.

    kind: what the model takes at the place of the mask. Every text's first word gets a blank
    before it, as SentencePiece does; so characters that stand without one are literals.
    """

    def __init__(self, vocabulary, kind=ROBERTA):
        _check_kind(kind)
        self.vocabulary, self.kind = vocabulary, kind
        self.bos, self.pad, self.eos, self.unk = map(vocabulary.indices.get, SPECIALS)
        self.hash = vocabulary.hash
        sentinel = kind == T5
        self.mask = vocabulary.sentinel_indices[0] if sentinel else vocabulary.index("mask")
        self.cls = vocabulary.source_prefix if sentinel else [self.bos]

    def __len__(self):
        return len(self.vocabulary)

    def encode(self, text):
        """Ids of a text: list of int, no special tokens."""
        return self.vocabulary.encode(text)

    def encode_many(self, texts):
        """:meth:`encode` of each of a list of texts, in one call: list of lists of int."""
        flat, sizes = self.vocabulary.encode_flat(texts)
        flat, ids, place = flat.tolist(), [], 0
        for size in sizes.tolist():
            ids.append(flat[place : place + size])
            place += size
        return ids

    def characters(self, texts, ids=None):
        """The Characters of a list of texts. ids: what :meth:`encode_many` gave, where it is known."""
        ids = self.encode_many(texts) if ids is None else ids
        sizes = np.fromiter(map(len, ids), dtype=np.int32, count=len(ids))
        flat = np.fromiter(chain.from_iterable(ids), dtype=np.int64, count=int(sizes.sum()))
        return self.vocabulary.characters(texts, flat, sizes)

    def literal(self, character):
        """The id of a character without blank. Raises :class:`UserError` where it is no piece."""
        index = self.vocabulary.indices.get(self.vocabulary.normalizer(character))
        if index is None:
            raise UserError(
                f"{self.vocabulary.path}: no piece {character!r}; train the vocabulary on text "
                "that has this character"
            )
        return index

    def sentinel(self, number):
        """The id of T5's n-th sentinel, from 0. Raises :class:`UserError` where there are fewer."""
        sentinels = self.vocabulary.sentinel_indices
        if not 0 <= number < len(sentinels):
            raise UserError(f"{self.vocabulary.path}: {len(sentinels)} sentinels, no {number}")
        return sentinels[number]

    def pieces(self, ids):
        """Names of ids: list of str."""
        return [self.vocabulary.symbols[i] for i in ids]


class ByteLevelTokenizer:
    """RoBERTa's byte-level BPE with its five special symbols, by their names.

    Forks pad the table differently, so nothing but the names is taken for granted.
    """

    kind = ROBERTA

    def __init__(self, bpe, where):
        self.bpe, self.where = bpe, Path(where)
        self.bos, self.pad, self.eos, self.unk = map(self._special, SPECIALS)
        self.mask = self._special("<mask>")
        self.cls = [self.bos]
        content = json.dumps([sorted(bpe.vocabulary.items()), list(bpe._rank)])
        self.hash = hashlib.sha256(content.encode()).hexdigest()

    @classmethod
    def load(cls, folder):
        """Read a local Hugging Face folder. Raises :class:`UserError`."""
        return cls(ByteBPE.load(folder), folder)

    def _special(self, symbol):
        if symbol not in self.bpe.vocabulary:
            raise UserError(f"{self.where}: no symbol {symbol}; give a RoBERTa folder")
        return self.bpe.vocabulary[symbol]

    def __len__(self):
        return max(self.bpe.vocabulary.values()) + 1

    def encode(self, text):
        """Ids of a text: list of int, no special tokens; a blank at its start is significant."""
        return self.bpe.encode(text)

    def encode_many(self, texts):
        """:meth:`encode` of each of a list of texts: list of lists of int."""
        return [self.bpe.encode(text) for text in texts]

    def characters(self, texts, ids=None):
        """The Characters of a list of texts, all of which bytes can write."""
        return Characters(sum(map(letters, texts)))

    def literal(self, character):
        """The id of a character without blank. Raises :class:`UserError` where it is no piece."""
        ids = self.bpe.encode(character)
        if len(ids) != 1:
            raise UserError(f"{self.where}: {character!r} is no piece but {self.pieces(ids)}")
        return ids[0]

    def sentinel(self, number):
        """There are none. Raises :class:`UserError`."""
        raise UserError(f"{self.where}: RoBERTa has no sentinels (asked for number {number})")

    def pieces(self, ids):
        """Names of ids: list of str."""
        return [self.bpe.pieces.get(i, "?") for i in ids]


def load_tokenizer(folder, kind=ROBERTA):
    """The tokenizer of a folder: a vocabulary of ours, one that has ``vocab/``, or a RoBERTa's.

    kind: "roberta" or "t5", what the model takes; T5 only with a vocabulary of ours (a Hugging
    Face folder of T5 becomes one by ``fairseq-metro import-t5``). Raises :class:`UserError`.
    """
    _check_kind(kind)
    folder = Path(folder)
    for place in (folder, folder / VOCAB_FOLDER):
        if (place / MODEL).is_file() or is_vocabulary_folder(place):
            vocabulary = Vocabulary.load(place)
            vocabulary.require_tokenizer()
            return VocabularyTokenizer(vocabulary, kind)
    if not any((folder / name).is_file() for name in (ONE, VOCABULARY)):
        raise UserError(
            f"{folder}: no vocabulary of ours ({MODEL}), nor a RoBERTa tokenizer ({ONE}, or "
            f"{VOCABULARY} and {MERGES})"
        )
    if kind == T5:
        raise UserError(f"{folder}: a byte-level tokenizer is not T5's; run import-t5 first")
    return ByteLevelTokenizer.load(folder)


def _check_kind(kind):
    if kind not in KINDS:
        raise UserError(f"kind of tokenizer {kind!r}, must be one of {', '.join(KINDS)}")
