"""Byte-level BPE as GPT-2 and RoBERTa have it, read from a local Hugging Face folder.

A text is cut into words with the blank before them, each byte of a word becomes one printable
character, and pairs of pieces merge in the order of the list of merges (Radford et al. 2019).
"""

import json
from functools import cached_property, lru_cache
from itertools import pairwise
from pathlib import Path

import regex

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.files import read_json
from fairseq_metro.common.sources.decoding import mended

ONE, VOCABULARY, MERGES = "tokenizer.json", "vocab.json", "merges.txt"
# GPT-2's words: contractions, letters, digits, other signs, each with one blank before it; blanks.
_WORDS = regex.compile(
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
)


def byte_characters():
    """A printable character for each of the 256 bytes: the byte's own one where it has one.

    >>> characters = byte_characters()
    >>> characters[ord("a")], characters[ord(" ")], len(set(characters))
    ('a', 'Ġ', 256)
    """
    own = {*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = (byte for byte in range(256) if byte not in own)
    moved = {byte: chr(256 + n) for n, byte in enumerate(others)}
    return [moved.get(byte, chr(byte)) for byte in range(256)]


class ByteBPE:
    """Pieces and merges. vocabulary: dict of piece -> id; merges: list of (left, right)."""

    def __init__(self, vocabulary, merges):
        self.vocabulary = vocabulary
        self._rank = {pair: rank for rank, pair in enumerate(merges)}
        self._characters = byte_characters()
        # Texts repeat their words: a cache of this tokenizer's own, freed with it.
        self._ids = lru_cache(maxsize=1 << 16)(self._word_ids)

    def __reduce__(self):
        return ByteBPE, (self.vocabulary, list(self._rank))

    @classmethod
    def load(cls, folder):
        """Read ``tokenizer.json``, or ``vocab.json`` and ``merges.txt``. Raises UserError."""
        folder = Path(folder)
        if (folder / VOCABULARY).is_file() and (folder / MERGES).is_file():
            return cls(_vocabulary(folder / VOCABULARY), _merges(folder / MERGES))
        if (folder / ONE).is_file():
            return cls(*_from_one_file(folder / ONE))
        raise UserError(
            f"{folder}: neither {ONE} nor {VOCABULARY} and {MERGES} are there; give a local "
            "RoBERTa folder with its tokenizer"
        )

    def encode(self, text):
        """Ids of a text: list of int, no special tokens. A blank before a word belongs to it.

        A lone surrogate, which is no text, is read as U+FFFD. Raises :class:`UserError` for a byte
        the vocabulary has no piece for.
        """
        return [i for word in _WORDS.findall(mended(text)[0]) for i in self._ids(word)]

    def _word_ids(self, word):
        pieces = self._merged([self._characters[byte] for byte in word.encode("utf-8")])
        try:
            return tuple(self.vocabulary[piece] for piece in pieces)
        except KeyError as error:
            raise UserError(f"the byte-level vocabulary has no piece {error}; check it") from None

    def _merged(self, pieces):
        never = len(self._rank)
        while len(pieces) > 1:
            pairs = list(pairwise(pieces))
            first = min(pairs, key=lambda pair: self._rank.get(pair, never))
            if first not in self._rank:
                break
            pieces = _join(pieces, first)
        return pieces

    @cached_property
    def pieces(self):
        """Dict of id -> piece."""
        return {i: piece for piece, i in self.vocabulary.items()}

    def text(self, ids):
        """The text of ids; a special symbol stands for itself, bytes of no text become U+FFFD."""
        byte = {character: i for i, character in enumerate(self._characters)}
        out = bytearray()
        for piece in map(self.pieces.get, ids):
            known = piece is not None and all(character in byte for character in piece)
            out += bytes(byte[c] for c in piece) if known else str(piece).encode()
        return out.decode("utf-8", "replace")


def _join(pieces, pair):
    joined, place = [], 0
    while place < len(pieces):
        if tuple(pieces[place : place + 2]) == pair:
            joined.append(pieces[place] + pieces[place + 1])
            place += 2
        else:
            joined.append(pieces[place])
            place += 1
    return joined


def _vocabulary(path):
    vocabulary = read_json(path)
    if not isinstance(vocabulary, dict) or not all(isinstance(i, int) for i in vocabulary.values()):
        raise UserError(f"{path}: not a mapping of pieces to ids; fetch it again")
    return vocabulary


def _merges(path):
    """Pairs of ``merges.txt``; its first line may name the version."""
    lines = path.read_text("utf-8").split("\n")
    lines = lines[1:] if lines[0].startswith("#version") else lines
    return [_pair(path, line) for line in lines if line.strip()]


def _pair(path, merge):
    pair = tuple(merge.split(" ")) if isinstance(merge, str) else tuple(merge)
    if len(pair) != 2:
        raise UserError(f"{path}: the merge {json.dumps(merge)} is no pair; fetch the file again")
    return pair


def _from_one_file(path):
    content = read_json(path)
    model = content.get("model") if isinstance(content, dict) else None
    if not isinstance(model, dict) or model.get("type", "BPE") != "BPE" or "merges" not in model:
        raise UserError(f"{path}: holds no byte-level BPE; give a RoBERTa folder")
    added = {token["content"]: token["id"] for token in content.get("added_tokens", ())}
    return {**model["vocab"], **added}, [_pair(path, merge) for merge in model["merges"]]
