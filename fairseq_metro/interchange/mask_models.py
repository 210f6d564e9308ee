"""Models that are asked for the word at the mask of a prompt: RoBERTa's kind and T5's, from anywhere.

RoBERTa answers at its mask. T5 is given the first sentinel where the mask would be, and a decoder
input of its start symbol and that sentinel: what it predicts after both is the word (SMASH, sections
4.6 and A.1: "the second generated token").
"""

import tempfile
from pathlib import Path
from typing import NamedTuple

import torch

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.files import read_json
from fairseq_metro.interchange import hf_t5
from fairseq_metro.interchange.hugging_face import CONFIG, is_release
from fairseq_metro.interchange.model import HF_T5, read_checkpoint, read_model
from fairseq_metro.interchange.roberta import load_roberta
from fairseq_metro.models.hf_t5 import HfT5Config, HfT5Model
from fairseq_metro.models.metro_t5 import T5TransformerConfig, T5TransformerModel
from fairseq_metro.trainer.checkpoint_names import find_checkpoint
from fairseq_metro.vocabulary.folder import VOCAB_FOLDER, Vocabulary
from fairseq_metro.vocabulary.tokenizers import T5, VocabularyTokenizer

START = "pretraining_decoder_start"  # role, and field of a model's configuration


class MaskModel(NamedTuple):
    """model: in evaluation mode, float32; tok: its tokenizer (smash/tokenizers.py).

    decoder_input: None for RoBERTa; for T5 the two ids that its decoder is given.
    """

    model: torch.nn.Module
    tok: object
    decoder_input: list | None = None


def load_mask_model(path):
    """The :class:`MaskModel` of a local Hugging Face folder, a run's folder or a checkpoint.

    A METRO-T5 is its main model alone. Raises :class:`UserError`.
    """
    if not is_t5(path):
        return MaskModel(*load_roberta(path))
    model, vocabulary, start = load_t5(path)
    tok = VocabularyTokenizer(vocabulary, T5)
    return MaskModel(model.eval(), tok, [start, tok.mask])


def is_t5(path):
    """Whether a model has a decoder, and so is of T5's kind. Raises :class:`UserError`."""
    path = Path(path)
    if path.is_dir() and is_release(path):
        theirs = read_json(path / CONFIG)
        return isinstance(theirs, dict) and theirs.get("model_type") != "roberta"
    state = read_checkpoint(find_checkpoint(path))
    return any("decoder.layers." in key for key in state["model"])


def load_t5(path):
    """(model, its Vocabulary, id of the symbol its decoder began with in pretraining).

    path: as for :func:`load_mask_model`. Raises :class:`UserError`.
    """
    with tempfile.TemporaryDirectory() as scratch:
        found = _read_t5(path, scratch)
        if found.vocabulary is None:
            raise UserError(f"{path}: no {VOCAB_FOLDER} folder beside it; put it there")
        vocabulary = Vocabulary.load(found.vocabulary)
        dictionary = vocabulary.dictionary()
    model_class, config = T5TransformerModel, T5TransformerConfig
    if found.name == HF_T5:
        model_class, config = HfT5Model, HfT5Config
    known = {key: value for key, value in found.config.items() if hasattr(config, key)}
    model = model_class(config(**known), dictionary)
    model.load_state_dict(found.state)
    return model, vocabulary, vocabulary.indices[known.get(START) or vocabulary.roles[START]]


def _read_t5(path, scratch):
    path = Path(path)
    if path.is_dir() and is_release(path):
        if read_json(path / CONFIG).get("model_type") in ("t5", "mt5"):
            return hf_t5.read_folder(path, scratch)
        return read_model(path, main_only=True)
    try:
        return hf_t5.read_run(path)
    except UserError:
        return read_model(path, main_only=True)
