"""A run's folder of ours from a :class:`Model`: ``checkpoint_last.pt`` and ``vocab/``.

The checkpoint is as fairseq writes it: full configuration, plain values, weights-only loading.
"""

import dataclasses
import shutil
import warnings
from pathlib import Path

import torch
from fairseq import options
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from omegaconf import OmegaConf

import fairseq_metro
from fairseq_metro.common.errors import UserError
from fairseq_metro.common.stamp import make_stamp
from fairseq_metro.common.whole_folder import whole_folder
from fairseq_metro.interchange.authors_keys import TOKENS
from fairseq_metro.interchange.model import HF_T5, MAIN, METRO, ROBERTA
from fairseq_metro.models.hf_t5 import HfT5Config
from fairseq_metro.models.metro_t5 import MetroT5Config, T5TransformerConfig
from fairseq_metro.models.roberta import RobertaMLMConfig
from fairseq_metro.trainer.checkpoints import LAST
from fairseq_metro.vocabulary.authors import (
    full_symbols,
    is_ours,
    write_vocabulary,
)
from fairseq_metro.vocabulary.folder import VOCAB_FOLDER, Vocabulary
from fairseq_metro.vocabulary.roberta import is_byte_level, open_vocabulary

CONFIGS = {
    METRO: MetroT5Config,
    MAIN: T5TransformerConfig,
    HF_T5: HfT5Config,
    ROBERTA: RobertaMLMConfig,
}
TASKS = {METRO: "metro_t5", ROBERTA: "masked_lm_blocks"}  # others: t5; the criterion's name too
LONGEST_BLOCK = 512  # tokens_per_sample of the paper


def write_run_folder(model, out, vocabulary_folder=None, lowercase=None):
    """Write ``out`` from a :class:`Model`; the vocabulary is the given folder's, ours or theirs, or
    the one beside the model.

    Raises :class:`UserError` where no vocabulary is there, or one of another size.
    """
    out, rows = Path(out), model.state[TOKENS].size(0)
    folder = vocabulary_folder or model.vocabulary
    if folder is None:
        raise UserError(
            f"{model.origin}: no sp.model and dict.txt beside it; give their folder with --vocab"
        )
    with whole_folder(out) as partial:
        vocab = partial / VOCAB_FOLDER
        vocab.mkdir()
        place_vocabulary(folder, vocab, rows, lowercase)
        torch.save(run_state(model, open_vocabulary(vocab), out), partial / LAST)
    return out / LAST


def run_state(model, vocabulary, folder):
    """What fairseq keeps in a checkpoint: dict. model: a :class:`Model`; folder: of its task's data."""
    stamp = make_stamp(vocabulary=vocabulary.hash, data=[], imported_from=model.origin)
    if model.stamp:  # of a run of ours: it says more
        stamp = {"updates": model.num_updates, **model.stamp, "vocabulary": vocabulary.hash}
    return {
        "args": None,
        "cfg": run_config(model, vocabulary, folder),
        "model": model.state,
        "criterion": None,
        "optimizer_history": [
            {
                "criterion_name": "",
                "optimizer_name": "",
                "lr_scheduler_state": {},
                "num_updates": 0,
            }
        ],
        "task_state": {"stamp": stamp, "initial_validation": {}},
        # A run that resumes from it starts its first epoch.
        "extra_state": {"train_iterator": {"epoch": 1, "iterations_in_epoch": 0}},
        "last_optimizer_state": None,
    }


def place_vocabulary(folder, out, rows, lowercase=None):
    """Our three files in ``out`` from a folder of ours or theirs, with ``rows`` symbols in all;
    of a byte-level tokenizer, its own files and dict.txt."""
    folder = Path(folder)
    if is_byte_level(folder):
        vocabulary = open_vocabulary(folder)
        symbols = len(vocabulary)
        vocabulary.write_into(Path(out))
    elif is_ours(folder):
        symbols = len(Vocabulary.load(folder))
        for path in (folder / name for name in ("spm.model", "dict.txt", "tokenizer.json")):
            shutil.copyfile(path, out / path.name)
    else:
        bare = len(full_symbols(folder, 0))
        symbols = len(full_symbols(folder, max(0, rows - bare)))
        if symbols == rows:
            write_vocabulary(folder, out, rows - bare, lowercase)
    if symbols != rows:
        raise UserError(
            f"{folder}: a vocabulary of {symbols} symbols, but the model's token table has {rows} "
            "rows; give the vocabulary it was trained with (--vocab)"
        )


def run_config(model, vocabulary, out):
    """fairseq's whole configuration for a model, as plain values; defaults outside of the model."""
    fairseq_metro.register()
    task = TASKS.get(model.name, "t5")
    words = [str(out), "--task", task, "--criterion", task, "--arch", model.name]
    words += ["--recipe", "release", "--optimizer", "adam"]
    words += ["--tokens-per-sample", str(min(LONGEST_BLOCK, model.config["max_positions"]))]
    parser = options.get_training_parser(default_task=task)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # hydra's, of fairseq's own files
        cfg = convert_namespace_to_omegaconf(options.parse_args_and_arch(parser, words))
    cfg = OmegaConf.to_container(cfg, resolve=True, enum_to_str=True)
    known = {field.name for field in dataclasses.fields(CONFIGS[model.name])}
    cfg["model"].update({key: value for key, value in model.config.items() if key in known})
    for stage in known & {"decoder_start", "pretraining_decoder_start"}:
        cfg["model"][stage] = cfg["model"].get(stage) or vocabulary.roles[stage]
    return cfg
