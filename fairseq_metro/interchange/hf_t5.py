"""Hugging Face's T5, v1.0 and v1.1: a local folder of theirs into a run's folder of ours, and back.

``config.json``, ``model.safetensors`` or ``pytorch_model.bin`` (or several files and their index),
``spiece.model``. Their library is not needed; ``safetensors`` is for files of that format.
"""

import dataclasses
import logging
import shutil
import tempfile
from functools import partial
from pathlib import Path

import torch

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.files import read_json, sha256_file, write_json
from fairseq_metro.interchange import hugging_face
from fairseq_metro.interchange.checkpoint_settings import checked_group
from fairseq_metro.interchange.export_code import write_tokenizer
from fairseq_metro.interchange.hf_t5_keys import to_ours, to_theirs
from fairseq_metro.interchange.hugging_face import (
    CONFIG,
    is_release,
    read_weights,
    weights_name,
    write_weights,
)
from fairseq_metro.interchange.model import HF_T5, Model, read_checkpoint
from fairseq_metro.interchange.training_facts import SECTION, training_of
from fairseq_metro.models.hf_t5 import HfT5Config
from fairseq_metro.models.hf_t5.config import ACTIVATIONS
from fairseq_metro.trainer.checkpoint_names import find_checkpoint
from fairseq_metro.vocabulary.authors import is_ours
from fairseq_metro.vocabulary.folder import MODEL, VOCAB_FOLDER, Vocabulary
from fairseq_metro.vocabulary.hf_t5 import (
    THEIR_MODEL,
    TOKENIZER_CONFIG,
    rows_of,
    tokenizer_config,
    write_vocabulary,
)

logger = logging.getLogger(__name__)

