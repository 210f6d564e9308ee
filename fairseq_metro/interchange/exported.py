"""METRO-T5 and its main model as a Hugging Face folder of our own kind, both ways.

Parameters keep our names; a table that has several of them is in the file once. The model's class
is that of :mod:`fairseq_metro.interchange.remote_code`.
"""

from pathlib import Path
from types import SimpleNamespace

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.files import read_json
from fairseq_metro.interchange.authors_keys import TOKENS
from fairseq_metro.interchange.hugging_face import CONFIG, read_weights
from fairseq_metro.interchange.training_facts import SECTION, training_of
from fairseq_metro.models.metro_t5.config import auxiliary_config
from fairseq_metro.vocabulary.authors import is_ours
from fairseq_metro.vocabulary.folder import VOCAB_FOLDER

MODEL_TYPE = "fairseq_metro"
SIZES = (
    "embed_dim", "ffn_dim", "attention_heads", "encoder_layers", "decoder_layers",
    "relative_position_buckets", "relative_position_max_distance", "max_positions", "dropout",
    "attention_dropout",
)  # fmt: skip
# Of a METRO-T5's pretraining, kept with the auxiliary model.
PRETRAINING = (
    "auxiliary_layers", "auxiliary_embed_dim", "auxiliary_dropout", "auxiliary_temperature",
    "share_auxiliary", "mlm_head", "rtd_head", "rtd_on", "clm_head", "copy_mechanism",
)  # fmt: skip
STARTS = ("decoder_start", "pretraining_decoder_start")


def is_exported(folder):
    """Whether ``folder`` is such a folder, by its ``config.json``."""
    path = Path(folder) / CONFIG
    config = read_json(path) if path.is_file() else None
    return isinstance(config, dict) and config.get("model_type") == MODEL_TYPE


def exported_config(model, vocabulary, facts):
    """``config.json`` for a ``Model`` of ours, metro_t5 or t5_transformer; facts: of its training."""
    config, auxiliary = model.config, None
    starts = {name: config[name] or vocabulary.roles[name] for name in STARTS}
    classes = {
        "AutoModelForSeq2SeqLM": "modeling_fairseq_metro.FairseqMetroForConditionalGeneration"
    }
    if _has_auxiliary(model.state):
        sizes = vars(auxiliary_config(SimpleNamespace(**config)))
        sizes = {key: sizes[key] for key in SIZES if key in sizes}
        kept = {key: _plain(config[key]) for key in PRETRAINING}
        auxiliary = {**sizes, "encoder_layers": config["auxiliary_layers"], **kept}
        classes["AutoModelForPreTraining"] = "pretraining_fairseq_metro.FairseqMetroForPreTraining"
    return {
        "architectures": [list(classes.values())[-1].rpartition(".")[2]],
        "auto_map": {"AutoConfig": "configuration_fairseq_metro.FairseqMetroConfig", **classes},
        "model_type": MODEL_TYPE,
        "vocab_size": len(model.state[TOKENS]),
        **{key: config[key] for key in SIZES},
        "bos_token_id": 0,
        "pad_token_id": 1,
        "eos_token_id": 2,
        "decoder_start_token_id": vocabulary.indices[starts["decoder_start"]],
        "is_encoder_decoder": True,
        "tie_word_embeddings": True,
        "use_cache": True,
        "torch_dtype": "float32",
        "auxiliary": auxiliary,
        SECTION: {**facts, **starts},
    }


def exported_state(state, config):
    """A state dict of ours with every table once. config: fields of our configuration."""
    return {key: value.contiguous() for key, value in state.items()
            if key not in aliases(state, config.get("share_auxiliary"))}  # fmt: skip


def aliases(state, share):
    """{name: the name under which the same table is kept} of a model's several names for one."""
    stacks = ["decoder", *["auxiliary"] * _has_auxiliary(state)]
    found = {f"{stack}.embed_tokens.weight": TOKENS for stack in stacks}
    positions, norm = ("positions.weight",), ("layer_norm.weight", "layer_norm.bias")
    parts = {"token_pos": positions, "token_pos_norm": positions + norm}
    if _has_auxiliary(state):
        for name in parts.get(str(share), ()):
            found[f"auxiliary.embedding.{name}"] = f"encoder.embedding.{name}"
    return found


def read_exported(folder, main_only, defaults):
    """The fields of a ``Model`` in such a folder, but its name: dict.

    main_only: without the auxiliary model and heads. defaults: of our configuration. Raises
    :class:`UserError`.
    """
    folder = Path(folder)
    theirs, (path, state) = read_json(folder / CONFIG), read_weights(folder)
    config = {key: theirs[key] for key in SIZES if key in theirs}
    if missing := [key for key in SIZES if key not in config]:
        raise UserError(f"{folder / CONFIG}: no {missing[0]}; export the model again")
    config |= {key: (theirs.get(SECTION) or {}).get(key, "") for key in STARTS}
    config |= {k: v for k, v in (theirs.get("auxiliary") or {}).items() if k in PRETRAINING}
    config = {**defaults, **config}
    if main_only:
        state = {k: v for k, v in state.items() if k.startswith(("encoder.", "decoder."))}
    if TOKENS not in state:
        raise UserError(f"{path}: no parameter {TOKENS} in it; export the model again")
    state = {key: value.float() for key, value in state.items()}
    for name, kept in aliases(state, config["share_auxiliary"]).items():
        state[name] = state[kept]
    vocabulary = folder / VOCAB_FOLDER
    updates, stamp = training_of(theirs)
    return {
        "config": config,
        "state": state,
        "vocabulary": vocabulary if is_ours(vocabulary) else None,
        "origin": str(folder),
        "num_updates": updates,
        "stamp": stamp,
    }


def _has_auxiliary(state):
    return any(key.startswith("auxiliary.") for key in state)


def _plain(value):
    """A choice of fairseq's as its text."""
    return value if isinstance(value, int | float | type(None)) else str(value)
