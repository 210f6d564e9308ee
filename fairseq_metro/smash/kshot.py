"""The command ``fairseq-metro kshot``: K-shot splits of few-shot tasks."""

import logging
from pathlib import Path

from fairseq_metro.common.arguments import CommandParser
from fairseq_metro.common.errors import UserError
from fairseq_metro.common.files import atomic_write
from fairseq_metro.common.logs import messages_on_stderr
from fairseq_metro.common.sources import DEFAULT_LIMIT, add_max_bad_rows, bad_rows_limit
from fairseq_metro.smash.originals import DRAW_SEED
from fairseq_metro.smash.splits import SEEDS, SHORT_LABELS, KShot, kshot_splits
from fairseq_metro.smash.tasks import load_task, required_words, task_names

logger = logging.getLogger(__name__)


def parser():
    """Build the command's argument parser."""
    parser = CommandParser(
        description="Write K-shot train and dev splits by LM-BFF's algorithm, with the original "
        "dev file as test, to OUT/<Task>/<K>-<seed>/. Existing splits are kept. If a "
        "set is published as a single file, its test set is sampled first, with seed "
        f"{DRAW_SEED}.",
        epilog=f"Few-shot tasks: {', '.join(task_names())}, or a YAML file of your own.",
    )
    add = parser.add_argument
    add("--tasks", metavar="FOLDER",
        help="Folder of original files, in LM-BFF's layout or as published.")  # fmt: skip
    add("--task", nargs="+", metavar="NAME", help="Few-shot tasks to split.")
    add("--k", type=int, nargs="+", default=[16],
        help="Number of examples per label (default: 16).")  # fmt: skip
    add("--seeds", type=int, nargs="+", default=list(SEEDS),
        help=f"Random seeds of the splits (default: {SEEDS}).")  # fmt: skip
    add("--out", metavar="DIR", help="Folder to write the splits to.")
    add("--dev-times", type=int, default=1,
        help="Size of the dev set as a multiple of K (10 for LM-BFF's 10x; default: "
             "1).")  # fmt: skip
    add(
        "--short-labels", choices=SHORT_LABELS, default=SHORT_LABELS[0],
        help="How to split a label with fewer than 2 K rows: error refuses it; lmbff gives K rows "
             "to train and the rest to dev; halve shares them between train and dev.",
    )  # fmt: skip
    add(
        "--lmbff-cola", action="store_true",
        help="Reproduce LM-BFF's splits of CoLA, whose rows its code shuffled in place, seed "
             "after seed.",
    )  # fmt: skip
    add(
        "--required-words", metavar="FILE",
        help="File to write the label and prompt words of the tasks to (of all tasks, without "
             "--task), for fairseq-metro vocabulary --require-words.",
    )  # fmt: skip
    add_max_bad_rows(
        add, "How many rows of a train file may be bad: without a text or label, damaged, not UTF-8. "
        f"They are left out and counted; a larger number ends the command (default: {DEFAULT_LIMIT})."
    )  # fmt: skip
    return parser


@messages_on_stderr()
def main(argv=None):
    args = parser().parse_args(argv)
    max_bad_rows = bad_rows_limit(args)
    tasks = [load_task(name) for name in args.task or ()]
    if args.lmbff_cola and tasks and "cola" not in [task.name for task in tasks]:
        raise UserError("--lmbff-cola says nothing about these tasks; leave it out, or add cola")
    if args.required_words:
        words = required_words(tasks or None)
        with atomic_write(args.required_words) as stream:
            stream.write("".join(f"{word}\n" for word in words))
        logger.info("%s: %d words", args.required_words, len(words))
        if not args.out:
            return 0
    for name in ("tasks", "task", "out"):
        if not getattr(args, name):
            raise UserError(f"--{name} is missing; see --help")
    shots = [
        KShot(k, seed, args.dev_times, args.short_labels, args.lmbff_cola)
        for k in args.k
        for seed in args.seeds
    ]
    for task in tasks:
        folders = kshot_splits(task, args.tasks, shots, args.out, max_bad_rows)
        logger.info("%s: %d splits in %s", task.title, len(folders), Path(args.out) / task.folder)
    return 0
