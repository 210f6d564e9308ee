"""T5's tokenizer (``spiece.model``) as a vocabulary folder, and the mapping of its ids.

T5 has ``<pad>`` 0, ``</s>`` 1, ``<unk>`` 2, then pieces, then ``<extra_id_99>`` down to
``<extra_id_0>``, then rows of its table that no symbol has. fairseq's dictionary begins with
``<s>``, ``<pad>``, ``</s>``, ``<unk>``: T5 has no ``<s>``, so it gets the last of the rows without a
symbol, which keeps every softmax as it was. The others follow in T5's order: mostly one id later.
"""

import json
import re
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.files import read_json, sha256_file
from fairseq_metro.vocabulary.folder import (
    DICTIONARY,
    MODEL,
    SPECIALS,
    TOKENIZER,
    VERSION,
    Vocabulary,
)

THEIR_MODEL, TOKENIZER_CONFIG = "spiece.model", "tokenizer_config.json"
SENTINEL = re.compile(r"<extra_id_(\d+)>")
SENTINELS = 100  # what their tokenizer has where nothing is said


@dataclass(frozen=True)
class Rows:
    """Positions of fairseq's four special symbols among the ``rows`` rows of a T5 table.

    bos: None where there is no row for it; our table then has one more, of zeros.
    """

    rows: int
    bos: int | None
    pad: int
    eos: int
    unk: int

    @property
    def order(self):
        """Their id of each of our ids; None for a ``<s>`` without a row.

        >>> Rows(7, bos=6, pad=0, eos=1, unk=2).order
        [6, 0, 1, 2, 3, 4, 5]
        """
        specials = [self.bos, self.pad, self.eos, self.unk]
        return [*specials, *(i for i in range(self.rows) if i not in specials)]

    def to_ours(self, table):
        """Their table (rows, C) in the order of our ids."""
        if len(table) != self.rows:
            raise UserError(f"a token table of {len(table)} rows, but vocab_size is {self.rows}")
        order = self.order
        rows = table[torch.tensor([0 if i is None else i for i in order])]
        if self.bos is None:
            rows[0] = 0
        return rows

    def to_theirs(self, table):
        """Our table in the order of their ids, (rows, C)."""
        order = self.order
        kept = [i for i, rows in enumerate(order) if rows is not None]
        rows = torch.empty(self.rows, table.size(1), dtype=table.dtype)
        rows[torch.tensor([order[i] for i in kept])] = table[torch.tensor(kept)]
        return rows


def rows_of(vocabulary):
    """:class:`Rows` of a loaded vocabulary: as imported, or, of our own making, the same ids."""
    settings = vocabulary.settings.get("hugging_face")
    return Rows(**settings) if settings else Rows(len(vocabulary), 0, 1, 2, 3)


def read_symbols(folder, config):
    """(our symbols in the order of our ids, :class:`Rows`) of a Hugging Face T5 folder.

    config: its ``config.json``. Raises :class:`UserError`.
    """
    folder, count = Path(folder), config["vocab_size"]
    processor = _processor(folder / THEIR_MODEL)
    names = [processor.id_to_piece(i) for i in range(len(processor))]
    if len(names) > count:
        raise UserError(
            f"{folder / THEIR_MODEL}: {len(names)} pieces, but config.json has a vocab_size of "
            f"{count}; the files do not belong together"
        )
    names += [None] * (count - len(names))
    for i, symbol in _added(folder, len(processor), count).items():
        names[i] = symbol
    free = [i for i, name in enumerate(names) if name is None]
    taken = {config["pad_token_id"], config["eos_token_id"], processor.unk_id()}
    bos = processor.bos_id() if processor.bos_id() >= 0 else None
    if bos is None or bos in taken:
        bos = free[-1] if free else None
    rows = Rows(count, bos, config["pad_token_id"], config["eos_token_id"], processor.unk_id())
    if len({rows.bos, rows.pad, rows.eos, rows.unk}) < 4 or not all(
        0 <= i < count for i in (rows.pad, rows.eos, rows.unk)
    ):
        raise UserError(
            f"{folder}: pad, </s> and <unk> have the ids {rows.pad}, {rows.eos} and {rows.unk}, "
            f"must be three below {count}"
        )
    rest = [f"<row{i}>" if names[i] is None else names[i] for i in rows.order[len(SPECIALS) :]]
    return [*SPECIALS, *rest], rows


