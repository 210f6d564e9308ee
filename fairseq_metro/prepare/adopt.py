"""Give folders of ``fairseq-preprocess --only-source`` the stamp and the vocabulary of our own data."""

import contextlib
import logging
import os
import shutil
from pathlib import Path

import numpy as np

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.files import sha256_file, split_paths, write_json, writing
from fairseq_metro.common.logs import messages_on_stderr
from fairseq_metro.common.stamp import make_stamp
from fairseq_metro.data.indexed import STAMP
from fairseq_metro.data.prompted_files import splits_of as pairs_in
from fairseq_metro.data.stock import (
    CHUNK,
    dictionaries,
    files_hash,
    is_stock_text,
    is_unfinished,
    open_tokens,
    refuse_other_symbols,
    stock_vocabulary,
    text_facts,
    with_tokenizer,
)
from fairseq_metro.data.stock_prompts import kind_of_masks
from fairseq_metro.prepare import options
from fairseq_metro.prepare.folder_lock import locked, terminated_as_interrupted
from fairseq_metro.vocabulary.folder import DICTIONARY, SPECIALS, UNKNOWN, VOCAB_FOLDER
from fairseq_metro.vocabulary.roberta import has_tokenizer, open_vocabulary

logger = logging.getLogger(__name__)

WORK = ".adopting"  # in DATA: what is being written


@messages_on_stderr()
def main(argv=None):
    args = options.adopt().parse_args(argv)
    folders = [Path(folder) for data in args.data for folder in split_paths(data)]
    with terminated_as_interrupted():
        adopt(folders, args.vocab, args.sentencepiece_model)
    return 0


def adopt(folders, vocab=None, model=None):
    """Write the vocabulary and the stamp of every folder, or of none.

    Raises :class:`UserError` for a folder that is none of fairseq-preprocess's or has a stamp, and
    for a vocabulary that is not the data's.
    """
    if vocab and model:
        raise UserError(
            "--vocab and --sentencepiece-model: the folder has a model; give one of them"
        )
    for folder in folders:
        refuse_unfit_folder(folder)
    if vocab:
        vocabulary = open_vocabulary(vocab)
    elif has_tokenizer(folders[0] / VOCAB_FOLDER):
        vocabulary = open_vocabulary(folders[0] / VOCAB_FOLDER)
    else:
        vocabulary = stock_vocabulary(folders[0] / DICTIONARY)
    if model:
        vocabulary = with_tokenizer(vocabulary, model)
    for folder in folders:
        refuse_other_symbols(folder / DICTIONARY, vocabulary)
        refuse_unfit_place(folder / VOCAB_FOLDER, vocabulary)
        if kind_of_masks(folder, vocabulary):
            raise UserError(
                f"{folder}: its lines have masks, so they are prompts; --task prompt_distillation "
                "reads them as they are"
            )
    with contextlib.ExitStack() as stack:
        for folder in folders:
            stack.enter_context(locked(folder))
        stamps = [stamp_of(folder, vocabulary) for folder in folders]
        for folder, stamp in zip(folders, stamps, strict=True):
            stack.callback(shutil.rmtree, folder / WORK, ignore_errors=True)
            prepare(folder, vocabulary, stamp)
        for folder in folders:
            put_in_place(folder, vocabulary)
    for folder, stamp in zip(folders, stamps, strict=True):
        tokens = sum(split["tokens"] for split in stamp["splits"].values())
        logger.info("%s: adopted, %d tokens in %s", folder, tokens, ", ".join(stamp["splits"]))
    if not vocabulary.has_tokenizer:
        logger.info(
            "no tokenizer: to read or write text with models trained on it, copy the SentencePiece "
            "model that made its pieces to %s",
            folders[0] / VOCAB_FOLDER / "spm.model",
        )


def refuse_unfit_folder(folder):
    """Raise :class:`UserError` for anything but text of fairseq-preprocess without a stamp."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; give one of fairseq-preprocess --only-source")
    if (folder / STAMP).exists():
        raise UserError(f"{folder / STAMP}: is there already, so there is nothing to adopt")
    if is_unfinished(folder):
        raise UserError(f"{folder}: binarize.py was stopped in it; run the same command again")
    if pairs_in(folder):
        raise UserError(
            f"{folder}: holds pairs, not text; --task prompt_finetuning reads them as they are"
        )
    if not is_stock_text(folder):
        what = "no token files" if dictionaries(folder) else f"no {DICTIONARY}"
        raise UserError(
            f"{folder}: {what} in it; give a folder of fairseq-preprocess --only-source"
        )


def refuse_unfit_place(folder, vocabulary):
    """Raise :class:`UserError` where ``DATA/vocab`` is there and is not this vocabulary."""
    vocabulary.refuse_another_in(folder)
    if folder.exists() and not has_tokenizer(folder):
        raise UserError(f"{folder}: is there and is no vocabulary folder; move it away")


def stamp_of(folder, vocabulary):
    """The stamp of a folder's text, as binarize.py would write it."""
    splits = {}
    for name, facts in text_facts(folder)["splits"].items():
        counts = token_counts(open_tokens(folder / name).tokens, len(vocabulary))
        splits[name] = {
            **facts,
            "unknown": int(counts[UNKNOWN]),
            "dropped": 0,
            "sha256": sha256_file(folder / f"{name}.bin"),
        }
        if "commonest_token" in facts:
            ordinary = counts[len(SPECIALS) :]
            splits[name]["commonest_token"] = len(SPECIALS) + int(ordinary.argmax())
    return make_stamp(
        vocabulary=vocabulary.hash,
        dictionary=sha256_file(folder / DICTIONARY),
        data=files_hash(folder),  # as without a stamp: a run on the data goes on
        documents="blank-line",
        adopted=True,
        splits=splits,
    )


def token_counts(tokens, size):
    """How often each id occurs: (size,) int64."""
    counts = np.zeros(size, dtype=np.int64)
    for start in range(0, len(tokens), CHUNK):
        counts += np.bincount(tokens[start : start + CHUNK], minlength=size)
    return counts


def prepare(folder, vocabulary, stamp):
    """Write all of it to ``DATA/.adopting``."""
    work = folder / WORK
    with writing(folder):
        shutil.rmtree(work, ignore_errors=True)  # of a run that was killed
        work.mkdir()
        vocabulary.copy_to(work / VOCAB_FOLDER)
        write_json(work / STAMP, stamp)


def put_in_place(folder, vocabulary):
    """Rename what was prepared, the stamp last: until then the folder is what it was."""
    work, place = folder / WORK, folder / VOCAB_FOLDER
    with writing(folder):
        if place.exists():
            vocabulary.copy_to(place)  # perhaps its model is missing
        else:
            os.replace(work / VOCAB_FOLDER, place)
        os.replace(work / STAMP, folder / STAMP)
