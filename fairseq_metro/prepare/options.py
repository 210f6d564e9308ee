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
    """The command's options."""
    parser = CommandParser(description=ADOPT)
    add = parser.add_argument
    add("data", nargs="+", metavar="DATA",
        help="folders of fairseq-preprocess with one dictionary, or several joined by ':'")  # fmt: skip
    add("--vocab", type=Path, metavar="DIR",
        help="vocabulary folder whose dict.txt the data was made with (default: the data's own "
             "dict.txt, completed)")  # fmt: skip
    add("--sentencepiece-model", type=Path, metavar="FILE",
        help="the SentencePiece model that made the data's pieces; without it nothing that needs "
             "text works with models trained on the data")  # fmt: skip
    return parser


CACHE_TEACHER = """\
What a teacher says at the mask of every prompt of a data folder, written once for all runs.

The vector to which its output layer is applied, in half precision, gives the full distribution back
to rounding; or its k likeliest symbols, and the probability of all others as one. Progress is shown;
interrupted, the same command goes on where it was. The folder appears when it is whole.
"""


def cache_teacher():
    """The command line."""
    made = CommandParser(description=CACHE_TEACHER)
    add = made.add_argument
    add("data", type=Path, metavar="DATA", help="folder written by fairseq-metro intermediate")
    add("--teacher", required=True, metavar="DIR[:DIR]",
        help="a local Hugging Face folder, a run's folder or checkpoint; several, averaged in "
             "probability, with --cache top-k only")  # fmt: skip
    add("--cache", choices=KINDS, default=VECTORS, dest="stored",
        help="what to keep (default: %(default)s)")  # fmt: skip
    add("--k", type=int, help="with --cache top-k: how many symbols (default: 64)")
    add("--dest", type=Path, metavar="DIR",
        help="the cache (default: DATA/cache-, the teacher's hash, -top and k)")  # fmt: skip
    add("--max-tokens", type=int, default=16384, metavar="N",
        help="most tokens of a batch, padding counted (default: %(default)s)")  # fmt: skip
    add("--device", default=None, help="default: a GPU where there is one")
    add_allow_unknown(add)
    return made