def _processor(path):
    from sentencepiece import SentencePieceProcessor

    if not path.is_file():
        raise UserError(
            f"{path}: no such file; T5's tokenizer is needed as SentencePiece model, beside the "
            "weights"
        )
    try:
        return SentencePieceProcessor(model_file=str(path))
    except (OSError, RuntimeError):
        raise UserError(f"{path}: not a SentencePiece model; download it again") from None


def _added(folder, pieces, count):
    """Id -> symbol of what their tokenizer adds after the pieces: listed, or the sentinels."""
    path = folder / TOKENIZER_CONFIG
    content = read_json(path) if path.is_file() else {}
    if not isinstance(content, dict):
        raise UserError(f"{path}: not a tokenizer's configuration; download it again")
    if listed := content.get("added_tokens_decoder"):
        added = {int(i): entry["content"] for i, entry in listed.items()}
    else:
        number = content.get("extra_ids", min(SENTINELS, count - pieces))
        added = {pieces + number - 1 - i: f"<extra_id_{i}>" for i in range(number)}
    added = {i: symbol for i, symbol in added.items() if i >= pieces}
    if added and max(added) >= count:
        raise UserError(f"{path}: symbol {added[max(added)]} has id {max(added)}, but there are "
                        f"{count} rows in the table")  # fmt: skip
    return added


def write_vocabulary(folder, out, config):
    """Write the files of our vocabulary folder into ``out``, an existing folder.

    The decoder starts with the symbol of ``decoder_start_token_id``, a source begins without
    ``<s>``, sentinels are ``<extra_id_0>``, 1, … Returns the :class:`Rows`.
    """
    folder, out = Path(folder), Path(out)
    symbols, rows = read_symbols(folder, config)
    numbers = sorted(int(match[1]) for match in map(SENTINEL.fullmatch, symbols) if match)
    sentinels = [f"<extra_id_{i}>" for i in numbers]
    start = symbols[rows.order.index(config["decoder_start_token_id"])]
    settings = {
        "version": VERSION,
        "lowercase": False,
        "normalization": "none",
        "source_bos": False,
        "roles": {
            "mask": sentinels[0] if sentinels else SPECIALS[3],
            "pretraining_decoder_start": start,
            "decoder_start": start,
            "end_of_target": SPECIALS[2],
            "sentinels": sentinels,
        },
        "hugging_face": asdict(rows),
        "imported_from": {THEIR_MODEL: sha256_file(folder / THEIR_MODEL)},
    }
    shutil.copyfile(folder / THEIR_MODEL, out / MODEL)
    lines = "".join(f"{symbol} 1\n" for symbol in symbols[len(SPECIALS) :])
    (out / DICTIONARY).write_text(lines, "utf-8")
    text = json.dumps(settings, indent=2, ensure_ascii=False)
    (out / TOKENIZER).write_text(f"{text}\n", "utf-8")
    Vocabulary.load(out)  # are model and dictionary of one kind?
    return rows


def tokenizer_config(vocabulary):
    """``tokenizer_config.json`` for their ``T5Tokenizer``: what follows the pieces, by id."""
    order = rows_of(vocabulary).order
    pieces = len(vocabulary.processor)
    added = {
        row: symbol
        for row, symbol in zip(order, vocabulary.symbols, strict=True)
        if row is not None and row >= pieces and symbol != SPECIALS[0]
        and not re.fullmatch(r"<row\d+>", symbol)
    }  # fmt: skip
    special = dict(lstrip=False, normalized=False, rstrip=False, single_word=False, special=True)
    return {
        "tokenizer_class": "T5Tokenizer",
        "pad_token": SPECIALS[1],
        "eos_token": SPECIALS[2],
        "unk_token": SPECIALS[3],
        "extra_ids": sum(bool(SENTINEL.fullmatch(symbol)) for symbol in added.values()),
        "additional_special_tokens": list(added.values()),
        "added_tokens_decoder": {str(i): {"content": added[i], **special} for i in sorted(added)},
        "legacy": True,
    }
