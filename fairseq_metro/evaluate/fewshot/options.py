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
    """Build the command's argument parser."""
    parser = CommandParser(
        description="Few-shot fine-tuning over models, tasks, splits and a grid of "
        "hyperparameters. Each finished run adds a line to OUT/cells.jsonl, and an "
        "interrupted command resumes when it is run again. OUT/table.md and table.csv "
        "are written at the end.",
        epilog="To predict a single example: fairseq-metro fewshot predict RUN --task sst2 --text "
        f"TEXT [TEXT]. Few-shot tasks: {', '.join(task_names())}, or a YAML file.",
    )
    add = parser.add_argument
    add("--model", nargs="+", action="extend", default=[], metavar="RUN",
        help="RoBERTa or T5 model: a run directory, a checkpoint, RUN@UPDATES or a local Hugging "
             "Face folder.")  # fmt: skip
    add("--tasks", metavar="FOLDER",
        help="Folder of original task files; K-shot splits are written to OUT/kshot.")  # fmt: skip
    add("--kshot", metavar="FOLDER",
        help="Folder of splits written by fairseq-metro kshot, instead of --tasks.")  # fmt: skip
    add("--task", nargs="+", required=True, metavar="NAME", help="Few-shot tasks to run.")
    add("--rows", nargs="+", choices=ROWS,
        help="Methods to run (default: all; head for RoBERTa only, kd and kd-augmented only with "
             "--teacher and --augmented).")  # fmt: skip
    add("--teacher", metavar="RUN",
        help="Teacher for task-level distillation (SMASH, equation 1). It is prompt-fine-tuned on "
             "each split first, over the same grid. The run that is best on the dev set gives "
             "soft labels over the label words, and the method kd adds the cross entropy against "
             "them to the loss of every training row.")  # fmt: skip
    add("--kd-weight", type=float, default=1.0,
        help="Weight of the cross entropy against the teacher (default: 1).")  # fmt: skip
    add("--kd-temperature", type=float, default=1.0,
        help="Temperature of teacher and student in this cross entropy, which is multiplied by "
             "its square (default: 1).")  # fmt: skip
    add("--augmented", metavar="FILE",
        help="Unlabelled rows for the method kd-augmented, which the teacher labels: a .jsonl "
             "file of {\"sentences\": [...]}, a file in the format of the original task, or a "
             "folder with <Task>/<K>-<seed>/augmented.*, or <Task>/augmented.* for all "
             "splits.")  # fmt: skip
    add_max_bad_rows(
        add, "How many rows of an augmented file, or with --tasks of a train file, may be bad. They "
        f"are left out and counted; a larger number ends the command (default: {DEFAULT_LIMIT})."
    )  # fmt: skip
    add_allow_unknown(add)
    add("--k", type=int, nargs="+", default=[16],
        help="Number of examples per label (default: 16).")  # fmt: skip
    add("--seeds", type=int, nargs="+", default=list(SEEDS),
        help=f"Random seeds of the splits (default: {SEEDS}).")  # fmt: skip
    add("--lr", type=float, nargs="+", default=[1e-5, 2e-5, 5e-5],
        help="Learning rates of the grid (default: 1e-5 2e-5 5e-5).")  # fmt: skip
    add("--batch", type=int, nargs="+", default=[2, 4],
        help="Batch sizes of the grid (default: 2 4).")  # fmt: skip
    add("--steps", type=int, help="Number of updates (default: depends on K, 1000 for K = 16).")
    add("--every", type=int, default=100,
        help="Number of updates between validations on the dev set (default: 100).")  # fmt: skip
    add("--head", choices=HEADS, default=PAPER,
        help="Classifier of the method head: one matrix on <s> x0 </s> x1 </s> (paper), or "
             "LM-BFF's dense layer, tanh and output layer on <s> x0 </s> </s> x1 </s>, reported "
             "as 'head of LM-BFF' (lmbff).")  # fmt: skip
    add("--regression", choices=REGRESSION_LOSSES, default="gold",
        help="Loss of regression tasks (default: gold).")  # fmt: skip
    add("--short-labels", choices=SHORT_LABELS, default=SHORT_LABELS[0],
        help="With --tasks: how to split labels with few rows; see fairseq-metro "
             "kshot.")  # fmt: skip
    add("--auto-templates", metavar="FOLDER",
        help="Output folder of LM-BFF's auto_template. Each task is also run with the best "
             "templates of its split, FOLDER/<Task>/<K>-<seed>.sort.txt.")  # fmt: skip
    add("--auto-words", metavar="FOLDER",
        help="Output folder of LM-BFF's auto_label_mapping. Each task is also run with the best "
             "label words of its split.")  # fmt: skip
    add("--best", type=int, default=BEST, metavar="N",
        help="Number of automatic prompts of each kind (default: %(default)s).")  # fmt: skip
    add("--test-rows", type=int, default=0,
        help="Maximum number of test rows, sampled with a fixed seed (default: all).")  # fmt: skip
    add("--device", choices=("cpu", "cuda"),
        help="Device to run on (default: all GPUs if there are any).")  # fmt: skip
    add("--jobs", "--workers", type=int, metavar="N",
        help="Number of concurrent runs, spread over the GPUs (default: one per core, or one per "
             "GPU).")  # fmt: skip
    add("--out", required=True, metavar="DIR", help="Output folder.")
    return parser
