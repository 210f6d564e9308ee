"""Data as plain fairseq-preprocess leaves it: token files and a dictionary, no stamp, no vocabulary.

``DATA/dict.txt``, ``DATA/{train,valid,…}.{bin,idx}``       ``fairseq-preprocess --only-source``
``DATA/dict.{src,tgt}.txt``, ``DATA/train.src-tgt.{src,tgt}.{bin,idx}``   of pairs

The ids are the dictionary's. The symbols of ours that it lacks (``own_symbols.py``) get the ids after
its last, in their fixed order, as fairseq's own masked-LM task adds its mask.
"""

import hashlib
import json
import re
from pathlib import Path

import numpy as np

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.files import sha256_file
from fairseq_metro.data.indexed import PARTIAL, STAMP, IndexedTokens
from fairseq_metro.vocabulary.folder import (
    DICTIONARY,
    MODEL,
    SPECIALS,
    TOKENIZER,
    VERSION,
    Vocabulary,
    parse_symbols,
    read_symbols,
)
from fairseq_metro.vocabulary.own_symbols import OWN_ROLES, OWN_SYMBOLS

AGAIN = "make the folder again with fairseq-preprocess"
SENTINEL = re.compile(r"<sen\d{3,}>")
FILLER = re.compile(r"madeupword\d{4,}")  # with which fairseq rounds a dictionary's size up
CHUNK = 1 << 20  # tokens that are counted at once
MOST_CHUNKS = 64  # of which so many, evenly spread, show which token is the commonest


def dictionaries(folder):
    """The dictionaries in a data folder: ``dict.txt``, or one per side of pairs (may be empty)."""
    folder = Path(folder)
    single = folder / DICTIONARY
    return [single] if single.is_file() else sorted(folder.glob("dict.*.txt"))


def is_unfinished(folder):
    """Whether binarize.py was stopped while it wrote this folder, or the shards beside it."""
    folder = Path(folder)
    return (folder / PARTIAL).exists() or (folder.parent / PARTIAL).exists()


def is_stock_text(folder):
    """Whether a folder holds text of fairseq-preprocess: a dictionary and token files, no stamp."""
    folder = Path(folder)
    if (folder / STAMP).exists() or is_unfinished(folder):
        return False
    return (folder / DICTIONARY).is_file() and bool(splits_of(folder))


def splits_of(folder):
    """Names of the monolingual splits in a folder, sorted."""
    return sorted(path.stem for path in Path(folder).glob("*.idx") if "." not in path.stem)


# The vocabulary


def stock_vocabulary(dictionary, model=None):
    """The :class:`Vocabulary` of a dictionary of fairseq-preprocess, completed.

    dictionary: path of its ``dict.txt``; model: path of the SentencePiece model that made its
    pieces, or None for a vocabulary without a tokenizer. Raises :class:`UserError`.
    """
    content = Path(dictionary).read_bytes()
    symbols = parse_symbols(content, dictionary)
    if len(symbols) == len(SPECIALS):
        raise UserError(f"{dictionary}: has no symbols; {AGAIN}")
    missing = missing_symbols(symbols, dictionary)
    settings = {
        "version": VERSION,
        "tokenizer": "optional",
        "lowercase": False,
        "normalization": "none",
        "roles": OWN_ROLES,
    }
    contents = {
        DICTIONARY: content + "".join(f"{symbol} 1\n" for symbol in missing).encode(),
        TOKENIZER: f"{json.dumps(settings, indent=2, ensure_ascii=False)}\n".encode(),
    }
    vocabulary = Vocabulary(Path(dictionary).parent, contents)
    return vocabulary if model is None else with_tokenizer(vocabulary, model)


def missing_symbols(symbols, path):
    """The last of ``OWN_SYMBOLS``, those that the symbols of a dictionary lack: a list.

    Raises :class:`UserError` where it has some of them, but not in their order at its end. path: of
    the dictionary, for the message.
    """
    held = {s for s in symbols if s in OWN_SYMBOLS or SENTINEL.fullmatch(s)}
    place = len(symbols) - len(held)
    expected = dict(enumerate(OWN_SYMBOLS, place))
    wrong = next((i for i, s in enumerate(symbols) if s in held and expected.get(i) != s), None)
    if wrong is None:
        return OWN_SYMBOLS[len(held) :]
    raise UserError(
        f"{path}: has {symbols[wrong]!r} as id {wrong}, but a dictionary's symbols for masks and "
        f"spans must be its last, in the order {', '.join(OWN_SYMBOLS[:3])}, …; run fairseq-preprocess "
        "with a dictionary without them, or give the vocabulary folder that says what they are for "
        "with --vocab"
    )


def with_tokenizer(vocabulary, model):
    """The same vocabulary with the SentencePiece model in a file. Raises :class:`UserError`.

    A dictionary that was learned from the data lacks pieces that the data lacks, and has what the
    model could not write as symbols of their own; any other symbol that is no piece of the model
    means that another one made the data, and more than one in twenty are refused.
    """
    model = Path(model)
    if not model.is_file():
        raise UserError(f"--sentencepiece-model {model}: no such file")
    content = model.read_bytes()
    if vocabulary.contents.get(MODEL, content) != content:
        raise UserError(
            f"--sentencepiece-model {model}: is not {vocabulary.path / MODEL}, the model that the "
            "vocabulary has; leave the option out"
        )
    complete = Vocabulary(vocabulary.path, {**vocabulary.contents, MODEL: content})
    refuse_unfit_model(complete, f"--sentencepiece-model {model}")
    return complete


