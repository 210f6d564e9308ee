"""What runs share: each model is loaded once a process, and each split's examples made ids once."""

import hashlib
from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fairseq_metro.common.sources import BadRows
from fairseq_metro.evaluate.fewshot.augmented import read_augmented
from fairseq_metro.evaluate.fewshot.scorers import head_examples
from fairseq_metro.interchange.mask_models import load_mask_model
from fairseq_metro.prompts.task_data.dataset import EVERY_ROW
from fairseq_metro.smash.examples import read_split
from fairseq_metro.smash.tasks import load_task
from fairseq_metro.tasks.fewshot_prompt import PromptedExamples, split_hash

SAMPLE_SEED = 0  # of the test rows, where only some are wanted
TRAIN, DEV = "train", "dev"


class Loaded(NamedTuple):
    """A model, its tokenizer, T5's decoder input or None, a copy of its parameters, their hash."""

    model: object
    tok: object
    decoder_input: list | None
    state: dict
    hash: str


@lru_cache(maxsize=16)
def open_model(path):
    """The :class:`Loaded` of a path, read once a process. Raises :class:`UserError`."""
    model, tok, decoder_input = load_mask_model(path)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    digest = hashlib.sha256(tok.hash.encode())
    for name in sorted(state):
        digest.update(name.encode() + state[name].numpy().tobytes())
    return Loaded(model, tok, decoder_input, state, digest.hexdigest())


@cache
def split_of_files(folder):
    """:func:`split_hash`, once a process."""
    return split_hash(folder)


_first_with: dict = {}  # (task, split, hash of its file) -> the first folder with it


@cache
def shared(task, folder, split):
    """The folder to read a split from: the first with the same file, as tests of all seeds are."""
    paths, digest = sorted(Path(folder).glob(f"{split}.*")), hashlib.sha256()
    if not paths or not all(path.is_file() for path in paths):
        return folder  # whoever reads it says what is wrong
    for path in paths:
        digest.update(path.name.encode() + path.read_bytes())
    return _first_with.setdefault((task, split, digest.hexdigest()), folder)


@cache
def _examples(task, folder, split, test_rows):
    examples = read_split(load_task(task), folder, split)
    if test_rows and len(examples) > test_rows:
        rng = np.random.default_rng(SAMPLE_SEED)
        chosen = np.sort(rng.choice(len(examples), test_rows, replace=False))
        examples = [examples[i] for i in chosen]
    return tuple(examples)


def examples_of(task, folder, split, test_rows=0):
    """Examples of a split, of a test at most ``test_rows``, drawn by one seed: tuple.

    Raises :class:`UserError` for a missing file or an unreadable row.
    """
    return _examples(task, shared(task, folder, split), split, test_rows)


@cache
def _tokenized(model, task, folder, split, test_rows, head):
    loaded, fewshot = open_model(model), load_task(task)
    examples = _examples(task, folder, split, test_rows)
    if head:
        return head_examples(fewshot, examples, loaded.tok, head)
    return PromptedExamples.of_task(
        fewshot, examples, loaded.tok, decoder_input=loaded.decoder_input
    )


def tokenized(cell, split):
    """A split's PromptedExamples in the ids of a cell's model, once a process."""
    test_rows = 0 if split in (TRAIN, DEV) else cell.test_rows
    folder = shared(cell.task, cell.folder, split)
    return _tokenized(cell.model, cell.task, folder, split, test_rows, cell.head)


@cache
def _augmented(model, task, path):
    loaded, fewshot = open_model(model), load_task(task)
    return PromptedExamples.of_task(
        fewshot, read_augmented(fewshot, path, BadRows(EVERY_ROW)), loaded.tok,
        decoder_input=loaded.decoder_input,
    )  # fmt: skip


def tokenized_file(cell, path):
    """The good rows of a file without labels, as :func:`tokenized`; their targets mean nothing.

    Whether too many are bad, ``check_augmented`` has said before.
    """
    return _augmented(cell.model, cell.task, str(path))
