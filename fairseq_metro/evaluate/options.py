"""What a person can say to ``eval/run.sh`` and ``fairseq-metro evaluate``."""

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
    """The command's parser."""
    found = CommandParser(
        prog="fairseq-metro evaluate",
        description="Score a model on suites of prompted tasks: a file for each (set, template) run in "
        "OUT/results, then OUT/summary.json, OUT/report.md and pictures. The same command goes on "
        "where it was stopped.",
        epilog=f"suites: {', '.join(suite_names())}; or a YAML file (fairseq_metro/evaluate/suite.py)",
    )
    add = found.add_argument
    add("model", nargs="?", type=Path, metavar="CHECKPOINT",
        help="a run's folder, one of its checkpoints, RUN@UPDATES, or a Hugging Face folder"
    )  # fmt: skip
    add("--suite", nargs="+", default=["t0_eval"], metavar="NAME", help="default: t0_eval")
    add("--tasks", type=Path, metavar="DIR", help="folder of task data, looked at first")
    add(
        "--hub", action="store_true", help="ask Hugging Face's hub for sets that are not in --tasks"
    )
    add("--templates", nargs="+", metavar="SOURCE",
        help="where templates are (default: installed promptsource, the package's own)")  # fmt: skip
    add(
        "--sets",
        nargs="+",
        metavar="NAME",
        help="only these sets of the suites; each must be there",
    )
    add(
        "--clusters",
        nargs="+",
        metavar="NAME",
        help="Evaluate only the suites' sets of these clusters.",
    )
    add("--unseen-by", type=Path, metavar="DATA",
        help="Evaluate only sets no set of whose cluster was trained on; DATA is the folder of "
        "prompted pairs that the model was fine-tuned on (FLAN's unseen tasks).")  # fmt: skip
    add("--mode", choices=MODES,
        help="Give inputs with the template's instruction, without any, or behind the data set's name "
        "(FLAN, section 4.3; default: the suite's, natural).")  # fmt: skip
    add("--split", help="evaluate on this split instead of the suites' (MMLU: test)")
    add("--limit", type=int, metavar="N", help="at most N rows of a set, for a quick look")
    add_max_bad_rows(
        add, "How many rows of a split may be bad. They are left out and counted in the report, and "
        "scores of other rows are not those of the whole split (default: the first bad row ends the "
        "command)."
    )  # fmt: skip
    add_allow_unknown(add)
    add("--rank-by", choices=RANKS, default=SUM, help="score of a choice (default: sum)")
    add("--shots", type=int, metavar="K", help="exemplars in each input (default: the suite's, 0)")
    add(
        "--passages",
        type=Path,
        metavar="FILE",
        help="retrieved passages by row (fairseq-metro passages)",
    )
    add("--most-passages", type=int, metavar="N",
        help="Maximum number of passages behind an input (default: the recipe's).")  # fmt: skip
    add("--recipe", choices=RECIPES, default=PAPER,
        help="Whose number of passages is used: the paper appends "
        f"{MOST_PASSAGES[PAPER]} (METRO-T0, A.8), its released script {MOST_PASSAGES['release']} "
        "(default: paper).")  # fmt: skip
    add("--seed", type=int, default=1, help="of random wordings and exemplars (default: 1)")
    add("--sequential-draws", action="store_true",
        help="random wordings from one generator in row order, as in METRO's evaluation")  # fmt: skip
    add("--dtype", choices=DTYPES, default="float32", help="of weights (default: float32)")
    add("--device", help="cpu, cuda, cuda:1, ... (default: a GPU where there is one)")
    add("--frozen-model", type=Path, metavar="DIR", help=FROZEN_MODEL)
    add("--max-tokens", type=int, metavar="N", help="of a padded batch")
    add("--out", type=Path, metavar="DIR", help="default: evaluation/SUITE in the run's folder")
    add("--checkpoints", action="store_true", help="every checkpoint of the run, as a curve")
    add("--expect", metavar="NAME", help="compare hit counts with a published model's")
    add("--compare", nargs=2, metavar=("A", "B"),
        help="no evaluation: two output folders, or published rows, side by side")  # fmt: skip
    return found


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
