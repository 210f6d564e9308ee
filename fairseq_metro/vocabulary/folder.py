"""Vocabulary folders, which define how text becomes ids in all commands and run directories.

``spm.model``      the SentencePiece model
``dict.txt``       fairseq's dictionary: the pieces and the symbols that have roles
``tokenizer.json`` what happens before SentencePiece, and which symbol plays which role

Code asks for a role's symbol (``vocabulary.index("mask")``) and never names one, so that the
authors' vocabularies, in which one symbol has three roles, need nothing but another JSON file.

Where ``tokenizer.json`` has ``"tokenizer": "optional"``, as for a dictionary of fairseq-preprocess
(:mod:`fairseq_metro.data.stock`), the dictionary alone defines the ids: ``spm.model`` may be missing,
then nothing that needs text works, and it may be added later without another hash.
"""

import hashlib
import io
import json
import re
from functools import cached_property
from itertools import chain
from pathlib import Path

import numpy as np

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.files import atomic_write, filled_folder
from fairseq_metro.common.sources.decoding import mended
from fairseq_metro.vocabulary.characters import CharacterCounter
from fairseq_metro.vocabulary.normalization import NORMALIZATIONS, Normalizer

VOCAB_FOLDER = "vocab"
MODEL, DICTIONARY, TOKENIZER = FILES = ("spm.model", "dict.txt", "tokenizer.json")
VERSION = 1
SPECIALS = ("<s>", "<pad>", "</s>", "<unk>")  # fairseq's own first four, not in dict.txt
UNKNOWN = 3
ROLES = ("mask", "pretraining_decoder_start", "decoder_start", "end_of_target")
MAKE = "make one with fairseq-metro vocabulary"


