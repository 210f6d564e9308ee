"""fairseq-train's arguments for a row of the pretraining table, and the options that choose it."""

from pathlib import Path

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.files import split_paths
from fairseq_metro.common.recipes import RECIPES, choices
from fairseq_metro.recipes.batches import real_tokens, share_out
from fairseq_metro.recipes.table import MODELS, SIZES, pretraining

PAPER_UPDATE = 2048 * 512
DERIVED = ("--max-tokens", "--update-freq", "--batch-size", "--tokens-per-sample")


def values(row, batches, save_dir=None):
    """fairseq-train's options for a row of the table: dict of option -> value, True for a flag."""
    options = {
        "--task": row.objective,
        "--arch": row.architecture,
        "--criterion": row.objective,
        **recipe_options(row),
        "--num-workers": row.workers,
        "--tokens-per-sample": row.length,
        "--max-tokens": batches.tokens,
        "--update-freq": batches.accumulate,
        **adam(row),
        "--max-update": row.updates,
        **saving(row, save_dir),
    }
    return {option: value for option, value in options.items() if value is not None}


def adam(row):
    """Options of Adam and of the paper's schedule: linearly up, then linearly to 0."""
    return {
        "--optimizer": "fused_adam",
        "--adam-betas": row.adam_betas,
        "--adam-eps": row.adam_eps,
        "--weight-decay": row.weight_decay,
        "--clip-norm": row.clip,
        "--lr": row.lr,
        "--lr-scheduler": "polynomial_decay",
        "--warmup-updates": row.warmup,
        "--total-num-update": row.updates,
    }


def saving(row, save_dir):
    """Options of checkpoints, validation and log."""
    return {
        "--save-dir": save_dir,
        "--no-epoch-checkpoints": True,
        "--save-interval-updates": row.save_every,
        "--keep-interval-updates": 1,
        "--validate-interval-updates": row.save_every,
        "--log-format": "json",
        "--log-interval": row.log_every,
    }


def words(row, batches, save_dir=None):
    """fairseq-train's arguments for a row of the table, without the data: a list of strings."""
    return command_words(values(row, batches, save_dir))


def command_words(options):
    """A dict of option -> value as words of a command line: a list of strings.

    >>> command_words({"--lr": 4e-5, "--update-freq": 8, "--bf16": True})
    ['--lr', '4e-05', '--update-freq', '8', '--bf16']
    """
    arguments = []
    for option, value in options.items():
        if value is True:
            arguments.append(option)
        else:
            arguments += [option, f"{value:g}" if isinstance(value, float) else str(value)]
    return arguments


def recipe_options(row):
    """``--recipe`` where it is not the default, with the choice that depends on the size.

    Under fairseq-hydra-train a run does not know the name of its size, so that is written out.
    """
    if row.recipe == "paper":
        return {}
    options = {"--recipe": row.recipe}
    if row.objective == "metro_t5":
        weighted = choices(row.recipe, row.size)["weighted_lm_loss"]
        options["--weighted-lm-loss"] = "yes" if weighted else "no"
    return options


def describe(row, batches, folder=None):
    """The composition of an update, and a warning if it differs from the paper's: list of lines."""
    lines = [
        f"an update: {batches.processes} process{'es' * (batches.processes > 1)} x "
        f"{batches.tokens:,} tokens x {batches.accumulate} accumulated = {batches.update:,} tokens "
        "at most"
    ]
    if folder:
        block, update = real_tokens(folder, row.length, batches)
        lines[0] += (
            f"; on average {update:,.0f} with this data, whose blocks of at most {row.length} have "
            f"{block:.0f} tokens"
        )
        if row.update == PAPER_UPDATE and update < 0.9 * PAPER_UPDATE:
            lines.append(
                f"warning: the paper's update is {PAPER_UPDATE:,} tokens, this data's "
                f"{100 * update / PAPER_UPDATE:.0f} % of it: documents are short; join related "
                "texts to longer ones, or give --sample-break-mode complete"
            )
    if row.update != PAPER_UPDATE:
        lines.append(
            f"warning: {row.size} is no size of the paper's: its update is {row.update:,} tokens, "
            f"not {PAPER_UPDATE:,}"
        )
    return lines


def given_at_the_end(extra, derived=DERIVED):
    """A warning if a run's own options change the size of an update: list of lines."""
    names = {word.split("=")[0] for word in extra}
    own = [name for name in derived if name in names]
    if not own:
        return []
    return [f"warning: {', '.join(own)} given at the end: an update is made of something else"]


def add_row_arguments(parser):
    """The arguments that choose a row and share out its update."""
    parser.add_argument("--objective", default="metro_t5",
        help=f"Pretraining objective: {' | '.join(MODELS)}.")  # fmt: skip
    parser.add_argument("--size", default="base", help=f"Model size: {' | '.join(SIZES)}.")
    parser.add_argument("--recipe", default="paper", help=f"Recipe: {' | '.join(RECIPES)}.")
    parser.add_argument(
        "--processes", default="1", help="Number of GPUs, or of CPU processes, on one machine."
    )
    parser.add_argument("--machines", default="1",
        help="Number of machines with --processes processes each.")  # fmt: skip
    parser.add_argument(
        "--tokens-per-process",
        default="",
        help="Number of tokens in a batch of one process (default: the largest that divides the "
        "update, up to the value in the table, or what fits the memory of --gpu or "
        "--gpu-mib).",
    )
    parser.add_argument("--data", default="", help="Data folders, joined by ':'.")


def positive(name, text):
    """A number of the command line. Raises :class:`UserError` where it is none above 0."""
    if not text.isdecimal() or int(text) == 0:
        raise UserError(f"{name} is {text!r}, must be a whole number above 0")
    return int(text)


def chosen(args, most=None):
    """(row, batches) of parsed arguments. most: tokens of a batch that fit, where that is known."""
    row = pretraining(args.objective, args.size, args.recipe)
    machines = positive("MACHINES", args.machines)
    processes = positive("PROCESSES", args.processes) * machines
    tokens = args.tokens_per_process
    tokens = positive("TOKENS", tokens) if tokens else None
    return row, share_out(row, processes, tokens, most)


def first_folder(data):
    """The first shard of a ``:``-joined data argument; None where that holds no data.

    The task says what is wrong with such a folder.
    """
    folders = split_paths(data)
    return folders[0] if folders and Path(folders[0], "train.idx").is_file() else None
