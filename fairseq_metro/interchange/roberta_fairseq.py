"""Checkpoints of fairseq's own ``RobertaModel``, of all its versions, and the tokenizer beside them."""

import dataclasses
from pathlib import Path

from fairseq_metro.common.errors import UserError
from fairseq_metro.interchange.authors_keys import TOKENS
from fairseq_metro.interchange.model import ROBERTA, Model, model_settings
from fairseq_metro.interchange.roberta_keys import (
    FAIRSEQ,
    POSITIONS,
    layers_of,
    modern_fairseq,
    to_ours,
)
from fairseq_metro.models.roberta import RobertaMLMConfig
from fairseq_metro.vocabulary.folder import DICTIONARY, VOCAB_FOLDER, read_symbols
from fairseq_metro.vocabulary.roberta import (
    GPT2_PIECES,
    has_tokenizer,
    open_vocabulary,
    write_from_gpt2,
)

MASK, PAD = "<mask>", 1
# Options of theirs of which we know one value only; where a file does not say, it is taken.
FIXED = {
    "activation_fn": "gelu",
    "encoder_normalize_before": False,
    "layernorm_embedding": True,
    "encoder_learned_pos": True,
    "no_scale_embedding": True,
    "untie_weights_roberta": False,
}


def is_fairseqs(state):
    """Whether a state dict is of fairseq's ``RobertaModel``, by its names."""
    return any(".sentence_encoder." in key for key in state)


def read_fairseq(path, state, scratch, tokenizer=None, heads=None):
    """The :class:`Model` in a checkpoint of fairseq's; classification heads are left behind.

    state: the whole checkpoint. scratch: an existing empty folder. tokenizer: folder with GPT-2's
    ``encoder.json`` and ``vocab.bpe``, a RoBERTa tokenizer of Hugging Face's, or a vocabulary of
    ours; None: looked for beside the checkpoint. heads: where the file does not say.
    """
    try:
        theirs = modern_fairseq(state["model"])
        layers = layers_of(theirs)
        ours = to_ours(theirs, layers, FAIRSEQ)
        config = _config(ours, layers, model_settings(state), heads)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    folder = _tokenizer(path, ours[TOKENS].size(0), scratch, tokenizer)
    updates = (state.get("optimizer_history") or [{}])[-1].get("num_updates", 0)
    return Model(ROBERTA, config, ours, folder, str(path), updates or 0)


def _config(ours, layers, settings, heads):
    for name, right in FIXED.items():
        if (value := settings.get(name, right)) != right:
            raise UserError(f"{name} is {value!r}, but our RoBERTa has {right!r}")
    heads = heads or settings.get("encoder_attention_heads")
    if heads is None:
        raise UserError("its number of attention heads is not in the file; give --heads")
    width = ours[TOKENS].size(1)
    if width % heads:
        raise UserError(f"{heads} heads cannot share a width of {width}")
    defaults = {f.name: f.default for f in dataclasses.fields(RobertaMLMConfig)}
    return dict(
        {name: value for name, value in defaults.items() if name[0] != "_"},
        embed_dim=width,
        ffn_dim=ours["encoder.layers.0.ffn.fc1.weight"].size(0),
        attention_heads=heads,
        encoder_layers=layers,
        max_positions=ours[POSITIONS].size(0) - PAD - 1,
        dropout=settings.get("dropout", 0.1),
        attention_dropout=settings.get("attention_dropout", 0.1),
    )


def _tokenizer(path, rows, scratch, given):
    """A folder whose ids are the checkpoint's, or None where there is none."""
    beside = path.parent / DICTIONARY
    symbols = [*read_symbols(beside)] if beside.is_file() else None
    if symbols is not None and MASK not in symbols:
        symbols.append(MASK)  # as fairseq's task does
    if symbols is not None and len(symbols) != rows:
        raise UserError(
            f"{beside}: {len(symbols)} symbols with {MASK}, but the token table of {path} has "
            f"{rows} rows; the files do not belong together"
        )
    for folder in [Path(given)] if given else [path.parent / VOCAB_FOLDER, path.parent]:
        if (folder / GPT2_PIECES).is_file():
            if symbols is None:
                raise UserError(f"{beside}: no such file, which says the order of the ids")
            write_from_gpt2(folder, symbols, scratch)
            return scratch
        if has_tokenizer(folder):
            _compare(open_vocabulary(folder), symbols, beside)
            return folder
    if given:
        raise UserError(
            f"{given}: no tokenizer there; give a folder with GPT-2's {GPT2_PIECES} and vocab.bpe, "
            "with vocab.json and merges.txt, or a vocabulary of ours"
        )
    return None


def _compare(vocabulary, symbols, where):
    """Symbols of the same name must have the same id; GPT-2's numbers are not names."""
    for i, symbol in enumerate(symbols or ()):
        place = i if symbol.isdecimal() else vocabulary.indices.get(symbol, i)
        if place != i or i >= len(vocabulary):
            raise UserError(
                f"{where}: {symbol!r} has id {i}, but in {vocabulary.path} it is another; give the "
                "tokenizer of this checkpoint"
            )
