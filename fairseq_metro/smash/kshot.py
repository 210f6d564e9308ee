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
    """The command's arguments."""
    found = CommandParser(
        description="K-shot train and dev splits by LM-BFF's algorithm, and the original dev file "
        "as test, to OUT/<Task>/<K>-<seed>/; a split that is there is kept. A set published in one "
        f"file first gives its test, drawn by seed {DRAW_SEED}.",
        epilog=f"few-shot tasks: {', '.join(task_names())}, or a YAML file of your own",
    )
    add = found.add_argument
    add("--tasks", metavar="FOLDER", help="folder of original files, LM-BFF's or as published")
    add("--task", nargs="+", metavar="NAME", help="few-shot tasks")
    add("--k", type=int, nargs="+", default=[16], help="examples a label (default 16)")
    add("--seeds", type=int, nargs="+", default=list(SEEDS), help=f"default {SEEDS}")
    add("--out", metavar="DIR", help="folder of the splits")
    add("--dev-times", type=int, default=1, help="dev is K times this (LM-BFF's 10x: 10)")
    add(
        "--short-labels", choices=SHORT_LABELS, default=SHORT_LABELS[0],
        help="a label with fewer than 2 K rows: error; lmbff: train takes K of them, dev the rest; "
        "halve: train and dev share them",
    )  # fmt: skip
    add(
        "--lmbff-cola", action="store_true",
        help="CoLA as LM-BFF's run left it, which shuffled it in place, seed after seed",
    )  # fmt: skip
    add(
        "--required-words", metavar="FILE",
        help="write the label and prompt words of the tasks (of all, without --task), for "
        "train_vocabulary.py --require-words",
    )  # fmt: skip
    add_max_bad_rows(
        add, "How many rows of a train file may be bad: without a text or label, damaged, not UTF-8. "
        f"They are left out and counted; more end the command (default: {DEFAULT_LIMIT})."
    )  # fmt: skip
    return found


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