class Vocabulary:
    """A loaded vocabulary: ``path``, ``hash`` (what its ids mean), ``symbols``, ``roles``.

    path: where it comes from, for messages. contents: the bytes of each of ``FILES`` by name;
    ``spm.model`` may be left out where the tokenizer is optional. Raises :class:`UserError` where
    the files do not fit one another.
    """

    def __init__(self, path, contents):
        self.path, self.contents = Path(path), contents
        self.settings = parse_settings(contents[TOKENIZER], self.path / TOKENIZER)
        self.symbols = parse_symbols(contents[DICTIONARY], self.path / DICTIONARY)
        self.roles = self.settings["roles"]
        self.indices = {symbol: i for i, symbol in enumerate(self.symbols)}
        self.normalizer = Normalizer(self.settings["normalization"], self.settings["lowercase"])
        self.hash = hash_of(contents)
        self._dictionary = None
        for symbol, role in self.symbols_with_roles().items():
            if symbol not in self.indices:
                raise UserError(
                    f"{self.path / TOKENIZER}: the symbol {symbol!r} of role {role!r} is not in "
                    f"{DICTIONARY}; the files do not belong together, {MAKE}"
                )
        if self.has_tokenizer:
            self._piece_indices  # noqa: B018  checks the model against the dictionary

    @classmethod
    def load(cls, folder):
        """Read and check a vocabulary folder.

        Raises :class:`UserError` where a file is missing or does not fit the other two.
        """
        folder = Path(folder)
        contents = read_files(folder)
        optional = TOKENIZER in contents and is_optional(contents)
        for name in FILES:
            if name not in contents and not (name == MODEL and optional):
                raise UserError(f"{folder / name}: no such file in the vocabulary folder; {MAKE}")
        return cls(folder, contents)

    def __reduce__(self):
        return Vocabulary, (self.path, self.contents)

    def symbols_with_roles(self):
        """Each symbol that has a role -> the (last) role it has."""
        held = {self.roles[role]: role for role in ROLES}
        return held | dict.fromkeys(self.roles["sentinels"], "sentinels")

    @property
    def tokenizer_is_optional(self):
        """Whether the dictionary alone defines the ids (see the module's docstring)."""
        return is_optional(self.contents)

    @property
    def has_tokenizer(self):
        """Whether text can be turned into ids, and ids into text."""
        return MODEL in self.contents

    def __len__(self):
        return len(self.symbols)

    def dictionary(self):
        """The ``fairseq.data.Dictionary`` of ``dict.txt`` (read once)."""
        if self._dictionary is None:
            from fairseq.data import Dictionary

            self._dictionary = Dictionary.load(io.StringIO(self.contents[DICTIONARY].decode()))
        return self._dictionary

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
        """The ``SentencePieceProcessor`` of ``spm.model``. Raises :class:`UserError`."""
        from sentencepiece import SentencePieceProcessor

        self.require_tokenizer()
        try:
            if not self.contents[MODEL]:  # of which SentencePiece makes a processor without pieces
                raise RuntimeError
            return SentencePieceProcessor(model_proto=self.contents[MODEL])
        except (OSError, RuntimeError):
            raise UserError(f"{self.path / MODEL}: not a SentencePiece model; {MAKE}") from None

    def require_tokenizer(self):
        """Raise :class:`UserError` where there is none: what is to be done needs text."""
        if self.has_tokenizer:
            return
        remedy = "give the model that made its pieces: --sentencepiece-model FILE or --vocab DIR"
        if (self.path / TOKENIZER).is_file():
            remedy = f"copy the SentencePiece model that made its pieces to {self.path / MODEL}"
        raise UserError(
            f"{self.path}: has no tokenizer, so text cannot be turned into its tokens; {remedy}"
        )

    @cached_property
    def _piece_indices(self):
        """(pieces,) int64: each piece's dictionary id; pieces never met in text are unknown.

        Where the tokenizer is optional, so are pieces that the dictionary lacks.
        """
        processor, optional = self.processor, self.tokenizer_is_optional
        indices = np.full(len(processor), UNKNOWN, dtype=np.int64)
        for piece in range(len(processor)):
            if processor.is_control(piece) or processor.is_unknown(piece):
                continue
            symbol = processor.id_to_piece(piece)
            if symbol not in self.indices and not optional:
                raise UserError(
                    f"{self.path / DICTIONARY}: piece {symbol!r} of {MODEL} is missing; the files "
                    f"do not belong together, {MAKE}"
                )
            indices[piece] = self.indices.get(symbol, UNKNOWN)
        return indices

    def encode(self, text):
        """Ids of one line: normalised, cut into pieces; no ``<s>``, no ``</s>``."""
        return self.encode_flat([text])[0].tolist()

    def encode_flat(self, texts):
        """Ids of a list of n texts end to end, (sum(sizes),) int64, and their sizes, (n,) int32."""
        return self._flat(self._pieces(list(map(self.normalizer, texts))))

    def _flat(self, pieces):
        sizes = np.fromiter(map(len, pieces), dtype=np.int32, count=len(pieces))
        flat = np.fromiter(chain.from_iterable(pieces), dtype=np.int64, count=int(sizes.sum()))
        return self._piece_indices[flat], sizes

    def encode_counted(self, texts):
        """:meth:`encode_flat`, and how many characters became unknown: int."""
        texts = list(map(self.normalizer, texts))
        tokens, sizes = self._flat(self._pieces(texts))
        return tokens, sizes, self.counter.unknown(texts, tokens, sizes)

    def characters(self, texts, tokens, sizes):
        """The :class:`~.characters.Characters` of texts that :meth:`encode_flat` encoded."""
        return self.counter(_Normalized(self.normalizer, texts), tokens, sizes)

    @cached_property
    def counter(self):
        """The :class:`~.characters.CharacterCounter` of the vocabulary."""
        return CharacterCounter(self.processor, self._piece_indices, len(self), UNKNOWN)

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
        if not is_vocabulary_folder(folder):
            return
        contents = read_files(folder)
        models = {held[MODEL] for held in (contents, self.contents) if MODEL in held}
        if hash_of(contents) != self.hash or len(models) > 1:
            raise UserError(
                f"{folder}: holds another vocabulary than {self.path}; give another folder or "
                "remove this one"
            )

    def copy_to(self, folder):
        """Write the files to ``folder``: all or nothing; nothing if they are there already.

        Raises :class:`UserError` where another complete vocabulary is there.
        """
        folder = Path(folder)
        self.refuse_another_in(folder)
        if not is_vocabulary_folder(folder):
            with filled_folder(folder, over=True) as new:  # part of a copy, by something careless
                for name, content in self.contents.items():
                    (new / name).write_bytes(content)
        elif self.has_tokenizer and not (folder / MODEL).is_file():
            with atomic_write(folder / MODEL, "wb") as stream:
                stream.write(self.contents[MODEL])


