"""The finished data folder: files renamed into place together, ``intermediate.json`` last."""

import hashlib
import os
import shutil

import numpy as np

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.files import read_json, sha256_file, write_json
from fairseq_metro.common.stamp import make_stamp
from fairseq_metro.data.indexed import IndexedTokens, IndexedWriter, token_type
from fairseq_metro.prepare.intermediate.examples import META, META_COLUMNS, SIZES, TOKENS
from fairseq_metro.prepare.prompted.building import refuse_other
from fairseq_metro.vocabulary.folder import DICTIONARY, VOCAB_FOLDER
from fairseq_metro.vocabulary.roberta import RobertaVocabulary
from fairseq_metro.vocabulary.tokenizers import VocabularyTokenizer

STAMP = "intermediate.json"
BLOCK = 1 << 16  # examples copied at a time


def recognised(dest, settings):
    """The stamp of a finished folder made with these settings, or None where there is none.

    Raises :class:`UserError` where it was made with others, or is damaged.
    """
    if not (dest / STAMP).exists():
        return None
    stamp = read_json(dest / STAMP)
    if not isinstance(stamp, dict) or not {"settings", "splits"} <= stamp.keys():
        raise UserError(f"{dest / STAMP}: not a stamp of fairseq-metro intermediate; remove it")
    refuse_other(str(dest), stamp["settings"], settings)
    for side, facts in stamp["splits"].items():
        if len(IndexedTokens(dest / f"{side}.prompts")) != facts["examples"]:
            raise UserError(f"{dest}/{side}.prompts: not what {STAMP} says; make the data anew")
    return stamp


def assemble(grown, whole, side, facts, vocabulary_size):
    """A side's grown files as ``whole/<side>.prompts`` and ``.meta.npy``; hashes go to ``facts``."""
    sizes = _array(grown / SIZES, np.int32)
    tokens = _array(grown / TOKENS, token_type(vocabulary_size))
    writer, place = IndexedWriter(whole / f"{side}.prompts", vocabulary_size), 0
    for begin in range(0, len(sizes), BLOCK):
        part = np.asarray(sizes[begin : begin + BLOCK])
        count = int(part.sum(dtype=np.int64))
        writer.write(tokens[place : place + count], part)
        place += count
    facts["sha256"] = writer.close()
    meta = _array(grown / META, np.int32).reshape(-1, META_COLUMNS)
    with open(whole / f"{side}.meta.npy", "wb") as stream:
        np.save(stream, meta)
    facts["meta_sha256"] = sha256_file(whole / f"{side}.meta.npy")


def _array(path, dtype):
    count = path.stat().st_size // np.dtype(dtype).itemsize
    return np.memmap(path, dtype, mode="r", shape=(count,)) if count else np.zeros(0, dtype)


def data_hash(splits):
    """One SHA-256 over the prompts and meta of all sides."""
    text = "".join(
        f"{side} {facts['sha256']} {facts['meta_sha256']}\n"
        for side, facts in sorted(splits.items())
    )
    return hashlib.sha256(text.encode()).hexdigest()


def put_in_place(plan, whole, splits, sentences):
    """Add dictionary, vocabulary and stamp; rename all into ``DEST``; return the stamp."""
    write_vocabulary(plan.tokenizer, whole)
    stamp = make_stamp(
        vocabulary=plan.tokenizer.hash,
        kind=plan.tokenizer.kind,
        data=data_hash(splits),
        template=plan.group.template,
        verbalizer={str(label): word for label, word in plan.group.verbalizer.items()},
        recipe=plan.group.recipe,
        sentences=sentences,
        splits=splits,
        sources=dict(plan.texts),
        settings=plan.settings(),
    )
    write_json(whole / STAMP, stamp)
    files = sorted(path.name for path in whole.iterdir() if path.name != STAMP)
    shutil.rmtree(plan.dest / VOCAB_FOLDER, ignore_errors=True)
    for name in (*files, STAMP):
        os.replace(whole / name, plan.dest / name)
    return stamp


def write_vocabulary(tokenizer, folder):
    """Write ``dict.txt`` and ``vocab/``, from which the same tokenizer is loaded again."""
    is_own = isinstance(tokenizer, VocabularyTokenizer)
    vocabulary = tokenizer.vocabulary if is_own else RobertaVocabulary(tokenizer)
    vocabulary.copy_to(folder / VOCAB_FOLDER)
    shutil.copyfile(folder / VOCAB_FOLDER / DICTIONARY, folder / DICTIONARY)
