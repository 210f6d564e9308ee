"""The vocabulary of a run: from its options, its data folders, or the checkpoint it resumes from."""

from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

from fairseq_metro.common.errors import UserError
from fairseq_metro.data import indexed, intermediate_dataset, prompted_files
from fairseq_metro.data.stock import (
    dictionaries,
    is_unfinished,
    refuse_other_symbols,
    stock_vocabulary,
    with_tokenizer,
)
from fairseq_metro.trainer.checkpoint_names import find_checkpoint
from fairseq_metro.vocabulary.folder import VOCAB_FOLDER, Vocabulary, read_symbols
from fairseq_metro.vocabulary.roberta import has_tokenizer, open_vocabulary

STAMPS = (indexed.STAMP, prompted_files.STAMP, intermediate_dataset.STAMP)


def find_vocabulary(cfg, folders, models=(), restored=False):
    """The vocabulary of a run, which fits the dictionaries of all its data folders.

    It is ``--vocab``'s, or that in ``vocab/`` of the first folder. A folder without one, as
    fairseq-preprocess leaves it, takes that of the run in ``--save-dir``, that of the first of
    ``models`` (paths that options name, such as ``--init-from``) that fits, or its own dictionary,
    completed. ``--sentencepiece-model`` gives such a dictionary a tokenizer. restored: cfg is a
    checkpoint's, whose run has kept the model, so the option counts only where it is needed and can
    be obeyed. Raises :class:`UserError`.
    """
    first = folders[0]
    if cfg.vocab:
        vocabulary = open_vocabulary(cfg.vocab)
    elif has_tokenizer(first / VOCAB_FOLDER) or not dictionaries(first) or is_stamped(first):
        vocabulary = open_vocabulary(first / VOCAB_FOLDER)
    else:
        vocabulary = _of_stock(cfg, first, models)
    for folder in folders:
        refuse_two_dictionaries(folder)
        for dictionary in dictionaries(folder):
            refuse_other_symbols(dictionary, vocabulary)
    model = cfg.sentencepiece_model
    if model and restored and (vocabulary.has_tokenizer or not Path(model).is_file()):
        model = ""
    return _with_tokenizer(vocabulary, model) if model else vocabulary


def is_stamped(folder):
    """Whether a folder was made by a command of ours, finished or not."""
    return is_unfinished(folder) or any((Path(folder) / name).exists() for name in STAMPS)


def refuse_two_dictionaries(folder):
    """Raise :class:`UserError` where source and target have ids of their own."""
    first, *others = dictionaries(folder) or [None]
    for other in others:
        if read_symbols(other) != read_symbols(first):
            raise UserError(
                f"{first} and {other.name} differ, but source and target share one vocabulary; run "
                "fairseq-preprocess with --joined-dictionary"
            )


def beside(model):
    """The vocabulary folder that belongs to a model: in its folder, beside its checkpoint or one
    folder above that; or None. A quickstart's folder and ``RUN@UPDATES`` mean their checkpoint."""
    model = Path(model)
    places = [model, model / VOCAB_FOLDER, model.parent / VOCAB_FOLDER]
    with suppress(UserError):  # a Hugging Face folder, or nothing; who reads its parameters tells
        folder = find_checkpoint(model).parent
        places += [folder / VOCAB_FOLDER, folder.parent / VOCAB_FOLDER]
    return next((place for place in places if has_tokenizer(place)), None)


def _of_stock(cfg, folder, models):
    dictionary = dictionaries(folder)[0]
    saved = Path(cfg.save_dir) / VOCAB_FOLDER
    if has_tokenizer(saved):
        return open_vocabulary(saved)
    for model in filter(None, models):
        try:
            vocabulary = open_vocabulary(place) if (place := beside(model)) else None
            if vocabulary is not None:
                refuse_other_symbols(dictionary, vocabulary)
                return vocabulary
        except UserError:
            continue  # another kind of model; who reads its parameters says what does not fit
    return stock_vocabulary(dictionary)


def _with_tokenizer(vocabulary, model):
    optional = isinstance(vocabulary, Vocabulary) and vocabulary.tokenizer_is_optional
    if not optional:
        raise UserError(
            f"--sentencepiece-model {model}: {vocabulary.path} has a tokenizer of its own; leave the "
            "option out"
        )
    return with_tokenizer(vocabulary, model)


def symbols_and_text(vocabulary):
    """What fairseq calls a BPE: ``encode`` gives a text's symbols joined by spaces, ``decode`` text.

    Without a tokenizer symbols stay as they are in the output, and the first text that is to be read
    is an error that says what to give.
    """
    decode = vocabulary.decode if vocabulary.has_tokenizer else lambda symbols: symbols
    return SimpleNamespace(encode=vocabulary.encode_pieces, decode=decode)
