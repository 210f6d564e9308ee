"""RoBERTa in three forms: Hugging Face's folders, fairseq's own checkpoints, runs of ours.

Hugging Face: ``config.json``, ``model.safetensors`` or ``pytorch_model.bin`` (or several files and
their index), and a byte-level tokenizer. Their library is not needed.
"""

import dataclasses
import logging
import tempfile
from pathlib import Path

import torch

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.files import read_json
from fairseq_metro.interchange.authors_keys import TOKENS
from fairseq_metro.interchange.checkpoint_settings import checked_group
from fairseq_metro.interchange.hugging_face import CONFIG, is_release, read_weights
from fairseq_metro.interchange.model import ROBERTA, Model, read_checkpoint
from fairseq_metro.interchange.roberta_fairseq import is_fairseqs, read_fairseq
from fairseq_metro.interchange.roberta_keys import HUGGING_FACE, POSITIONS, to_ours
from fairseq_metro.interchange.training_facts import training_of
from fairseq_metro.models.roberta import RobertaMLMConfig, RobertaMLMModel
from fairseq_metro.models.symbols import Symbols
from fairseq_metro.trainer.checkpoint_names import find_checkpoint
from fairseq_metro.vocabulary.folder import VOCAB_FOLDER
from fairseq_metro.vocabulary.roberta import (
    has_tokenizer,
    is_byte_level,
    open_vocabulary,
)
from fairseq_metro.vocabulary.tokenizers import VocabularyTokenizer

logger = logging.getLogger(__name__)

DEFAULTS = {f.name: f.default for f in dataclasses.fields(RobertaMLMConfig) if f.name[0] != "_"}
PAD = 1
# Their fields of the same meaning as ours, and what they are where config.json leaves them out.
SIZES = {
    "embed_dim": ("hidden_size", 768),
    "ffn_dim": ("intermediate_size", 3072),
    "attention_heads": ("num_attention_heads", 12),
    "encoder_layers": ("num_hidden_layers", 12),
    "dropout": ("hidden_dropout_prob", 0.1),
    "attention_dropout": ("attention_probs_dropout_prob", 0.1),
    "layer_norm_epsilon": ("layer_norm_eps", 1e-12),
}
# Fields of which we know one value only.
FIXED = {
    "hidden_act": "gelu",
    "position_embedding_type": "absolute",
    "is_decoder": False,
    "pad_token_id": PAD,
    "bos_token_id": 0,
    "eos_token_id": 2,
}


def load_roberta(source, tokenizer=None):
    """(model in evaluation mode, float32; its tokenizer) of a RoBERTa of any form.

    source: a local Hugging Face folder, a run's folder or checkpoint of ours, or a checkpoint of
    fairseq's RoBERTa; tokenizer: the folder of the last one's tokenizer where none is beside it.
    The tokenizer is one of :mod:`fairseq_metro.vocabulary.tokenizers`. Raises :class:`UserError`.
    """
    with tempfile.TemporaryDirectory() as scratch:
        found = read_any(source, scratch, tokenizer)
        vocabulary = vocabulary_of(found)
        model = build(found, vocabulary)
    if is_byte_level(found.vocabulary):
        return model, vocabulary.tokenizer
    return model, VocabularyTokenizer(vocabulary)


def build(found, vocabulary):
    """The ``RobertaMLMModel`` of a :class:`Model`, in evaluation mode."""
    with torch.device("meta"):
        model = RobertaMLMModel(RobertaMLMConfig(**found.config), vocabulary.dictionary())
    model.to_empty(device="cpu").load_state_dict(found.state)
    return model.eval()


def vocabulary_of(found):
    """The vocabulary of a :class:`Model`. Raises :class:`UserError` where it has none or another
    number of symbols."""
    if found.vocabulary is None:
        raise UserError(
            f"{found.origin}: no tokenizer beside it; put there {VOCAB_FOLDER}, or vocab.json and "
            "merges.txt, of its training"
        )
    vocabulary = open_vocabulary(found.vocabulary)
    rows = found.state[TOKENS].size(0)
    if len(vocabulary) != rows:
        raise UserError(
            f"{found.origin}: its token table has {rows} rows, but the tokenizer in "
            f"{vocabulary.path} {len(vocabulary)} symbols; give the one it was trained with"
        )
    return vocabulary


def read_any(source, scratch, tokenizer=None, heads=None):
    """The :class:`Model` in ``source``; see :func:`load_roberta`.

    scratch: an existing empty folder, for a tokenizer that has to be put together. heads: attention
    heads, for a checkpoint of fairseq's that does not say. Raises :class:`UserError`.
    """
    source = Path(source)
    if source.is_dir() and is_release(source):
        return read_folder(source)
    path = find_checkpoint(source)
    state = read_checkpoint(path)
    if is_fairseqs(state["model"]):
        return read_fairseq(path, state, Path(scratch), tokenizer, heads)
    return _of_ours(path, state)


