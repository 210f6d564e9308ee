"""Options of ``adopt`` and ``cache-teacher``, importable without torch."""

from pathlib import Path

from fairseq_metro.common.arguments import CommandParser
from fairseq_metro.data.teacher_targets import KINDS, VECTORS
from fairseq_metro.vocabulary.characters import add_allow_unknown

ADOPT = """\
Give folders of ``fairseq-preprocess --only-source`` the stamp and the vocabulary of our own data.

DATA/stamp.json and DATA/vocab/ are added; what is there stays as it is. Training then starts without
reading all tokens first, and every command takes the folder as one of binarize.py's.
"""


def adopt():
    """Build the command's argument parser."""
    parser = CommandParser(description=ADOPT)
    add = parser.add_argument
    add("data", nargs="+", metavar="DATA",
        help="Folders written by fairseq-preprocess that share one dictionary; several may be "
             "joined by ':'.")  # fmt: skip
    add("--vocab", type=Path, metavar="DIR",
        help="Vocabulary folder whose dict.txt the data was made with (default: the completed "
             "dict.txt of the data itself).")  # fmt: skip
    add("--sentencepiece-model", type=Path, metavar="FILE",
        help="SentencePiece model that produced the pieces of the data. Without it, models "
             "trained on the data cannot be used with text.")  # fmt: skip
    return parser


CACHE_TEACHER = """\
Cache a teacher's predictions at the mask of every prompt of a data folder.

The vector to which its output layer is applied, in half precision, gives the full distribution back
to rounding; or its k likeliest symbols, and the probability of all others as one. Progress is shown;
interrupted, the same command goes on where it was. The folder appears when it is whole.
"""


def cache_teacher():
    """Build the command's argument parser."""
    made = CommandParser(description=CACHE_TEACHER)
    add = made.add_argument
    add("data", type=Path, metavar="DATA", help="Folder written by fairseq-metro intermediate.")
    add("--teacher", required=True, metavar="DIR[:DIR]",
        help="Teacher: a local Hugging Face folder, a run directory or a checkpoint. "
             "Probabilities of several teachers are averaged, with --cache top-k "
             "only.")  # fmt: skip
    add("--cache", choices=KINDS, default=VECTORS, dest="stored",
        help="What to store for each prompt (default: %(default)s).")  # fmt: skip
    add("--k", type=int,
        help="Number of symbols stored for each prompt with --cache top-k (default: "
             "64).")  # fmt: skip
    add("--dest", type=Path, metavar="DIR",
        help="Cache folder to write (default: DATA/cache-, followed by the hash of the teacher, "
             "-top and k).")  # fmt: skip
    add("--max-tokens", type=int, default=16384, metavar="N",
        help="Maximum number of tokens in a padded batch (default: %(default)s).")  # fmt: skip
    add("--device", default=None,
        help="Device to run the teacher on (default: a GPU if there is one).")  # fmt: skip
    add_allow_unknown(add)
    return made
