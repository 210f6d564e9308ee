"""A vocabulary folder: how text becomes ids, for every command and in every run's folder.

``spm.model``      the SentencePiece model
``dict.txt``       fairseq's dictionary: the pieces and the symbols that have roles
``tokenizer.json`` what happens before SentencePiece, and which symbol plays which role

Code asks for a role's symbol (``vocabulary.index("mask")``) and never names one, so that the
authors' vocabularies, in which one symbol has three roles, need nothing but another JSON file.
"""

import hashlib
import re
import shutil
from functools import cached_property
from itertools import chain
from pathlib import Path

import numpy as np

from fairseq_metro.data.normalization import NORMALIZATIONS, Normalizer
from fairseq_metro.errors import UserError
from fairseq_metro.files import filled_folder, read_json, sha256_file
from fairseq_metro.sources.decoding import mended

VOCAB_FOLDER = "vocab"
MODEL, DICTIONARY, TOKENIZER = FILES = ("spm.model", "dict.txt", "tokenizer.json")
VERSION = 1
SPECIALS = ("<s>", "<pad>", "</s>", "<unk>")  # fairseq's own first four, not in dict.txt
UNKNOWN = 3
ROLES = ("mask", "pretraining_decoder_start", "decoder_start", "end_of_target")
MAKE = "make one with preprocess/train_vocabulary.py"


class Vocabulary:
    """A loaded vocabulary folder. ``path``, ``hash`` (over the three files), ``roles``."""

    def __init__(self, path, settings, symbols):
        self.path, self.settings, self.symbols = Path(path), settings, symbols
        self.roles = settings["roles"]
        self.indices = {symbol: i for i, symbol in enumerate(symbols)}
        self.normalizer = Normalizer(settings["normalization"], settings["lowercase"])
        self.hash = vocabulary_hash(path)
        self._dictionary = None

    @classmethod
    def load(cls, folder):
        """Read and check a vocabulary folder.

        Raises :class:`UserError` where a file is missing or does not fit the other two.
        """
        folder = Path(folder)
        for name in FILES:
            if not (folder / name).is_file():
                raise UserError(f"{folder / name}: no such file in the vocabulary folder; {MAKE}")
        settings = read_settings(folder / TOKENIZER)
        vocabulary = cls(folder, settings, read_symbols(folder / DICTIONARY))
        for role in (*ROLES, "sentinels"):
            held = vocabulary.roles[role]
            for symbol in held if isinstance(held, list) else [held]:
                if symbol not in vocabulary.indices:
                    raise UserError(
                        f"{folder / TOKENIZER}: the symbol {symbol!r} of role {role!r} is not in "
                        f"{DICTIONARY}; the files do not belong together, {MAKE}"
                    )
        vocabulary._piece_indices  # noqa: B018  checks the model against the dictionary
        return vocabulary

    def __reduce__(self):
        return Vocabulary.load, (self.path,)

    def __len__(self):
        return len(self.symbols)

    def dictionary(self):
        """The ``fairseq.data.Dictionary`` of ``dict.txt`` (read once)."""
        if self._dictionary is None:
            from fairseq.data import Dictionary

            self._dictionary = Dictionary.load(str(self.path / DICTIONARY))
        return self._dictionary

    @property
    def dictionary_hash(self):
        """SHA-256 of ``dict.txt``."""
        return sha256_file(self.path / DICTIONARY)

    def index(self, role):
        """The id of the symbol that plays ``role`` ("mask", "decoder_start", …)."""
        return self.indices[self.roles[role]]

    @property
    def sentinel_indices(self):
        """The ids of the sentinels, in their order."""
        return [self.indices[symbol] for symbol in self.roles["sentinels"]]

    @property
    def source_prefix(self):
        """The ids before a source's tokens in fine-tuning and inference: ``<s>``, or none.

        None where ``tokenizer.json`` has ``"source_bos": false``, as T5's own vocabulary does.
        """
        return [self.indices[SPECIALS[0]]] if self.settings.get("source_bos", True) else []

    @cached_property
    def processor(self):
        """The ``SentencePieceProcessor`` of ``spm.model``."""
        from sentencepiece import SentencePieceProcessor

        path = self.path / MODEL
        try:
            return SentencePieceProcessor(model_file=str(path))
        except (OSError, RuntimeError):
            raise UserError(f"{path}: not a SentencePiece model; {MAKE}") from None

    @cached_property
    def _piece_indices(self):
        """(pieces,) int64: each piece's dictionary id; pieces never met in text are unknown."""
        processor = self.processor
        found = np.full(len(processor), UNKNOWN, dtype=np.int64)
        for piece in range(len(processor)):
            if processor.is_control(piece) or processor.is_unknown(piece):
                continue
            symbol = processor.id_to_piece(piece)
            if symbol not in self.indices:
                raise UserError(
                    f"{self.path / DICTIONARY}: piece {symbol!r} of {MODEL} is missing; the files "
                    f"do not belong together, {MAKE}"
                )
            found[piece] = self.indices[symbol]
        return found

    def encode(self, text):
        """Ids of one line: normalised, cut into pieces; no ``<s>``, no ``</s>``."""
        return self.encode_flat([text])[0].tolist()

    def encode_flat(self, texts):
        """Ids of a list of n texts end to end, (sum(sizes),) int64, and their sizes, (n,) int32."""
        pieces = self._pieces(list(map(self.normalizer, texts)))
        sizes = np.fromiter(map(len, pieces), dtype=np.int32, count=len(pieces))
        flat = np.fromiter(chain.from_iterable(pieces), dtype=np.int64, count=int(sizes.sum()))
        return self._piece_indices[flat], sizes

    def _pieces(self, texts):
        """SentencePiece's numbers of the pieces of normalised texts: list of lists of int.

        Lone surrogates, which are no text, are read as U+FFFD.
        """
        try:
            return self.processor.encode(texts, out_type=int, num_threads=1)
        except TypeError:
            whole = [mended(text)[0] for text in texts]
            if whole == texts:
                raise
            return self.processor.encode(whole, out_type=int, num_threads=1)

    def encode_pieces(self, text):
        """The same as dictionary symbols joined by spaces, unknown ones as ``<unk>``."""
        return " ".join(map(self.symbols.__getitem__, self.encode(text)))

    def decode(self, x):
        """Text of ids, or of symbols joined by spaces; without ``<s>``, ``<pad>``, ``</s>``."""
        symbols = x.split() if isinstance(x, str) else [self.symbols[int(i)] for i in x]
        return self.processor.decode_pieces([s for s in symbols if s not in SPECIALS[:UNKNOWN]])

    def refuse_another_in(self, folder):
        """Raise :class:`UserError` where ``folder`` holds another complete vocabulary."""
        folder = Path(folder)
        if (
            all((folder / name).is_file() for name in FILES)
            and vocabulary_hash(folder) != self.hash
        ):
            raise UserError(
                f"{folder}: holds another vocabulary than {self.path}; give another folder or "
                "remove this one"
            )

    def copy_to(self, folder):
        """Copy the three files to ``folder``: all or nothing; nothing if they are there already.

        Raises :class:`UserError` where another complete vocabulary is there.
        """
        folder = Path(folder)
        self.refuse_another_in(folder)
        if all((folder / name).is_file() for name in FILES):
            return
        with filled_folder(folder, over=True) as new:  # part of a copy, by something less careful
            for name in FILES:
                shutil.copyfile(self.path / name, new / name)


