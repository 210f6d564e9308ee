"""Options of ``fairseq-metro fewshot``, importable without torch."""

from fairseq_metro.common.arguments import CommandParser
from fairseq_metro.common.sources import DEFAULT_LIMIT, add_max_bad_rows
from fairseq_metro.evaluate.fewshot.cells import HEADS, PAPER, ROWS
from fairseq_metro.smash.automatic import BEST
from fairseq_metro.smash.splits import SEEDS, SHORT_LABELS
from fairseq_metro.smash.tasks import task_names
from fairseq_metro.vocabulary.characters import add_allow_unknown

REGRESSION_LOSSES = ("gold", "lmbff", "pred")  # the keys of smash.regression.LOSSES


def parser():
    """The grid's arguments."""
    found = CommandParser(
        description="Few-shot fine-tuning over models, tasks, splits and a grid. Each finished run "
        "is a line of OUT/cells.jsonl, and the same command goes on where it was stopped; "
        "OUT/table.md and table.csv are written at the end.",
        epilog="a single answer: fairseq-metro fewshot predict RUN --task sst2 --text TEXT [TEXT]; "
        f"few-shot tasks: {', '.join(task_names())}, or a YAML file",
    )
    add = found.add_argument
    add("--model", nargs="+", action="extend", default=[], metavar="RUN",
        help="run folder, checkpoint or RUN@UPDATES of a RoBERTa or T5, or local Hugging Face "
        "folder")  # fmt: skip
    add("--tasks", metavar="FOLDER", help="original files; splits are made in OUT/kshot")
    add("--kshot", metavar="FOLDER", help="instead: splits that fairseq-metro kshot made")
    add("--task", nargs="+", required=True, metavar="NAME", help="few-shot tasks")
    add("--rows", nargs="+", choices=ROWS,
        help="default: all; head for RoBERTa only, kd and kd-augmented where --teacher and "
        "--augmented are given")  # fmt: skip
    add("--teacher", metavar="RUN",
        help="task KD (SMASH, equation 1): a model that is prompt-fine-tuned on each split first, "
        "over the same grid; its run best on dev gives soft labels over the label words, and the "
        "row kd adds their cross entropy to the loss of every training row")  # fmt: skip
    add("--kd-weight", type=float, default=1.0, help="of this cross entropy (default 1)")
    add("--kd-temperature", type=float, default=1.0,
        help="of both models in it; it is multiplied by the square (default 1)")  # fmt: skip
    add("--augmented", metavar="FILE",
        help="row kd-augmented: more rows, without labels, which the teacher answers: a .jsonl of "
        '{"sentences": [...]}, or the format of the task\'s originals; or a folder with '
        "<Task>/<K>-<seed>/augmented.*, or <Task>/augmented.* for all splits")  # fmt: skip
    add_max_bad_rows(
        add, "How many rows of an augmented file, or with --tasks of a train file, may be bad. They "
        f"are left out and counted; more end the command (default: {DEFAULT_LIMIT})."
    )  # fmt: skip
    add_allow_unknown(add)
    add("--k", type=int, nargs="+", default=[16], help="examples a label (default 16)")
    add("--seeds", type=int, nargs="+", default=list(SEEDS), help=f"default {SEEDS}")
    add("--lr", type=float, nargs="+", default=[1e-5, 2e-5, 5e-5], help="default 1e-5 2e-5 5e-5")
    add("--batch", type=int, nargs="+", default=[2, 4], help="default 2 4")
    add("--steps", type=int, help="updates (default: by K, 1000 for 16)")
    add("--every", type=int, default=100, help="updates between looks at dev (default 100)")
    add("--head", choices=HEADS, default=PAPER,
        help="Form of the row head: one matrix on <s> x0 </s> x1 </s> (paper), or LM-BFF's dense, "
        "tanh and output on <s> x0 </s> </s> x1 </s>, whose row is called 'head of LM-BFF' "
        "(lmbff).")  # fmt: skip
    add("--regression", choices=REGRESSION_LOSSES, default="gold", help="loss of scores (gold)")
    add("--short-labels", choices=SHORT_LABELS, default=SHORT_LABELS[0],
        help="with --tasks: see fairseq-metro kshot")  # fmt: skip
    add("--auto-templates", metavar="FOLDER",
        help="LM-BFF's auto_template: each task is also run with the best templates of its split, "
        "FOLDER/<Task>/<K>-<seed>.sort.txt")  # fmt: skip
    add("--auto-words", metavar="FOLDER",
        help="LM-BFF's auto_label_mapping: the same with the best label words")  # fmt: skip
    add("--best", type=int, default=BEST, metavar="N",
        help="Number of automatic prompts of each kind (default: %(default)s).")  # fmt: skip
    add("--test-rows", type=int, default=0, help="most test rows, a seeded sample (default: all)")
    add("--device", choices=("cpu", "cuda"), help="default: the GPUs where there are any")
    add("--jobs", "--workers", type=int, metavar="N",
        help="runs at a time, over the GPUs in turn (default: one a core, or one a GPU)")  # fmt: skip
    add("--out", required=True, metavar="DIR", help="folder of the results")
    return found
