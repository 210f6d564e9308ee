"""Export a roberta_mlm model of ours as a Hugging Face folder, which RobertaForMaskedLM loads.

It holds config.json, float32 weights and the tokenizer: RoBERTa's own files where the model was
imported; for a model trained here vocab/, our SentencePiece vocabulary, which has no class of theirs.
"""

import argparse
import logging
import sys
from importlib.util import find_spec
from pathlib import Path

import torch

from fairseq_metro.data.vocabulary import DICTIONARY, VOCAB_FOLDER
from fairseq_metro.errors import UserError
from fairseq_metro.files import write_json
from fairseq_metro.interchange.authors_keys import TOKENS
from fairseq_metro.interchange.export_t5 import FORMATS
from fairseq_metro.interchange.hugging_face import CONFIG, SAFE_WEIGHTS, TOKENIZER_CONFIG, WEIGHTS
from fairseq_metro.interchange.roberta import FIXED, PAD, SIZES, read_run, vocabulary_of
from fairseq_metro.interchange.roberta_keys import to_hugging_face
from fairseq_metro.interchange.roberta_vocabulary import is_byte_level
from fairseq_metro.interchange.whole_folder import whole_folder

logger = logging.getLogger(__name__)


def main(argv=None):
    parser = argparse.ArgumentParser(
        prog="export_roberta.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("source", type=Path, help="a run's folder of ours, or one of its checkpoints")
    add("--out", required=True, type=Path, help="the folder to write")
    add("--format", choices=FORMATS, default="auto",
        help="safetensors: model.safetensors; bin: pytorch_model.bin; auto: the first if its "
             "package is installed (default)")  # fmt: skip
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    write_folder(read_run(args.source), args.out, FORMATS[args.format])
    logger.info("%s: written", args.out)
    return 0


def their_config(model):
    """``config.json`` for their ``RobertaForMaskedLM``, from a :class:`Model`."""
    return {
        "architectures": ["RobertaForMaskedLM"],
        "model_type": "roberta",
        **{name: model.config[ours] for ours, (name, _) in SIZES.items()},
        **FIXED,
        "max_position_embeddings": model.config["max_positions"] + PAD + 1,
        "type_vocab_size": 1,
        "tie_word_embeddings": True,
        "vocab_size": model.state[TOKENS].size(0),
        "torch_dtype": "float32",
    }


def write_folder(model, out, safetensors=None):
    """Write a folder of theirs from a :class:`Model`; weights are float32.

    safetensors: whether as ``model.safetensors`` (None: if that package is installed) or as
    ``pytorch_model.bin``. Raises :class:`UserError`, and leaves nothing half-written.
    """
    vocabulary = vocabulary_of(model)
    if safetensors is None:
        safetensors = find_spec("safetensors") is not None
    elif safetensors and find_spec("safetensors") is None:
        raise UserError(f"{out}: {SAFE_WEIGHTS} needs the package safetensors; install it, or "
                        "give --format bin")  # fmt: skip
    named = to_hugging_face(model.state, model.config["encoder_layers"])
    with whole_folder(out) as partial:
        write_json(partial / CONFIG, their_config(model))
        if is_byte_level(vocabulary.path):
            vocabulary.write_into(partial)
            (partial / DICTIONARY).unlink()
            longest = model.config["max_positions"]
            write_json(
                partial / TOKENIZER_CONFIG,
                {"tokenizer_class": "RobertaTokenizer", "model_max_length": longest},
            )
        else:
            vocabulary.copy_to(partial / VOCAB_FOLDER)
        if safetensors:
            from safetensors.torch import save_file

            save_file(named, partial / SAFE_WEIGHTS, metadata={"format": "pt"})
        else:
            torch.save(named, partial / WEIGHTS)
