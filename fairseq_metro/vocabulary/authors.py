"""A vocabulary of the METRO-T0 authors (``sp.model``, ``dict.txt``) as a vocabulary folder of ours.

Ids do not change: fairseq's four specials, the lines of their ``dict.txt`` in order, then the
sentinels ``<sen000>``, ``<sen001>``, …, which their task appends when it starts and which a full
``dict.txt`` holds. ``<sen000>`` is their mask, their decoder's start in pretraining and the end of
span corruption's targets; fine-tuning and inference start with ``</s>``.
"""

import json
import logging
import shutil
from pathlib import Path

from fairseq_metro.common.arguments import CommandParser
from fairseq_metro.common.errors import UserError
from fairseq_metro.common.files import sha256_file
from fairseq_metro.common.logs import messages_on_stderr
from fairseq_metro.common.whole_folder import whole_folder
from fairseq_metro.vocabulary.folder import (
    DICTIONARY,
    MODEL,
    SPECIALS,
    TOKENIZER,
    VERSION,
    Vocabulary,
    is_vocabulary_folder,
    read_symbols,
)

logger = logging.getLogger(__name__)

THEIR_MODEL = "sp.model"
SENTINELS = 512  # tokens_per_sample of all their configurations
LOWERCASE = {"auto": None, "yes": True, "no": False}


def sentinel(number):
    """Their name of a sentinel: ``<sen000>``, ``<sen001>``, …"""
    return f"<sen{number:03d}>"


def is_theirs(folder):
    """Whether ``folder`` holds the two files of a vocabulary of the authors."""
    return all((Path(folder) / name).is_file() for name in (THEIR_MODEL, DICTIONARY))


def is_ours(folder):
    """Whether ``folder`` is a vocabulary folder of ours, as far as its files' names tell."""
    return is_vocabulary_folder(folder)


def full_symbols(folder, sentinels=SENTINELS):
    """All symbols of their vocabulary in the order of their ids, sentinels included.

    A ``dict.txt`` that holds sentinels already (as exported by us) is taken as it is.
    """
    path = Path(folder) / DICTIONARY
    if not path.is_file():
        raise UserError(f"{path}: no such file; give a folder with {THEIR_MODEL} and {DICTIONARY}")
    symbols = read_symbols(path)
    if sentinel(0) in symbols:
        return symbols
    return [*symbols, *map(sentinel, range(sentinels))]


def folds_case(model):
    """Whether the normaliser inside a SentencePiece model file folds case (``nmt_nfkc_cf``)."""
    from sentencepiece import SentencePieceProcessor

    try:
        processor = SentencePieceProcessor(model_file=str(model))
    except (OSError, RuntimeError):
        raise UserError(f"{model}: not a SentencePiece model; give the authors' own") from None
    return "".join(filter(str.isalpha, processor.normalize("Case"))) == "case"


def write_vocabulary(folder, out, sentinels=SENTINELS, lowercase=None):
    """Write the files of our vocabulary folder into ``out``, an existing folder.

    folder: theirs. lowercase: whether text is lower-cased first; None: if the model folds case.
    Raises :class:`UserError` where a file is missing or the files do not belong together.
    """
    folder, out = Path(folder), Path(out)
    if not (folder / THEIR_MODEL).is_file():
        raise UserError(
            f"{folder / THEIR_MODEL}: no such file; give a folder with {THEIR_MODEL} and "
            f"{DICTIONARY}"
        )
    symbols = full_symbols(folder, sentinels)
    numbers = [sentinel(i) for i in range(len(symbols))]
    held = set(symbols)
    settings = {
        "version": VERSION,
        "lowercase": folds_case(folder / THEIR_MODEL) if lowercase is None else lowercase,
        "normalization": "metro",
        "roles": {
            "mask": sentinel(0),
            "pretraining_decoder_start": sentinel(0),
            "decoder_start": SPECIALS[2],
            "end_of_target": sentinel(0),
            "sentinels": [symbol for symbol in numbers[1:] if symbol in held],
        },
        "imported_from": {name: sha256_file(folder / name) for name in (THEIR_MODEL, DICTIONARY)},
    }
    shutil.copyfile(folder / THEIR_MODEL, out / MODEL)
    lines = "".join(f"{symbol} 1\n" for symbol in symbols[len(SPECIALS) :])
    (out / DICTIONARY).write_text(lines, "utf-8")
    text = json.dumps(settings, indent=2, ensure_ascii=False)
    (out / TOKENIZER).write_text(f"{text}\n", "utf-8")
    Vocabulary.load(out)  # are model and dictionary of one kind?


def import_vocabulary(folder, out, sentinels=SENTINELS, lowercase=None):
    """Convert a vocabulary of the authors to a vocabulary folder; return the :class:`Vocabulary`."""
    if not 1 <= sentinels <= 1000:
        raise UserError(f"--sentinels is {sentinels}, must be 1 to 1000 (the authors have 512)")
    with whole_folder(out) as partial:
        write_vocabulary(folder, partial, sentinels, lowercase)
    vocabulary = Vocabulary.load(out)
    logger.info(
        "%s: %d symbols, lower-case %s, mask %s = %d", out, len(vocabulary),
        "yes" if vocabulary.settings["lowercase"] else "no",
        vocabulary.roles["mask"], vocabulary.index("mask"),
    )  # fmt: skip
    return vocabulary


def parser():
    """Build the command's argument parser."""
    parser = CommandParser(description=__doc__)
    add = parser.add_argument
    add("folder", type=Path, help="Folder of the authors with sp.model and dict.txt.")
    add("--out", required=True, type=Path, help="Vocabulary folder to write.")
    add("--sentinels", type=int, default=SENTINELS, metavar="N",
        help="Number of sentinels, including <sen000> (the authors': tokens_per_sample, "
             "512).")  # fmt: skip
    add("--lowercase", choices=LOWERCASE, default="auto",
        help="Whether to lower-case text before tokenization; auto does so if the normalizer of "
             "the model folds case, as that of the 32k vocabulary does (default: "
             "auto).")  # fmt: skip
    return parser


@messages_on_stderr()
def main(argv=None):
    args = parser().parse_args(argv)
    import_vocabulary(args.folder, args.out, args.sentinels, LOWERCASE[args.lowercase])
    return 0
