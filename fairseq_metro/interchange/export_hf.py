"""Export any model of ours to a folder that Hugging Face's transformers loads."""

import logging
import tempfile
from pathlib import Path

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.files import read_json, write_json
from fairseq_metro.common.logs import messages_on_stderr
from fairseq_metro.common.whole_folder import whole_folder
from fairseq_metro.interchange import export_roberta, hf_t5, options, roberta
from fairseq_metro.interchange.authors_keys import TOKENS
from fairseq_metro.interchange.export_code import MODEL_CODE, write_code, write_tokenizer
from fairseq_metro.interchange.exported import SIZES, exported_config, exported_state
from fairseq_metro.interchange.hugging_face import (
    CONFIG,
    SAFE_WEIGHTS,
    is_release,
    weights_name,
    write_weights,
)
from fairseq_metro.interchange.model import (
    HF_T5,
    ROBERTA,
    model_settings,
    read_checkpoint,
    read_model,
)
from fairseq_metro.interchange.model_card import model_card
from fairseq_metro.interchange.run_folder import place_vocabulary
from fairseq_metro.interchange.training_facts import facts_of
from fairseq_metro.trainer.checkpoint_names import find_checkpoint
from fairseq_metro.vocabulary.folder import VOCAB_FOLDER, Vocabulary

logger = logging.getLogger(__name__)

LONGEST_OUTPUT = 200  # fairseq's max_len_b


@messages_on_stderr()
def main(argv=None):
    args = options.export_hf().parse_args(argv)
    export_hf(args.source, args.out, args.title, args.with_auxiliary)
    return 0


def export_hf(source, out, title=None, with_auxiliary=False):
    """Write the folder ``out``, whole or not at all. Raises :class:`UserError`."""
    with tempfile.TemporaryDirectory() as scratch:
        model = read_any(source, scratch, with_auxiliary)
        if model.vocabulary is None:
            raise UserError(
                f"{model.origin}: no vocabulary beside it ({VOCAB_FOLDER}); put it there"
            )
        weights_name(out, True)
        with whole_folder(out) as partial:
            facts, write = facts_of(model, title), WRITERS.get(model.name, write_own)
            sizes = write(model, partial, facts)
            remote_code = any(partial.glob("*.py"))
            parameters = sum({v.data_ptr(): v.numel() for v in model.state.values()}.values())
            card = model_card(facts, sizes, parameters, remote_code)
            (partial / "README.md").write_text(card, "utf-8")
    logger.info(
        "%s: %s, %s parameters%s", out, model.name, f"{parameters:,}",
        "; load it with trust_remote_code=True" if remote_code else "",
    )  # fmt: skip


def read_any(source, scratch, with_auxiliary=False):
    """The ``Model`` in anything of ours or that we read; scratch: an existing empty folder."""
    source = Path(source)
    if source.is_dir() and is_release(source):
        theirs = read_json(source / CONFIG)
        theirs = theirs if isinstance(theirs, dict) else {}
        authors = any("Fairseq" in str(name) for name in theirs.get("architectures") or [])
        if theirs.get("model_type") == "roberta":
            return roberta.read_folder(source)
        if theirs.get("model_type") in ("t5", "mt5") and not authors:
            return hf_t5.read_folder(source, scratch)
        return read_model(source, main_only=not with_auxiliary)
    path = find_checkpoint(source)
    state = read_checkpoint(path)
    if "lm_head.dense.weight" in state["model"]:
        return roberta.read_run(path)
    if "head_dim" in model_settings(state):
        return hf_t5.read_run(path)
    return read_model(path, main_only=not with_auxiliary)


def write_own(model, folder, facts):
    """A metro_t5 or t5_transformer into an existing folder; returns what the card lists of sizes."""
    (folder / VOCAB_FOLDER).mkdir()
    place_vocabulary(model.vocabulary, folder / VOCAB_FOLDER, len(model.state[TOKENS]))
    config = exported_config(model, Vocabulary.load(folder / VOCAB_FOLDER), facts)
    write_json(folder / CONFIG, config)
    write_generation(folder, config)
    write_tokenizer(folder, config["max_positions"])
    write_code(MODEL_CODE, folder)
    write_weights(exported_state(model.state, model.config), folder / SAFE_WEIGHTS)
    return {key: config[key] for key in ("vocab_size", *SIZES) if "dropout" not in key}


def write_t5(model, folder, facts):
    """A hf_t5, as :func:`write_own`."""
    config = hf_t5.write_files(model, folder, True, facts)
    write_generation(folder, config)
    return _sizes(config, hf_t5.SIZES, "num_decoder_layers")


def write_roberta(model, folder, facts):
    """A roberta_mlm, as :func:`write_own`."""
    config = export_roberta.write_files(model, folder, True, facts)
    return _sizes(config, roberta.SIZES, "max_position_embeddings")


def write_generation(folder, config):
    """``generation_config.json``: lengths as fairseq's, within the model's; like it, no ``<pad>``."""
    ids = ("bos_token_id", "pad_token_id", "eos_token_id", "decoder_start_token_id")
    write_json(folder / "generation_config.json", {
        **{key: config[key] for key in ids if key in config},
        "max_new_tokens": min(LONGEST_OUTPUT, config.get("max_positions", LONGEST_OUTPUT)),
        "suppress_tokens": [config["pad_token_id"]],
    })  # fmt: skip


def _sizes(config, names, *others):
    keys = ["vocab_size", *(name for ours, (name, _) in names.items() if "dropout" not in ours)]
    return {key: config[key] for key in (*keys, *others)}


WRITERS = {HF_T5: write_t5, ROBERTA: write_roberta}
