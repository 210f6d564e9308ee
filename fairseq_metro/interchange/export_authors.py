"""Export a model of ours in the authors' formats: a Hugging Face folder, or a training checkpoint."""

import logging
import shutil
from dataclasses import replace
from itertools import count
from pathlib import Path

import torch

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.files import write_json
from fairseq_metro.common.logs import messages_on_stderr
from fairseq_metro.common.whole_folder import whole_folder
from fairseq_metro.interchange import options
from fairseq_metro.interchange.authors_keys import (
    TOKENS,
    bucket_shift,
    layout_of_ours,
    to_theirs,
)
from fairseq_metro.interchange.hugging_face import POSITIONS, TOKENIZER_CONFIG, write_release
from fairseq_metro.interchange.model import METRO, read_model
from fairseq_metro.interchange.run_folder import LONGEST_BLOCK
from fairseq_metro.vocabulary.authors import THEIR_MODEL
from fairseq_metro.vocabulary.authors import sentinel as sentinel_name
from fairseq_metro.vocabulary.folder import DICTIONARY, MODEL, VOCAB_FOLDER, Vocabulary

logger = logging.getLogger(__name__)

CHECKPOINT = "checkpoint.pt"


@messages_on_stderr()
def main(argv=None):
    args = options.export_authors().parse_args(argv)
    if args.format == "training":
        export_training(args.source, args.out, args.main_only)
    else:
        export_hugging_face(args.source, args.out, args.fp32)
    return 0


def export_hugging_face(source, out, fp32=False):
    """Write a Hugging Face folder of the main model in ``source``."""
    model, vocabulary = _read(source, main_only=True)
    model = _within_their_positions(model)
    start = vocabulary.indices[model.config["decoder_start"] or vocabulary.roles["decoder_start"]]
    with whole_folder(out) as partial:
        write_release(partial, training_state(model), hugging_face_config(model, start), fp32)
        write_json(partial / TOKENIZER_CONFIG, {
            "tokenizer_class": "FairseqT5Tokenizer",
            "lower": vocabulary.settings["lowercase"],
            "n_sentinel_tokens": 0,  # dict.txt holds them
        })  # fmt: skip
        _copy_vocabulary(vocabulary, partial)
    logger.info("%s: the main model, %s", out, "fp32" if fp32 else "fp16")


def _within_their_positions(model):
    """The model with no more positions than their Hugging Face class has."""
    positions = model.config["max_positions"]
    if positions <= POSITIONS:
        return model
    logger.warning(
        f"{model.origin}: has {positions:,} positions, the authors' class {POSITIONS:,}; only these "
        "are exported, for sequences of as many tokens"
    )
    state = {
        key: value[:POSITIONS] if key.endswith(".embedding.positions.weight") else value
        for key, value in model.state.items()
    }
    return replace(model, state=state, config={**model.config, "max_positions": POSITIONS})


def export_training(source, out, main_only=False):
    """Write ``checkpoint.pt`` with the authors' names and options."""
    model, vocabulary = _read(source, main_only)
    config = training_config(model)
    state = {
        "args": None,
        "cfg": {"model": config, "task": training_task(model, vocabulary)},
        "model": training_state(model),
        "criterion": None,
        "optimizer_history": [
            {
                "criterion_name": "",
                "optimizer_name": "FairseqAdam",
                "lr_scheduler_state": {"best": None},
                "num_updates": model.num_updates,
            }
        ],
        "extra_state": {"train_iterator": {"epoch": 1, "iterations_in_epoch": 0}},
        "last_optimizer_state": None,
    }
    with whole_folder(out) as partial:
        torch.save(state, partial / CHECKPOINT)
        _copy_vocabulary(vocabulary, partial)
    logger.info("%s: %s", Path(out) / CHECKPOINT, config["_name"])


def training_state(model):
    """Their training state dict of a :class:`Model` of ours.

    Raises :class:`UserError` for what their model has no place for.
    """
    if model.name == METRO:
        _refuse_what_they_lack(model)
    config = model.config
    state = {key: value for key, value in model.state.items() if model.name == METRO
             or not key.startswith(("auxiliary.", "mlm_head.", "rtd_head.", "clm_head."))}  # fmt: skip
    shift = bucket_shift(
        config["relative_position_buckets"],
        config["relative_position_max_distance"],
        config["max_positions"],
    )
    return to_theirs(state, layout_of_ours(state), {"encoder": shift, "auxiliary": shift})


def training_task(model, vocabulary):
    """Their task's options: pretraining, or fine-tuning for a main model alone.

    When it starts, their pretraining task adds the sentinels ``<sen000>`` to that of number
    ``tokens_per_sample - 1`` to the dictionary. Here they are in ``dict.txt``, as far as the model has
    rows for them, so a block can be no longer than there are sentinels.
    """
    sentinels = next(i for i in count() if sentinel_name(i) not in vocabulary.indices)
    lengths = (model.task.get(name) for name in ("tokens_per_sample", "max_source_length"))
    length = next((n for n in lengths if isinstance(n, int) and n > 0), LONGEST_BLOCK)
    length = min(length, model.config["max_positions"])
    if model.name != METRO:
        return {"_name": "t5_prompt_finetuning", "data": "", "tokens_per_sample": length}
    if length > sentinels:
        logger.warning(
            f"{vocabulary.path}: has {sentinels} sentinels called {sentinel_name(0)} and so on; the "
            f"authors' pretraining task wants one for each of {length} tokens of a block, and would "
            "add symbols that the model has no rows for"
        )
        length = sentinels or length
    task = {"_name": "t5_metro", "data": "", "tokens_per_sample": length}
    return task | {key: model.task[key] for key in ("sample_break_mode", "mask_prob", "seed")
                   if key in model.task}  # fmt: skip


