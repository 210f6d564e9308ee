"""A model outside of any run: our configuration and parameters, from files of ours or theirs."""

import argparse
import logging
from dataclasses import dataclass, field, fields
from pathlib import Path

import torch

from fairseq_metro.common.errors import UserError
from fairseq_metro.interchange.authors_keys import (
    OFFSET,
    THEIR_STACK,
    TOKENS,
    bucket_shift,
    layout_of_theirs,
    to_ours,
)
from fairseq_metro.interchange.checkpoint_settings import AUTHORS_KEY, checked_group
from fairseq_metro.interchange.exported import is_exported, read_exported
from fairseq_metro.interchange.hugging_face import is_release, read_release
from fairseq_metro.models.checked_loading import refuse_not_finite
from fairseq_metro.models.metro_t5 import MetroT5Config
from fairseq_metro.models.soft_prompt import PROMPT, frozen_model
from fairseq_metro.trainer.checkpoint_names import find_checkpoint
from fairseq_metro.trainer.checkpoints import load_weights_only, read_facts
from fairseq_metro.vocabulary.authors import is_ours, is_theirs
from fairseq_metro.vocabulary.folder import VOCAB_FOLDER

logger = logging.getLogger(__name__)

# Distances their architectures have for a number of buckets; their converter does not write them.
DISTANCE_OF_BUCKETS = {32: 128, 128: 256}
HUGGING_FACE_DISTANCE = 128  # what their Hugging Face class then assumes

METRO, MAIN, HF_T5, ROBERTA = "metro_t5", "t5_transformer", "hf_t5", "roberta_mlm"
DEFAULTS = {f.name: f.default for f in fields(MetroT5Config) if not f.name.startswith("_")}


@dataclass(frozen=True)
class Model:
    """name: ``metro_t5``, ``t5_transformer``, ``hf_t5`` or ``roberta_mlm``; config: fields of that
    model's configuration; state: our parameter names -> float32; vocabulary: the folder beside it,
    ours or theirs, or None; origin: what a message calls it; num_updates: of its training, as far
    as known; stamp: of the run it comes from, if that was one of ours; task: options of its training.
    """

    name: str
    config: dict
    state: dict
    vocabulary: Path | None
    origin: str
    num_updates: int = 0
    stamp: dict = field(default_factory=dict)
    task: dict = field(default_factory=dict)


def read_model(source, main_only=False, max_positions=None, given=None, defaults=None):
    """The :class:`Model` in a run's folder of ours, a checkpoint file of ours or the authors', or a
    Hugging Face folder: a release of theirs, or what ``fairseq-metro export-hf`` made of ours.

    main_only: leave the auxiliary model and the RTD head. max_positions: keep only so many. given:
    ``max_distance`` and ``heads`` that win over what the files say; defaults: the same, where they
    say nothing. The last three are for the authors' files. Raises :class:`UserError`.
    """
    source = Path(source)
    if source.is_dir() and is_exported(source):
        fields = read_exported(source, main_only, DEFAULTS)
        metro = any(key.startswith("auxiliary.") for key in fields["state"])
        return Model(METRO if metro else MAIN, **fields)
    if source.is_dir() and is_release(source):
        theirs, config = read_release(source)
        facts = _hugging_face_facts(source, config)
        return _from_theirs(source, theirs, facts, 0, main_only, max_positions, given, defaults)
    source = find_checkpoint(source)
    state = read_checkpoint(source)
    if AUTHORS_KEY in state["model"]:
        facts = _training_facts(state)
        updates = (state.get("optimizer_history") or [{}])[-1].get("num_updates", 0)
        return _from_theirs(
            source, state["model"], facts, updates, main_only, max_positions, given, defaults
        )
    if "encoder.embedding.layer_norm.weight" not in state["model"]:
        settings = model_settings(state)
        name = settings.get("_name") or settings.get("arch") or "another model"
        raise UserError(f"{source}: a checkpoint of {name!a}, neither ours nor the authors'")
    return _from_ours(source, state, main_only)


def read_checkpoint(path):
    """A fairseq checkpoint as a dict, by weights-only loading.

    Beyond what torch allows only ``argparse.Namespace`` is: the authors' architecture has no
    dataclass, so their files hold one. Raises :class:`UserError` that lists what else is in it.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such file or folder")
    with torch.serialization.safe_globals([argparse.Namespace]):
        state = load_weights_only(path)
    if PROMPT in state["model"]:
        raise UserError(
            f"{path}: a soft prompt and no model; give the model it was trained with, "
            f"{frozen_model(state['model'])['path']}"
        )
    refuse_not_finite(state["model"], path)
    return state


# Theirs


def plain_settings(settings):
    """A dict of a Namespace, a dict, or None."""
    if isinstance(settings, argparse.Namespace):
        return vars(settings)
    return settings if isinstance(settings, dict) else {}


def model_settings(state):
    """The options of a checkpoint's model, ``cfg.model`` or the older ``args``, as a dict."""
    model = plain_settings(state.get("cfg")).get("model")
    return plain_settings(model) or plain_settings(state.get("args"))