def vocabulary_hash(folder):
    """SHA-256 over the names and contents of the three files, as a hexadecimal string."""
    digest = hashlib.sha256()
    for name in FILES:
        digest.update(f"{name} {sha256_file(Path(folder) / name)}\n".encode())
    return digest.hexdigest()


def read_settings(path):
    """The contents of ``tokenizer.json``, checked. Raises :class:`UserError`."""
    settings = read_json(path)
    if not isinstance(settings, dict) or settings.get("version") != VERSION:
        raise UserError(f"{path}: not a tokenizer.json of version {VERSION}; {MAKE}")
    if settings.get("normalization") not in NORMALIZATIONS:
        raise UserError(
            f"{path}: normalization is {settings.get('normalization')!r}, must be one of "
            f"{', '.join(NORMALIZATIONS)}"
        )
    if not isinstance(lowercase := settings.get("lowercase"), bool):
        raise UserError(f"{path}: lowercase is {lowercase!r}, must be true or false")
    if not isinstance(source_bos := settings.get("source_bos", True), bool):
        raise UserError(f"{path}: source_bos is {source_bos!r}, must be true or false")
    roles = settings.get("roles")
    if not isinstance(roles, dict):
        raise UserError(f"{path}: no roles; {MAKE}")
    for role in ROLES:
        if not isinstance(roles.get(role), str):
            raise UserError(f"{path}: role {role!r} is {roles.get(role)!r}, must be a symbol")
    sentinels = roles.get("sentinels")
    if not isinstance(sentinels, list) or not all(isinstance(s, str) for s in sentinels):
        raise UserError(f"{path}: role 'sentinels' is {sentinels!r}, must be a list of symbols")
    return settings


def read_symbols(path):
    """All symbols of a ``dict.txt``, fairseq's four specials first. Raises :class:`UserError`."""
    symbols = list(SPECIALS)
    seen = set(symbols)
    try:
        # As fairseq writes it, to the byte: copies of this file are compared with its own.
        with open(path, encoding="utf-8", newline="\n") as stream:
            for number, line in enumerate(stream, 1):
                symbol, _, count = line.removesuffix("\n").rpartition(" ")
                if not symbol or not re.fullmatch(r"0|[1-9][0-9]*", count) or line[-1] != "\n":
                    raise UserError(f"{path}: line {number} is {line!r}, must be: SYMBOL COUNT")
                if symbol in seen:
                    raise UserError(f"{path}: line {number}: {symbol!r} is there already")
                if symbol.split() != [symbol]:
                    raise UserError(f"{path}: line {number}: {symbol!r} holds whitespace")
                seen.add(symbol)
                symbols.append(symbol)
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 ({error.reason} at byte {error.start})") from None
    return symbols