def _refuse_what_they_lack(model):
    wanted = {
        "mlm_head": "transform",
        "clm_head": "linear",
        "rtd_on": "encoder",
        "copy_mechanism": False,
        "auxiliary_temperature": 1.0,
    }
    for name, value in wanted.items():
        if model.config.get(name, value) != value:
            raise UserError(
                f"{model.origin}: --{name.replace('_', '-')} is {model.config[name]}, the authors' "
                f"model has {value} only; export the main model alone (--main-only)"
            )
    if model.config.get("auxiliary_embed_dim", 0) not in (0, model.config["embed_dim"]):
        raise UserError(
            f"{model.origin}: --auxiliary-embed-dim is {model.config['auxiliary_embed_dim']}, the "
            "authors' generator is as wide as the main model; export that alone (--main-only)"
        )


def training_config(model):
    """Their model options for a model of ours."""
    config = model.config
    both = {
        "embed_dim": config["embed_dim"],
        "ffn_embed_dim": config["ffn_dim"],
        "attention_heads": config["attention_heads"],
        "learned_pos": True,
        "normalize_before": False,
    }
    theirs = {f"{side}_{key}": both[key] for side in ("encoder", "decoder") for key in both}
    # Of their architectures, whose sizes are only what is not given here.
    name = "t5_metro_base_rpe" if model.name == METRO else "transformer_t5_base_rpe"
    theirs.update(
        _name=name,
        arch=name,
        encoder_layers=config["encoder_layers"],
        decoder_layers=config["decoder_layers"],
        encoder_rel_pos=True,
        encoder_rp_bins=config["relative_position_buckets"],
        encoder_rp_max_dist=config["relative_position_max_distance"],
        decoder_rel_pos=False,
        max_positions=config["max_positions"],
        max_source_positions=config["max_positions"],
        max_target_positions=config["max_positions"],
        activation_fn="relu",
        dropout=config["dropout"],
        attention_dropout=config["attention_dropout"],
        activation_dropout=0.0,
        layernorm_embedding=True,
        no_scale_embedding=True,
        share_all_embeddings=True,
        share_decoder_input_output_embed=True,
    )
    if model.name == METRO:
        theirs.update(
            generator_layers=config["auxiliary_layers"],
            generator_zero_dropout=config["auxiliary_dropout"] == 0,
            rtd_head=config["rtd_head"],
            share_generator_discriminator_embed=config["share_auxiliary"],
        )
    return theirs


def hugging_face_config(model, decoder_start):
    """``config.json`` for a model of ours; decoder_start: the id its decoder starts with."""
    config = model.config
    return {
        "architectures": ["FairseqT5ForConditionalGeneration"],
        "vocab_size": model.state[TOKENS].size(0),
        "d_model": config["embed_dim"],
        "d_kv": config["embed_dim"] // config["attention_heads"],
        "d_ff": config["ffn_dim"],
        "num_layers": config["encoder_layers"],
        "num_decoder_layers": config["decoder_layers"],
        "num_heads": config["attention_heads"],
        "relative_attention_num_buckets": config["relative_position_buckets"],
        "relative_attention_max_distance": config["relative_position_max_distance"],
        "max_positions": config["max_positions"],
        "dropout_rate": config["dropout"],
        "layer_norm_epsilon": 1e-5,
        "initializer_factor": 1.0,
        "feed_forward_proj": "relu",
        "tie_word_embeddings": True,
        "is_encoder_decoder": True,
        "use_cache": True,
        "pad_token_id": 1,
        "eos_token_id": 2,
        "decoder_start_token_id": decoder_start,
        "torch_dtype": "float32",
    }


def _read(source, main_only):
    model = read_model(source, main_only)
    if model.vocabulary is None:
        raise UserError(f"{model.origin}: no vocabulary beside it (vocab/); copy the run's there")
    vocabulary = Vocabulary.load(model.vocabulary)
    if vocabulary.settings["normalization"] != "metro":
        logger.warning(
            f"{vocabulary.path}: its text is not normalised as the authors' tokenizer always does; "
            "the exported dict.txt and sp.model give other ids there, vocab/ the right ones here"
        )
    return model, vocabulary


def _copy_vocabulary(vocabulary, folder):
    shutil.copyfile(vocabulary.path / MODEL, folder / THEIR_MODEL)
    shutil.copyfile(vocabulary.path / DICTIONARY, folder / DICTIONARY)
    vocabulary.copy_to(folder / VOCAB_FOLDER)
