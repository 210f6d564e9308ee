"""A byte-level tokenizer of RoBERTa's as a run's vocabulary folder.

``vocab.json`` and ``merges.txt``, or ``tokenizer.json``, as Hugging Face has them, and ``dict.txt``
in the order of ids, each symbol a piece's own name. Where ours holds ``spm.model``, this does not.
"""

import re
import shutil
from itertools import chain
from pathlib import Path

import numpy as np

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.files import filled_folder, read_json, write_json
from fairseq_metro.vocabulary.byte_bpe import MERGES, ONE, VOCABULARY
from fairseq_metro.vocabulary.folder import (
    DICTIONARY,
    MODEL,
    SPECIALS,
    Vocabulary,
    has_roles,
    is_vocabulary_folder,
)
from fairseq_metro.vocabulary.tokenizers import ByteLevelTokenizer

FILES = (ONE, VOCABULARY, MERGES)
GPT2_PIECES, GPT2_MERGES = "encoder.json", "vocab.bpe"  # fairseq's names


class RobertaVocabulary:
    """What tasks ask of a vocabulary, of a byte-level tokenizer; ``hash`` is the tokenizer's.

    roles: the mask is ``<mask>``; RoBERTa has no decoder, so what starts one is ``</s>``. There are
    no sentinels.
    """

    def __init__(self, tokenizer):
        self.tokenizer, self.path, self.hash = tokenizer, tokenizer.where, tokenizer.hash
        names = tokenizer.bpe.pieces
        self.symbols = [names.get(i, f"madeupword{i:05d}") for i in range(len(tokenizer))]
        if tuple(self.symbols[: len(SPECIALS)]) != SPECIALS:
            raise UserError(
                f"{self.path}: ids 0 to 3 are {', '.join(self.symbols[:4])}, must be "
                f"{', '.join(SPECIALS)}; give a RoBERTa folder"
            )
        if odd := [s for s in self.symbols if s.split() != [s]]:
            raise UserError(f"{self.path}: piece {odd[0]!r} holds whitespace, so it is not "
                            "byte-level; give a RoBERTa folder")  # fmt: skip
        self.indices = {symbol: i for i, symbol in enumerate(self.symbols)}
        self.roles = dict.fromkeys(
            ("pretraining_decoder_start", "decoder_start", "end_of_target"), SPECIALS[2]
        ) | {"mask": "<mask>", "sentinels": []}
        self.sentinel_indices, self.source_prefix = [], [0]
        self._dictionary = None

    @classmethod
    def load(cls, folder):
        """Read a folder with RoBERTa's tokenizer. Raises :class:`UserError`."""
        return cls(ByteLevelTokenizer.load(folder))

    def __reduce__(self):
        return RobertaVocabulary.load, (self.path,)

    has_tokenizer = True

    def __len__(self):
        return len(self.symbols)

    def _lines(self):
        return "".join(f"{symbol} 0\n" for symbol in self.symbols[len(SPECIALS) :])

    def dictionary(self):
        """The ``fairseq.data.Dictionary`` with the tokenizer's ids (made once)."""
        if self._dictionary is None:
            from fairseq.data import Dictionary

            self._dictionary = Dictionary()
            for symbol in self.symbols[len(SPECIALS) :]:
                self._dictionary.add_symbol(symbol, n=0)
        return self._dictionary

    def index(self, role):
        """The id of the symbol that plays ``role``."""
        return self.indices[self.roles[role]]

    def encode(self, text):
        """Ids of a text, no special tokens; a blank at its start is significant."""
        return self.tokenizer.encode(text)

    def encode_flat(self, texts):
        """Ids of n texts end to end, (sum(sizes),) int64, and their sizes, (n,) int32."""
        pieces = self.tokenizer.encode_many(texts)
        sizes = np.fromiter(map(len, pieces), dtype=np.int32, count=len(pieces))
        flat = np.fromiter(chain.from_iterable(pieces), dtype=np.int64, count=int(sizes.sum()))
        return flat, sizes

    def encode_pieces(self, text):
        """The same as dictionary symbols joined by spaces."""
        return " ".join(map(self.symbols.__getitem__, self.encode(text)))

    def decode(self, x):
        """Text of ids, or of symbols joined by spaces; without ``<s>``, ``<pad>``, ``</s>``."""
        ids = [self.indices.get(s, 3) for s in x.split()] if isinstance(x, str) else map(int, x)
        return self.tokenizer.bpe.text([i for i in ids if i > 2])

    def refuse_another_in(self, folder):
        """Raise :class:`UserError` where ``folder`` holds another vocabulary."""
        folder = Path(folder)
        if is_vocabulary_folder(folder) or (
            is_byte_level(folder) and ByteLevelTokenizer.load(folder).hash != self.hash
        ):
            raise UserError(
                f"{folder}: holds another vocabulary than {self.path}; give another folder or "
                "remove this one"
            )

    def copy_to(self, folder):
        """Copy tokenizer and dictionary to ``folder``, all or nothing; nothing if they are there.

        Raises :class:`UserError` where another vocabulary is there.
        """
        folder = Path(folder)
        self.refuse_another_in(folder)
        if is_byte_level(folder) and (folder / DICTIONARY).is_file():
            return
        with filled_folder(folder, over=True) as new:  # part of a copy, by something less careful
            self.write_into(new)

    def write_into(self, folder):
        """Copy the files into an existing folder."""
        for path in (self.path / name for name in FILES):
            if path.is_file():
                shutil.copyfile(path, folder / path.name)
        (folder / DICTIONARY).write_text(self._lines(), "utf-8", newline="\n")