def _training_facts(state):
    """What their checkpoint says of the model, as a flat dict of their option names.

    ``cfg.model`` (a Namespace, or a dict whose encoder is one of its own) or ``args``. The number of
    layers and the dropouts in it are not used: building the generator overwrites them.
    """
    settings = model_settings(state)
    facts = dict(settings)
    for name, value in plain_settings(settings.get("encoder")).items():
        facts.setdefault(f"encoder_{name}", value)
    return {
        "max_distance": facts.get("encoder_rp_max_dist"),
        "heads": facts.get("encoder_attention_heads"),
        "auxiliary_dropout": None if facts.get("generator_zero_dropout") is False else 0.0,
        "checks": {
            "encoder_normalize_before": (facts.get("encoder_normalize_before"), False),
            "decoder_normalize_before": (facts.get("decoder_normalize_before"), False),
            "activation_fn": (facts.get("activation_fn"), "relu"),
            "no_scale_embedding": (facts.get("no_scale_embedding"), True),
        },
    }


def _hugging_face_facts(folder, config):
    distance = config.get("relative_attention_max_distance")
    buckets = config.get("relative_attention_num_buckets")
    if distance is None:
        distance = DISTANCE_OF_BUCKETS.get(buckets)
        if distance not in (None, HUGGING_FACE_DISTANCE):
            logger.warning(
                f"{folder}: config.json has no relative_attention_max_distance; {distance} is "
                f"taken, with which the authors trained {buckets} buckets (their Hugging Face "
                f"class takes {HUGGING_FACE_DISTANCE})"
            )
    return {
        "max_distance": distance,
        "heads": config.get("num_heads"),
        "reach": _reach(folder, config),
        "checks": {
            "feed_forward_proj": (config.get("feed_forward_proj"), "relu"),
            "layer_norm_epsilon": (config.get("layer_norm_epsilon"), 1e-5),
            "tie_word_embeddings": (config.get("tie_word_embeddings"), True),
            "decoder_start_token_id": (config.get("decoder_start_token_id"), 2),
            "vocab_size": (config.get("vocab_size"), None),
        },
    }


def _reach(folder, config):
    """Positions for which their class numbers the relative buckets: ``max_positions``, or None.

    The class always has 1,024 positions, whatever this field says; it cannot read a sequence that is
    longer than either.
    """
    reach = config.get("max_positions")
    if reach is not None and (isinstance(reach, bool) or not isinstance(reach, int) or reach < 1):
        raise UserError(f"{folder}: max_positions is {reach!r}, must be a whole number from 1 up")
    return reach


def _from_theirs(source, theirs, facts, updates, main_only, max_positions, given, defaults):
    given = {key: value for key, value in (given or {}).items() if value is not None}
    try:
        known = {key: facts.get(key) for key in ("max_distance", "heads")}
        known.update(given)
        for key, value in (defaults or {}).items():
            if known[key] is None:
                logger.warning(f"{source}: does not say its {key}; {value} is taken")
                known[key] = value
        if main_only:
            theirs = {k: v for k, v in theirs.items() if not k.startswith(("generator.", "rtd_"))}
        theirs = {key: value.float() for key, value in theirs.items()}
        rows = theirs[TOKENS].size(0) if TOKENS in theirs else None
        for name, (value, right) in facts["checks"].items():
            right = rows if name == "vocab_size" else right
            if value is not None and value != right:
                raise UserError(f"{name} is {value!r}, but our model has {right!r}")
        config, shift = _config_of_theirs(theirs, facts, known, max_positions)
        layout = layout_of_theirs(theirs)
        state = to_ours(theirs, layout, shift, config["max_positions"])
    except UserError as error:
        raise UserError(f"{source}: {error}") from None
    _fill_in_absent_tables(state, layout, config)
    name = METRO if layout.auxiliary else MAIN
    if name == MAIN:
        # A fine-tuned model may have kept an RTD head; without the generator it has no use.
        state = {key: value for key, value in state.items() if not key.startswith("rtd_head.")}
    folder = source if source.is_dir() else source.parent
    vocabulary = next((f for f in (folder / VOCAB_FOLDER, folder) if is_ours(f)), None)
    if vocabulary is None and is_theirs(folder):
        vocabulary = folder
    return Model(name, config, state, vocabulary, str(source), updates or 0)