def refuse_unfit_model(vocabulary, name):
    """Raise :class:`UserError` where a SentencePiece model cannot have made the dictionary's symbols.

    name: of the model, for the message.
    """
    processor = vocabulary.processor
    pieces = {processor.id_to_piece(i) for i in range(len(processor))}
    characters = {piece for piece in pieces if len(piece) == 1}
    with_roles = vocabulary.symbols_with_roles()
    symbols = [
        symbol
        for symbol in vocabulary.symbols[len(SPECIALS) :]
        if symbol not in with_roles and not FILLER.fullmatch(symbol)
    ]
    strays = [s for s in symbols if s not in pieces and not characters.isdisjoint(s)]
    if 20 * len(strays) > len(symbols):
        raise UserError(
            f"{name}: {len(strays):,} of the {len(symbols):,} symbols of {vocabulary.path}, such as "
            f"{strays[0]!r}, are no pieces of it; give the model that made the data's pieces"
        )


def refuse_other_symbols(dictionary, vocabulary):
    """Raise :class:`UserError` where a data folder's dictionary has other ids than a vocabulary.

    The dictionary may lack the last symbols, if these have roles. dictionary: its path.
    """
    data_symbols, expected = read_symbols(dictionary), vocabulary.symbols
    place = next(
        (i for i, (a, b) in enumerate(zip(data_symbols, expected, strict=False)) if a != b),
        min(len(data_symbols), len(expected)),
    )
    roles = vocabulary.roles
    with_roles = {*roles["sentinels"], *(s for s in roles.values() if isinstance(s, str))}
    if place == len(data_symbols) and with_roles.issuperset(expected[place:]):
        return
    names = [
        repr(symbols[place]) if place < len(symbols) else "none"
        for symbols in (data_symbols, expected)
    ]
    raise UserError(
        f"{dictionary}: its symbol {place} is {names[0]}, but that of {vocabulary.path} is "
        f"{names[1]}, so its ids mean other tokens; make the data again with this vocabulary, or "
        "give the one it was made with"
    )


# Token files


def open_tokens(prefix):
    """:class:`IndexedTokens` of a file of fairseq-preprocess. Raises :class:`UserError`."""
    return IndexedTokens(prefix, again=f"{AGAIN} (--dataset-impl mmap)")


def refuse_unknown_ids(lines, size, dictionary):
    """Raise :class:`UserError` where tokens have ids that a dictionary of ``size`` symbols lacks."""
    unsigned = lines.tokens.view(f"u{lines.tokens.itemsize}")  # a negative id is a large one
    largest = int(unsigned.max(initial=0))
    if largest >= size:
        raise UserError(
            f"{lines.prefix}.bin: has a token of id {largest}, but {dictionary} has only {size} "
            f"symbols, so it is of another dictionary; {AGAIN}"
        )


def text_facts(folder):
    """What a stamp would say of a folder of text, as far as its files tell; see ``read_stamp``.

    ``vocabulary`` is None. Every split's ids are checked. Raises :class:`UserError`.
    """
    folder = Path(folder)
    size = len(read_symbols(folder / DICTIONARY))
    facts = {}
    for name in splits_of(folder):
        lines = open_tokens(folder / name)
        refuse_unknown_ids(lines, size, folder / DICTIONARY)
        separators = np.asarray(lines.sizes) == 1
        facts[name] = {
            "lines": len(lines),
            "tokens": len(lines.tokens),
            "documents": int((~separators & np.append(True, separators[:-1])).sum()),
        }
        if name == "train":
            facts[name]["commonest_token"] = commonest_token(lines.tokens, size)
    return {"vocabulary": None, "data": files_hash(folder), "splits": facts}


def files_hash(folder):
    """SHA-256 over the names and contents of all indexes of a folder, as a hexadecimal string.

    They hold the length of every line, which tells one text from another without reading it.
    """
    digest = hashlib.sha256()
    for path in sorted(Path(folder).rglob("*.idx")):
        digest.update(f"{path.relative_to(folder)} {sha256_file(path)}\n".encode())
    return digest.hexdigest()


def commonest_token(tokens, size):
    """Id of the commonest ordinary token in an array of ids below ``size``.

    Of more than 67 million tokens it is the commonest of so many, evenly spread.
    """
    starts = np.arange(0, len(tokens), CHUNK)
    if len(starts) > MOST_CHUNKS:
        starts = starts[np.linspace(0, len(starts) - 1, MOST_CHUNKS).astype(int)]
    counts = sum(
        (np.bincount(tokens[start : start + CHUNK], minlength=size) for start in starts),
        np.zeros(size, dtype=np.int64),
    )
    return len(SPECIALS) + int(counts[len(SPECIALS) :].argmax())