class _Normalized:
    """Texts normalised when they are asked for: few are."""

    def __init__(self, normalizer, texts):
        self._normalizer, self._texts = normalizer, texts

    def __getitem__(self, i):
        return self._normalizer(self._texts[i])


def read_files(folder):
    """The bytes of those of ``FILES`` that are in a folder, by name."""
    paths = {name: Path(folder) / name for name in FILES}
    return {name: path.read_bytes() for name, path in paths.items() if path.is_file()}


def is_vocabulary_folder(folder):
    """Whether ``folder`` holds a vocabulary of ours, as far as its files tell without parsing them."""
    contents = read_files(folder)
    needed = {DICTIONARY, TOKENIZER}
    return needed <= contents.keys() and (MODEL in contents or is_optional(contents))


def is_optional(contents):
    """Whether a vocabulary's dictionary alone defines its ids (see the module's docstring)."""
    return _settings(contents).get("tokenizer") == "optional"


def has_roles(folder):
    """Whether ``tokenizer.json`` in ``folder`` is one of ours and not a tokenizer of Hugging Face's."""
    return "roles" in _settings(read_files(folder))


def _settings(contents):
    try:
        settings = json.loads(contents.get(TOKENIZER, "{}"))
    except (ValueError, RecursionError):
        return {}
    return settings if isinstance(settings, dict) else {}


def hash_of(contents):
    """SHA-256 over the names and contents of what defines the ids, as a hexadecimal string."""
    digest = hashlib.sha256()
    names = [name for name in FILES if name != MODEL or not is_optional(contents)]
    for name in names:
        digest.update(f"{name} {hashlib.sha256(contents[name]).hexdigest()}\n".encode())
    return digest.hexdigest()


def vocabulary_hash(folder):
    """:func:`hash_of` a folder's files."""
    return hash_of(read_files(folder))


def parse_settings(content, path):
    """The settings in the bytes of a ``tokenizer.json``, checked. Raises :class:`UserError`."""
    try:
        settings = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not valid JSON ({error}); {MAKE}") from None
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
    return parse_symbols(Path(path).read_bytes(), path)


def parse_symbols(content, path):
    """:func:`read_symbols` of the file's bytes. Raises :class:`UserError`."""
    symbols = list(SPECIALS)
    seen = set(symbols)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 ({error.reason} at byte {error.start})") from None
    # As fairseq writes it, to the byte: only "\n" ends a line.
    for number, line in enumerate(io.StringIO(text, newline="\n"), 1):
        symbol, _, count = line.removesuffix("\n").rpartition(" ")
        if not symbol or not re.fullmatch(r"0|[1-9][0-9]*", count) or line[-1] != "\n":
            raise UserError(f"{path}: line {number} is {line!r}, must be: SYMBOL COUNT")
        if symbol in seen:
            raise UserError(f"{path}: line {number}: {symbol!r} is there already")
        if symbol.split() != [symbol]:
            raise UserError(f"{path}: line {number}: {symbol!r} holds whitespace")
        seen.add(symbol)
        symbols.append(symbol)
    return symbols
