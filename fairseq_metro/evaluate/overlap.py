"""``fairseq-metro overlap``: which evaluation rows share word n-grams with a pretraining corpus.

A row's texts are its fields' (no template's words), without those shorter than n words. A row is
touched where the corpus has one of its n-grams, as GPT-3 counts it with 13 (Brown et al. 2020, C).
With --results, accuracies of an evaluation on the rows that are touched and those that are not.
"""

import logging
import statistics
import sys
from pathlib import Path

from fairseq_metro.common.arguments import CommandParser
from fairseq_metro.common.errors import UserError
from fairseq_metro.common.files import write_json
from fairseq_metro.common.logs import messages_on_stderr
from fairseq_metro.common.sources import TEXT_FILES, add_reading_options, reading_of
from fairseq_metro.common.stamp import make_stamp
from fairseq_metro.evaluate.corpus_files import BY_FORM, corpus_files, texts_of
from fairseq_metro.evaluate.ngrams import Ngrams
from fairseq_metro.evaluate.report import markdown_table
from fairseq_metro.evaluate.results import read_results
from fairseq_metro.evaluate.spread import row_values
from fairseq_metro.evaluate.suite import load_suite
from fairseq_metro.prompts.task_data import open_dataset

logger = logging.getLogger(__name__)


def parser():
    """Build the command's argument parser."""
    parser = CommandParser(description=__doc__)
    add = parser.add_argument
    add("--corpus", nargs="+", required=True, metavar="FILE",
        help=f"Pretraining corpus. {TEXT_FILES}")  # fmt: skip
    add_reading_options(parser, default=BY_FORM)
    add("--suite", default="t0_eval", help="Suite whose sets are checked (default: t0_eval).")
    add("--sets", nargs="+", metavar="NAME", help="Check only these sets.")
    add("--tasks", type=Path, metavar="DIR", help="Folder of task data.")
    add("--hub", action="store_true",
        help="Download data sets without local files from the Hugging Face hub.")  # fmt: skip
    add("--n", type=int, default=13, help="Number of words in an n-gram (default: 13).")
    add("--results", type=Path, metavar="DIR", help="Output folder of an evaluation.")
    add("--out", type=Path, metavar="FILE",
        help="JSON file to write all counts and the contaminated rows to.")  # fmt: skip
    return parser


@messages_on_stderr()
def main(argv=None):
    args = parser().parse_args(argv)
    if args.n < 1:
        raise UserError(f"--n is {args.n}, must be at least 1")
    suite = load_suite(args.suite)
    suite = suite.with_sets(args.sets) if args.sets else suite
    files = corpus_files(args.corpus)
    results = read_results(args.results) if args.results else {}
    reading = reading_of(args)
    sets = overlap(suite, args.tasks, args.hub, files, args.n, bool(args.sets), reading)
    for sentence in reading.bad_rows.summary():
        logger.warning("%s", sentence)
    for entry in sets:
        entry |= accuracies(entry, results)
    sys.stdout.write(describe(sets, args.n))
    if args.out:
        facts = {"n": args.n, "suite": suite.name, "corpus": [str(path) for path in files]}
        write_json(args.out, {**facts, "sets": sets, "stamp": make_stamp()})
    return 0


def overlap(suite, tasks, hub, files, n, strict=False, reading=None):
    """A dict for each set whose rows were found: set, label, rows, countable (rows with an n-gram),
    touched (positions of rows), ngrams, shared (of these in the corpus).

    files: the corpus, read once. Raises :class:`UserError` where no set is there.
    """
    ngrams, sets, left_out = Ngrams(n), [], []
    for suite_set in suite.sets:
        try:
            data = open_dataset(suite_set.source, tasks, hub)
        except UserError:
            if strict:
                raise
            left_out.append(suite_set.name)
            continue
        numbers = [ngrams.add(list(_texts(row))) for row in data.rows(suite_set.split)]
        sets.append((suite_set, numbers))
    if not sets:
        raise UserError(
            f"suite {suite.name}: no set's rows were found; name their folder (--tasks)"
        )
    if left_out:
        logger.info("left out, for want of their files: %s", ", ".join(left_out))
    for path in files:
        ngrams.read(texts_of(path, reading))
    shares = ngrams.shares()
    return [
        _entry(suite_set, [shares[number] for number in numbers]) for suite_set, numbers in sets
    ]


def _entry(suite_set, shares):
    return {
        "set": suite_set.name, "label": suite_set.label, "rows": len(shares),
        "countable": sum(count > 0 for count, _ in shares),
        "touched": [row for row, (_, shared) in enumerate(shares) if shared],
        "ngrams": sum(count for count, _ in shares), "shared": sum(shared for _, shared in shares),
    }  # fmt: skip


def _texts(value):
    """All texts in a row, those in lists and nested rows too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _texts(item)


def accuracies(entry, results):
    """{"value_touched", "value_untouched"}: means over templates and rows, None without rows."""
    touched, hits = set(entry["touched"]), {True: [], False: []}
    for result in results.values():
        if result["set"] == entry["set"] and (values := row_values(result)):
            for kind in hits:
                part = [value for row, value in values.items() if (row in touched) == kind]
                hits[kind] += [statistics.fmean(part)] if part else []
    return {
        name: statistics.fmean(hits[kind]) if hits[kind] else None
        for name, kind in (("value_touched", True), ("value_untouched", False))
    }


def describe(sets, n):
    """The table as Markdown: str."""
    head = ["set", "rows", f"with a {n}-gram", "touched", "share", f"{n}-grams", "in the corpus",
            "value, touched", "value, others"]  # fmt: skip
    rows = [
        [entry["label"], str(entry["rows"]), str(entry["countable"]), str(len(entry["touched"])),
         _percent(len(entry["touched"]) / entry["countable"] if entry["countable"] else None),
         str(entry["ngrams"]), str(entry["shared"]), _percent(entry["value_touched"]),
         _percent(entry["value_untouched"])]
        for entry in sets
    ]  # fmt: skip
    return "\n".join(markdown_table(head, rows)) + "\n"


def _percent(value):
    return "" if value is None else f"{100 * value:.2f} %"
