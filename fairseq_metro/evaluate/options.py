"""Options of ``eval/run.sh`` and ``fairseq-metro evaluate``."""

from pathlib import Path

from fairseq_metro.common.arguments import CommandParser
from fairseq_metro.common.errors import UserError
from fairseq_metro.common.recipes import MOST_PASSAGES, PAPER, RECIPES
from fairseq_metro.common.sources import add_max_bad_rows, bad_rows_limit
from fairseq_metro.evaluate.ranking import RANKS, SUM
from fairseq_metro.evaluate.suite import suite_names
from fairseq_metro.inference.predict import FROZEN_MODEL
from fairseq_metro.prompts.mixtures.flan import MODES
from fairseq_metro.vocabulary.characters import add_allow_unknown

DTYPES = ("float32", "bfloat16", "float16")


def parser():
    """Build the command's argument parser."""
    parser = CommandParser(
        prog="fairseq-metro evaluate",
        description="Score a model on suites of prompted tasks. Every pair of set and template "
        "has a file in OUT/results; OUT/summary.json, OUT/report.md and plots are "
        "written at the end. An interrupted command resumes when it is run again.",
        epilog=f"Suites: {', '.join(suite_names())}, or a YAML file "
        "(fairseq_metro/evaluate/suite.py).",
    )
    add = parser.add_argument
    add("model", nargs="?", type=Path, metavar="CHECKPOINT",
        help="Model: a run directory, one of its checkpoints, RUN@UPDATES or a Hugging Face folder."
    )  # fmt: skip
    add("--suite", nargs="+", default=["t0_eval"], metavar="NAME",
        help="Suites to evaluate on (default: t0_eval).")  # fmt: skip
    add("--tasks", type=Path, metavar="DIR",
        help="Folder of task data; it takes precedence over --hub.")  # fmt: skip
    add(
        "--hub",
        action="store_true",
        help="Download sets that are not in --tasks from the Hugging Face hub.",
    )
    add("--templates", nargs="+", metavar="SOURCE",
        help="Sources of templates (default: the installed promptsource, then the package's "
             "own).")  # fmt: skip
    add(
        "--sets",
        nargs="+",
        metavar="NAME",
        help="Evaluate only these sets of the suites. An unavailable set is an error.",
    )
    add(
        "--clusters",
        nargs="+",
        metavar="NAME",
        help="Evaluate only the sets of the suites that belong to these clusters.",
    )
    add("--unseen-by", type=Path, metavar="DATA",
        help="Evaluate only sets of clusters that the model was not trained on. DATA is the "
             "folder of prompted pairs used for fine-tuning (FLAN's unseen tasks).")  # fmt: skip
    add("--mode", choices=MODES,
        help="Form of the inputs: with the template's instruction, without instruction, or "
             "preceded by the name of the data set (FLAN, section 4.3; default: the suite's, "
             "natural).")  # fmt: skip
    add("--split", help="Split to evaluate on, instead of the suite's (MMLU: test).")
    add("--limit", type=int, metavar="N", help="Maximum number of rows per set, for a quick check.")
    add_max_bad_rows(
        add, "How many rows of a split may be bad. They are left out and counted in the report, and "
        "scores of other rows are not those of the whole split (default: the first bad row ends the "
        "command)."
    )  # fmt: skip
    add_allow_unknown(add)
    add("--rank-by", choices=RANKS, default=SUM,
        help="Score by which answer choices are ranked (default: sum).")  # fmt: skip
    add("--shots", type=int, metavar="K",
        help="Number of exemplars in each input (default: the suite's, 0).")  # fmt: skip
    add(
        "--passages",
        type=Path,
        metavar="FILE",
        help="File of retrieved passages by row, written by fairseq-metro passages.",
    )
    add("--most-passages", type=int, metavar="N",
        help="Maximum number of passages appended to an input (default: the "
             "recipe's).")  # fmt: skip
    add("--recipe", choices=RECIPES, default=PAPER,
        help=f"Number of passages to append: paper uses {MOST_PASSAGES[PAPER]} (METRO-T0, A.8), "
             f"release uses {MOST_PASSAGES['release']}, as the released script does (default: "
             "paper).")  # fmt: skip
    add("--seed", type=int, default=1,
        help="Random seed for template variants and exemplars (default: 1).")  # fmt: skip
    add("--sequential-draws", action="store_true",
        help="Choose template variants with one random generator in row order, as METRO's "
             "evaluation does.")  # fmt: skip
    add("--dtype", choices=DTYPES, default="float32",
        help="Data type of the weights (default: float32).")  # fmt: skip
    add("--device", help="Device: cpu, cuda, cuda:1, ... (default: a GPU if there is one).")
    add("--frozen-model", type=Path, metavar="DIR", help=FROZEN_MODEL)
    add("--max-tokens", type=int, metavar="N", help="Maximum number of tokens in a padded batch.")
    add("--out", type=Path, metavar="DIR",
        help="Output folder (default: evaluation/SUITE in the run directory).")  # fmt: skip
    add("--checkpoints", action="store_true",
        help="Evaluate every checkpoint of the run and plot a curve.")  # fmt: skip
    add("--expect", metavar="NAME",
        help="Published model whose counts of correct answers are compared with the "
             "results.")  # fmt: skip
    add("--compare", nargs=2, metavar=("A", "B"),
        help="Compare two output folders or published rows side by side, without evaluating a "
             "model.")  # fmt: skip
    return parser


def most_passages(args):
    """The number of passages that the options ask for: int."""
    return MOST_PASSAGES[args.recipe] if args.most_passages is None else args.most_passages


def check(args):
    """Raise :class:`UserError` for what cannot be meant."""
    if args.compare:
        if args.model:
            raise UserError("--compare reads results and evaluates no model; leave CHECKPOINT out")
        return
    if args.model is None:
        raise UserError("no CHECKPOINT; name a run's folder, a checkpoint or a Hugging Face folder")
    for name, least in (("limit", 1), ("shots", 0), ("max_tokens", 1), ("most_passages", 1)):
        value = getattr(args, name)
        if value is not None and value < least:
            raise UserError(f"--{name.replace('_', '-')} is {value}, must be at least {least}")
    bad_rows_limit(args)
    if args.seed < 0:
        raise UserError(f"--seed is {args.seed}, must be at least 0")
    if args.tasks is None and not args.hub:
        raise UserError("name the folder of task data (--tasks DIR), or allow the hub (--hub)")