def is_byte_level(folder):
    """Whether ``folder`` holds a byte-level tokenizer and no vocabulary of ours."""
    folder = Path(folder)
    held = (folder / ONE).is_file() or all((folder / name).is_file() for name in FILES[1:])
    return held and not (folder / MODEL).is_file() and not has_roles(folder)


def has_tokenizer(folder):
    """Whether :func:`open_vocabulary` finds something in ``folder``, by its files' names."""
    folder = Path(folder)
    return is_byte_level(folder) or (folder / MODEL).is_file() or is_vocabulary_folder(folder)


def open_vocabulary(folder):
    """The vocabulary in a folder: SentencePiece's :class:`Vocabulary` or a byte-level one."""
    return RobertaVocabulary.load(folder) if is_byte_level(folder) else Vocabulary.load(folder)


def write_from_gpt2(folder, symbols, out):
    """``vocab.json`` and ``merges.txt`` in ``out`` of fairseq's own files.

    folder: holds GPT-2's ``encoder.json`` and ``vocab.bpe``; symbols: of a fairseq dictionary of
    RoBERTa's, all of them, GPT-2's ids in the order of fairseq's. Raises :class:`UserError`.
    """
    folder, out = Path(folder), Path(out)
    pieces = read_json(folder / GPT2_PIECES)
    if not isinstance(pieces, dict) or not (folder / GPT2_MERGES).is_file():
        raise UserError(f"{folder}: needs GPT-2's {GPT2_PIECES} and {GPT2_MERGES}")
    names = {str(i): piece for piece, i in pieces.items()}
    vocabulary = {}
    for i, symbol in enumerate(symbols):
        name = names.get(symbol) if re.fullmatch(r"\d+", symbol) else symbol
        if name is None or name in vocabulary:
            raise UserError(
                f"{folder / GPT2_PIECES}: no piece, or a piece twice, for {symbol!r} (id {i}) of "
                f"the checkpoint's {DICTIONARY}; the files do not belong together"
            )
        vocabulary[name] = i
    write_json(out / VOCABULARY, vocabulary)
    shutil.copyfile(folder / GPT2_MERGES, out / MERGES)
