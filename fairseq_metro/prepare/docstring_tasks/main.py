"""Task data derived from the default corpus: eleven small data sets of seven kinds of task.

The docstrings of the default corpus with questions whose answers are known: which package or area
documents this, which word is missing, are all words spelt right, is this how a text begins;
and, for evaluation alone, does this summary belong to this text, which sentence comes next, does
a word occur, and two more. Writes TASKS/docstring/<name>/{train,validation}.jsonl, rows as the
templates of the package want them, and TASKS/docstring_tasks.json. Labels are balanced; a file's
docstrings are on one side.
"""

import json
import logging
import time
from pathlib import Path

from fairseq_metro.common.arguments import CommandParser
from fairseq_metro.common.errors import UserError
from fairseq_metro.common.files import atomic_write, read_json, sha256_file, write_json, writing
from fairseq_metro.common.logs import messages_on_stderr
from fairseq_metro.common.stamp import make_stamp
from fairseq_metro.data.randomness import generator
from fairseq_metro.prepare import default_corpus
from fairseq_metro.prepare.docstring_tasks import rows, texts
from fairseq_metro.prepare.docstring_tasks.texts import TRAIN, VALIDATION
from fairseq_metro.prepare.workers import available_cores

logger = logging.getLogger(__name__)

FOLDER = "docstring"  # the data sets are docstring/package, ...
TRAINED = ("package", "area", "preposition", "word", "spelling", "place")
HELD_OUT = ("verb", "order", "summary", "following", "mention")
MADE_BY = {name: getattr(rows, name) for name in (*TRAINED, *HELD_OUT)}
MOST = {TRAIN: 16000, VALIDATION: 400}  # rows of a data set
LEAST = 40  # rows for an accuracy that says something
STAMP = "docstring_tasks.json"
ROWS = 32  # a purpose of draws (data/randomness.py)


def parser():
    """Build the command's argument parser."""
    parser = CommandParser(description=__doc__)
    parser.add_argument("--out", required=True, type=Path, metavar="TASKS",
        help="Folder to write the tasks to.")  # fmt: skip
    parser.add_argument(
        "--seed", type=int, default=1, help="Random seed for sampling rows (default: %(default)s)."
    )
    parser.add_argument(
        "--workers", type=int, default=available_cores(),
        help="Number of processes; it does not affect the output (default: all cores, "
             "%(default)s).",
    )  # fmt: skip
    return parser


@messages_on_stderr()
def main(argv=None):
    args = parser().parse_args(argv)
    for name, least in (("seed", 0), ("workers", 1)):
        if getattr(args, name) < least:
            raise UserError(f"--{name} is {getattr(args, name)}, must be at least {least}")
    write_tasks(args.out, args.seed, args.workers)
    return 0


def write_tasks(out, seed=1, workers=1):
    """Write the data sets below ``out``, or say that they are there; return the stamp.

    Raises :class:`UserError` where there are too few docstrings, or the folder cannot be written.
    """
    started = time.monotonic()
    recipe = {"seed": seed, "versions": default_corpus.versions(), "code": code_hashes()}
    if (there := tasks_there(out, recipe)) is not None:
        logger.info("%s: the tasks are there already, reused", out)
        return there
    collected = texts.collect(workers)
    files = {}
    with writing(out):
        for split, docstrings in collected.items():
            for name in MADE_BY if split == VALIDATION else TRAINED:
                made = draw_rows(name, docstrings, seed, MOST[split])
                if len(made) < LEAST:
                    raise UserError(
                        f"only {len(made)} rows of {FOLDER}/{name} for {split}: the installed "
                        "packages carry too few docstrings (stripped?); give TASKS of your own"
                    )
                path = f"{FOLDER}/{name}/{split}.jsonl"
                files[path] = {"rows": len(made), "sha256": write_rows(out / path, made)}
        stamp = make_stamp(**recipe, files=files)
        write_json(out / STAMP, stamp)
    counts = ", ".join(f"{len(docstrings)} for {split}" for split, docstrings in collected.items())
    total = sum(entry["rows"] for entry in files.values())
    logger.info("%s: %d rows in %d data sets, of docstrings: %s, %.0f s",
                out, total, len(MADE_BY), counts, time.monotonic() - started)  # fmt: skip
    return stamp


def draw_rows(name, docstrings, seed, most):
    """At most ``most`` rows of a data set from docstrings, in whole groups, shuffled: list of dict.

    The draw depends on the seed, the data set and the docstrings alone.
    """
    rng = generator(seed, 0, list(MADE_BY).index(name), ROWS)
    groups = list(MADE_BY[name](docstrings, rng))
    chosen, count = [], 0
    for index in rng.permutation(len(groups)):
        count += len(groups[index])
        if count > most:
            break
        chosen += groups[index]
    return [chosen[i] for i in rng.permutation(len(chosen))]


def write_rows(path, made):
    """Write rows as JSON lines; return the file's SHA-256."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as stream:
        stream.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in made)
    return sha256_file(path)


def code_hashes():
    """SHA-256 of the modules that rows depend on, so that older data is made again."""
    files = [rows.__file__, texts.__file__, __file__]
    return {"cleaning": default_corpus.cleaning_hash(), "rows": list(map(sha256_file, files))}


def tasks_there(out, recipe):
    """The stamp of an earlier run with the same recipe and untouched files, or None."""
    try:
        stamp = read_json(out / STAMP)
        same = all(stamp.get(key) == value for key, value in recipe.items())
        files = stamp["files"].items()
        whole = all(sha256_file(out / path) == entry["sha256"] for path, entry in files)
    except (UserError, OSError, KeyError, AttributeError):
        return None
    return stamp if same and whole else None