DEFAULTS = {f.name: f.default for f in dataclasses.fields(HfT5Config) if f.name[0] != "_"}
# Their fields of the same meaning as ours, and what they are where config.json leaves them out.
SIZES = {
    "embed_dim": ("d_model", 512),
    "ffn_dim": ("d_ff", 2048),
    "head_dim": ("d_kv", 64),
    "attention_heads": ("num_heads", 8),
    "encoder_layers": ("num_layers", 6),
    "relative_position_buckets": ("relative_attention_num_buckets", 32),
    "relative_position_max_distance": ("relative_attention_max_distance", 128),
    "dropout": ("dropout_rate", 0.1),
    "layer_norm_epsilon": ("layer_norm_epsilon", 1e-6),
}
IDS = {"pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0, "vocab_size": 32128}


def read_config(folder):
    """(fields of our configuration, their ``config.json`` with its ids filled in).

    Raises :class:`UserError` for a model of another kind.
    """
    path = Path(folder) / CONFIG
    theirs = read_json(path)
    kind = theirs.get("model_type") if isinstance(theirs, dict) else None
    if kind not in ("t5", "mt5"):
        raise UserError(f"{path}: model_type is {kind!r}, must be 't5' or 'mt5'")
    config = {ours: theirs.get(name, default) for ours, (name, default) in SIZES.items()}
    if wrong := [name for name, value in config.items() if type(value) not in (int, float)]:
        raise UserError(f"{path}: {SIZES[wrong[0]][0]} is {config[wrong[0]]!r}, must be a number")
    projection = theirs.get("feed_forward_proj", "relu")
    inner = {"relu": "relu", "gated-gelu": "gelu_new"}.get(projection)
    if projection not in ACTIVATIONS or theirs.get("dense_act_fn", inner) != inner:
        raise UserError(
            f"{path}: feed_forward_proj is {projection!r}"
            f"{_said(theirs, 'dense_act_fn', inner)}, must be one of {', '.join(ACTIVATIONS)}"
        )
    tied = theirs.get("tie_word_embeddings", True)
    if theirs.get("scale_decoder_outputs", tied) != tied:
        raise UserError(
            f"{path}: scale_decoder_outputs must be as tie_word_embeddings, which is {tied}"
        )
    config |= {
        "decoder_layers": theirs.get("num_decoder_layers") or config["encoder_layers"],
        "attention_dropout": config["dropout"],
        "activation": projection,
        "untied_output": not tied,
    }
    ids = {key: theirs.get(key) for key in IDS}
    if ids["decoder_start_token_id"] is None:
        ids["decoder_start_token_id"] = theirs.get("pad_token_id")
    ids = {key: IDS[key] if value is None else value for key, value in ids.items()}
    return {**DEFAULTS, **config}, {**theirs, **ids}


def _said(theirs, key, expected):
    value = theirs.get(key, expected)
    return "" if value == expected else f" with {key} {value!r}"


def read_folder(folder, vocabulary):
    """The :class:`Model` in a folder of theirs; ``vocabulary`` is an existing empty folder, into
    which its tokenizer is written as a vocabulary of ours. Raises :class:`UserError`."""
    folder = Path(folder)
    config, theirs = read_config(folder)
    if is_ours(folder / VOCAB_FOLDER):
        Vocabulary.load(folder / VOCAB_FOLDER).copy_to(vocabulary)
        rows = rows_of(Vocabulary.load(vocabulary))
    else:
        rows = write_vocabulary(folder, vocabulary, theirs)
    config["no_bos_logit"] = rows.bos is None
    known = theirs.get(SECTION) or {}  # no field of theirs says it
    config["max_positions"] = known.get("max_positions", config["max_positions"])
    path, named = read_weights(folder)
    try:
        state = to_ours(named, config, rows)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    return Model(HF_T5, config, state, Path(vocabulary), str(folder), *training_of(theirs))


def read_run(source):
    """The :class:`Model` in a run's folder or checkpoint of ours. Raises :class:`UserError`."""
    path = find_checkpoint(source)
    state = read_checkpoint(path)
    cfg = (state.get("cfg") or {}).get("model") or {}
    if not any(key.endswith("self_attn.qkv_proj.weight") for key in state["model"]) or (
        "head_dim" not in cfg
    ):
        raise UserError(f"{path}: not a checkpoint of hf_t5 (it is of {cfg.get('_name')})")
    settings = checked_group("model", cfg, path)
    folders = [folder / VOCAB_FOLDER for folder in (path.parent, path.parent.parent)]
    return Model(
        HF_T5,
        {**DEFAULTS, **{key: value for key, value in settings.items() if key in DEFAULTS}},
        {key: value.float() for key, value in state["model"].items()},
        next(filter(Path.is_dir, folders), None),
        str(path),
        ((state.get("optimizer_history") or [{}])[-1]).get("num_updates", 0),
        (state.get("task_state") or {}).get("stamp", {}),
    )


def read_any(source, scratch):
    """A folder of theirs, or a run of ours: :class:`Model`. scratch: an empty folder to use."""
    if Path(source).is_dir() and is_release(source):
        return read_folder(source, scratch)
    return read_run(source)


def initialize_hf_t5(model, cfg, vocabulary, source):
    """Copy the parameters in ``source`` into ``model``, an ``HfT5Model`` just built from ``cfg``.

    source: a folder of theirs, or a run's folder or checkpoint of ours. vocabulary: the data's.
    Raises :class:`UserError` for other sizes or another vocabulary.
    """
    with tempfile.TemporaryDirectory() as scratch:
        found = read_any(source, scratch)
        _check_symbols(found, vocabulary)
    _compare(found, cfg)
    own = model.state_dict()
    with torch.no_grad():
        for key, value in found.state.items():
            own[key].copy_(value)
    logger.info(f"--init-from {found.origin}: {HF_T5}, {found.num_updates} updates")


def _check_symbols(found, vocabulary):
    if found.vocabulary is None:
        raise UserError(f"--init-from {found.origin}: no folder {VOCAB_FOLDER} beside it")
    theirs = Vocabulary.load(found.vocabulary)
    model, their_model = (sha256_file(v.path / MODEL) for v in (vocabulary, theirs))
    if theirs.symbols != vocabulary.symbols or model != their_model:
        raise UserError(
            f"--init-from {found.origin}: its vocabulary of {len(theirs)} symbols is another than "
            f"{vocabulary.path}; import it with fairseq-metro import-t5 and make the data with the "
            "vocabulary that it writes"
        )


def _compare(found, cfg):
    free = ("dropout", "attention_dropout", "max_positions", "checkpoint_activations")
    names = [n for n in DEFAULTS if n not in free and not n.endswith("decoder_start")]
    other = [n for n in names if str(found.config[n]) != str(getattr(cfg, n))]
    if other:
        flags = " ".join(f"--{n.replace('_', '-')} {found.config[n]}" for n in other)
        flags = flags.replace(" True", "")
        here = ", ".join(str(getattr(cfg, n)) for n in other)
        raise UserError(
            f"--init-from {found.origin}: it has {flags}, but here it is {here}; give its"
        )


def their_config(model, vocabulary):
    """``config.json`` for their ``T5ForConditionalGeneration``."""
    config, rows = model.config, rows_of(vocabulary)
    start = config["decoder_start"] or vocabulary.roles["decoder_start"]
    return {
        "architectures": ["T5ForConditionalGeneration"],
        "model_type": "t5",
        **{name: config[ours] for ours, (name, _) in SIZES.items()},
        "num_decoder_layers": config["decoder_layers"],
        "feed_forward_proj": str(config["activation"]),
        "tie_word_embeddings": not config["untied_output"],
        "is_encoder_decoder": True,
        "vocab_size": rows.rows,
        "pad_token_id": rows.pad,
        "eos_token_id": rows.eos,
        "decoder_start_token_id": rows.order[vocabulary.indices[start]],
        "torch_dtype": "float32",
    }


def write_files(model, folder, safetensors=None, facts=None):
    """Fill a folder of theirs from a :class:`Model`, float32; returns the ``config.json``.

    facts: of the training, kept in ``config.json``. A vocabulary of our own making, which is not for
    their T5Tokenizer, goes along as it is, with a tokenizer of ours that reads it.
    """
    if model.vocabulary is None:
        raise UserError(f"{model.origin}: no vocabulary folder {VOCAB_FOLDER} beside it")
    vocabulary = Vocabulary.load(model.vocabulary)
    named = to_theirs(model.state, model.config, rows_of(vocabulary))
    config = their_config(model, vocabulary)
    if facts is not None:
        config[SECTION] = {**facts, "max_positions": model.config["max_positions"]}
    write_json(folder / CONFIG, config)
    if "hugging_face" in vocabulary.settings:
        write_json(folder / TOKENIZER_CONFIG, tokenizer_config(vocabulary))
        shutil.copyfile(vocabulary.path / MODEL, folder / THEIR_MODEL)
    else:
        vocabulary.copy_to(folder / VOCAB_FOLDER)
        write_tokenizer(folder, model.config["max_positions"])
    write_weights(named, folder / weights_name(folder, safetensors))
    return config


write_folder = partial(hugging_face.write_folder, write_files)  # (model, out, safetensors)