def _config_of_theirs(theirs, facts, known, max_positions):
    """Fields of our configuration, by the shapes of their parameters; and the tables' shifts."""
    layout = layout_of_theirs(theirs)
    if not (layout.encoder and layout.decoder and TOKENS in theirs):
        raise UserError("no encoder and decoder in it; is this the authors' METRO-T5?")
    reach = facts.get("reach")
    positions = _positions(theirs, reach, max_positions)
    smallest = min(positions.values())
    heads, distance = known["heads"], known["max_distance"]
    buckets = 32
    if layout.relative:
        table = theirs["encoder.layers.0.self_attn_rel_pos.rel_attn_bias.weight"]
        buckets, of_table = table.shape
        if heads is not None and heads != of_table:
            raise UserError(f"{heads} attention heads, but its relative tables have {of_table}")
        heads = of_table
        if distance is None:
            raise UserError(
                "its relative-position distance is not in the file; give --max-distance (the "
                "authors have 128 with 32 buckets, 256 with 128)"
            )
    if heads is None:
        raise UserError("its number of attention heads is not in the file; give --heads")
    if theirs[TOKENS].size(1) % heads:
        raise UserError(f"{heads} heads cannot share a width of {theirs[TOKENS].size(1)}")
    distance = distance or DISTANCE_OF_BUCKETS[buckets]
    config = dict(
        DEFAULTS,
        embed_dim=theirs[TOKENS].size(1),
        ffn_dim=theirs["encoder.layers.0.fc1.weight"].size(0),
        attention_heads=heads,
        encoder_layers=layout.encoder,
        decoder_layers=layout.decoder,
        relative_position_buckets=buckets,
        relative_position_max_distance=distance,
        max_positions=max_positions or min(smallest, reach or smallest),
        initialization="release",
    )
    if layout.auxiliary:
        config.update(
            auxiliary_layers=layout.auxiliary,
            auxiliary_dropout=facts.get("auxiliary_dropout"),
            share_auxiliary=_sharing(theirs),
            mlm_head="transform",
            rtd_head=layout.rtd_head or "roberta",
        )
    shift = {
        stack: bucket_shift(buckets, distance, reach or rows) for stack, rows in positions.items()
    }
    return config, shift


def _positions(theirs, reach, max_positions):
    """Positions of each stack; they must agree, or be cut by ``max_positions`` or ``reach``."""
    positions = {}
    for stack, prefix in THEIR_STACK.items():
        if (key := f"{prefix}.embed_positions.weight") in theirs:
            positions[stack] = theirs[key].size(0) - OFFSET
    if not positions:
        raise UserError("no position tables in it; is this the authors' METRO-T5?")
    smallest = min(positions.values())
    differ = len(set(positions.values())) > 1
    if reach is not None and reach <= smallest:
        smallest, differ = reach, False
    if max_positions is None and differ:
        each = ", ".join(f"{stack} {rows}" for stack, rows in positions.items())
        raise UserError(
            f"its position tables differ in length ({each}), ours do not; give --max-positions "
            f"{smallest} to cut them, or import the main model alone"
        )
    if max_positions is not None and not 0 < max_positions <= smallest:
        raise UserError(f"--max-positions is {max_positions}, must be 1 to {smallest}")
    return positions


def _sharing(theirs):
    """Which tables main and auxiliary model share, by their values."""

    def same(name):
        key = f"generator.sentence_encoder.{name}"
        return key in theirs and torch.equal(theirs[key], theirs[f"encoder.{name}"])

    if not same("embed_positions.weight"):
        return "token"
    norm = [same(f"layernorm_embedding.{name}") for name in ("weight", "bias")]
    return "token_pos_norm" if all(norm) else "token_pos"


def _fill_in_absent_tables(state, layout, config):
    """Relative tables of zeros for an encoder that has none: the same function."""
    shape = config["relative_position_buckets"], config["attention_heads"]
    for stack in ("encoder", "auxiliary"):
        if stack not in layout.relative:
            for i in range(getattr(layout, stack)):
                state[f"{stack}.relative_positions.{i}.weight"] = torch.zeros(shape)


# Ours


def _from_ours(path, state, main_only):
    facts = read_facts(path)
    metro = any(key.startswith("auxiliary.") for key in state["model"])
    left = ("auxiliary.", "rtd_head.", "mlm_head.", "clm_head.")
    parameters = {
        key: value.float()
        for key, value in state["model"].items()
        if not (main_only and key.startswith(left))
    }
    settings = checked_group("model", facts["cfg"].get("model"), path)
    saved = {key: value for key, value in settings.items() if key != "_name"}
    folders = [folder / VOCAB_FOLDER for folder in (path.parent, path.parent.parent)]
    return Model(
        METRO if metro and not main_only else MAIN,
        {**DEFAULTS, **saved},
        parameters,
        next(filter(is_ours, folders), None),
        str(path),
        facts["num_updates"] or 0,
        facts["task_state"].get("stamp", {}),
        facts["cfg"].get("task") or {},
    )