def read_run(source):
    """The :class:`Model` in a run's folder or checkpoint of ours. Raises :class:`UserError`."""
    path = find_checkpoint(source)
    return _of_ours(path, read_checkpoint(path))


def _of_ours(path, state):
    cfg = (state.get("cfg") or {}).get("model") or {}
    if not {"lm_head.dense.weight", POSITIONS} <= state["model"].keys():
        raise UserError(f"{path}: not a checkpoint of roberta_mlm (it is of {cfg.get('_name')})")
    settings = checked_group("model", cfg, path)
    folders = [folder / VOCAB_FOLDER for folder in (path.parent, path.parent.parent)]
    return Model(
        ROBERTA,
        {**DEFAULTS, **{key: value for key, value in settings.items() if key in DEFAULTS}},
        {key: value.float() for key, value in state["model"].items()},
        next(filter(has_tokenizer, folders), None),
        str(path),
        ((state.get("optimizer_history") or [{}])[-1]).get("num_updates", 0),
        (state.get("task_state") or {}).get("stamp", {}),
    )


def read_config(folder):
    """Fields of our configuration from a ``config.json``.

    Raises :class:`UserError` for a model of another kind.
    """
    path = Path(folder) / CONFIG
    theirs = read_json(path)
    kind = theirs.get("model_type") if isinstance(theirs, dict) else None
    if kind != "roberta":
        raise UserError(f"{path}: model_type is {kind!r}, must be 'roberta'")
    for name, right in FIXED.items():
        if (value := theirs.get(name, right)) != right:
            raise UserError(f"{path}: {name} is {value!r}, but our RoBERTa has {right!r}")
    config = {ours: theirs.get(name, default) for ours, (name, default) in SIZES.items()}
    config["max_positions"] = theirs.get("max_position_embeddings", 512)
    if wrong := [name for name, value in config.items() if type(value) not in (int, float)]:
        name = SIZES.get(wrong[0], ("max_position_embeddings",))[0]
        raise UserError(f"{path}: {name} is {config[wrong[0]]!r}, must be a number")
    config["max_positions"] -= PAD + 1  # rows up to that of padding are no positions
    return {**DEFAULTS, **config}


def read_folder(folder):
    """The :class:`Model` in a folder of Hugging Face's. Raises :class:`UserError`."""
    folder = Path(folder)
    config = read_config(folder)
    path, named = read_weights(folder)
    if "embeddings.word_embeddings.weight" in named:
        raise UserError(f"{path}: RoBERTa without its LM head; give a folder of RobertaForMaskedLM")
    try:
        state = to_ours(named, config["encoder_layers"], HUGGING_FACE)
        check_shapes(state, config)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    places = (folder, folder / VOCAB_FOLDER)
    vocabulary = next(filter(has_tokenizer, places), None)
    training = training_of(read_json(folder / CONFIG))
    return Model(ROBERTA, config, state, vocabulary, str(folder), *training)


def check_shapes(state, config):
    """Raise :class:`UserError` where a parameter is not as large as the configuration says."""
    rows = state[TOKENS].size(0)
    with torch.device("meta"):
        expected = RobertaMLMModel(RobertaMLMConfig(**config), Symbols(rows)).state_dict()
    for name, tensor in expected.items():
        if tensor.shape != state[name].shape:
            raise UserError(
                f"{name} would be {tuple(state[name].shape)}, but by its configuration it is "
                f"{tuple(tensor.shape)}"
            )


def initialize_roberta(model, cfg, vocabulary, source):
    """Copy the parameters in ``source`` into ``model``, a ``RobertaMLMModel`` built from ``cfg``.

    source: as in :func:`load_roberta`; vocabulary: the data's. Raises :class:`UserError` for other
    sizes or another vocabulary.
    """
    with tempfile.TemporaryDirectory() as scratch:
        found = read_any(source, scratch)
        theirs = vocabulary_of(found)
    if theirs.hash != vocabulary.hash:
        raise UserError(
            f"--init-from {found.origin}: its vocabulary of {len(theirs)} symbols is another than "
            f"{vocabulary.path}; make the data with the one it was trained with"
        )
    names = [n for n in DEFAULTS if n not in ("dropout", "attention_dropout")]
    other = [n for n in names if found.config[n] != getattr(cfg, n)]
    if other:
        flags = " ".join(f"--{n.replace('_', '-')} {found.config[n]}" for n in other)
        here = ", ".join(str(getattr(cfg, n)) for n in other)
        raise UserError(
            f"--init-from {found.origin}: it has {flags}, but here it is {here}; give its"
        )
    own = model.state_dict()
    with torch.no_grad():
        for key, value in found.state.items():
            own[key].copy_(value)
    logger.info(f"--init-from {found.origin}: {ROBERTA}, {found.num_updates} updates")
