"""fairseq-train's arguments for prompt fine-tuning: ``python -m fairseq_metro.recipes.finetuning``.

    python -m fairseq_metro.recipes.finetuning --size base --init-from runs/mine --data DATA

prints them, one on each line; what an update is made of goes to the standard error. The scripts
``train_scripts/finetune_*.sh`` start fairseq-train with these words. Options of fairseq-train may
follow after ``--``; they are not printed.
"""

import argparse
import sys
from pathlib import Path

from fairseq_metro.common.arguments import CommandParser
from fairseq_metro.common.errors import UserError, run_command
from fairseq_metro.common.files import read_json
from fairseq_metro.data.prompted_files import MIXTURE, splits_of
from fairseq_metro.recipes.batches import share_sequences
from fairseq_metro.recipes.finetuning_table import MODELS, RECIPES, finetuning
from fairseq_metro.recipes.table import SIZES
from fairseq_metro.recipes.words import adam, command_words, given_at_the_end, positive, saving
from fairseq_metro.trainer.checkpoint_names import named_checkpoint

TASK = "prompt_finetuning"
TRAIN, VALID, HELDOUT = "train", "valid", "heldout"
DERIVED = ("--batch-size", "--update-freq", "--max-tokens")


def values(row, batches, save_dir=None, init=None, validated=(VALID,)):
    """fairseq-train's options for a row of the table: dict of option -> value, True for a flag.

    init: ``--init-from``; validated: names of the splits to validate on, none for no validation.
    """
    if row.optimizer == "fused_adam":
        optimization = adam(row)
    else:
        optimization = {
            "--optimizer": row.optimizer,
            "--weight-decay": row.weight_decay,
            "--clip-norm": row.clip,
            "--lr": row.lr,
            "--lr-scheduler": row.scheduler,
            "--warmup-updates": row.warmup,
        }
    options = {
        "--task": TASK,
        "--arch": row.architecture,
        "--criterion": TASK,
        "--dropout": row.dropout,
        "--attention-dropout": (
            row.dropout if row.attention_dropout is None else row.attention_dropout
        ),
        "--init-from": init,
        "--soft-prompt-tokens": row.soft_prompt or None,
        "--num-workers": row.workers,
        "--max-source-length": row.source,
        "--max-target-length": row.target,
        "--pack": row.pack or None,
        "--batch-size": batches.tokens,
        "--update-freq": batches.accumulate,
        # Validation is not packed; of what fits in training, its batches take as much.
        "--batch-size-valid": batches.tokens,
        "--max-tokens-valid": batches.tokens * row.width,
        "--valid-subset": ",".join(validated) or None,
        "--disable-validation": None if validated else True,
        **optimization,
        "--max-update": row.updates,
        **saving(row, save_dir),
        # By updates and not by epochs, which may be short or long.
        "--save-interval": 1000000,
        "--validate-interval": 1000000,
    }
    return {option: value for option, value in options.items() if value is not None}


def words(row, batches, save_dir=None, init=None, validated=(VALID,)):
    """fairseq-train's arguments for a row of the table, without the data: a list of strings."""
    return command_words(values(row, batches, save_dir, init, validated))


def describe(row, batches):
    """The composition of an update, and a warning if it differs from the paper's: list of lines."""
    kind = f"packed rows of {row.source:,} source tokens" if row.pack else "sequences"
    lines = [
        f"an update: {batches.processes} process{'es' * (batches.processes > 1)} x "
        f"{batches.tokens} {kind} x {batches.accumulate} accumulated = {batches.update:,}"
    ]
    if row.pack:
        lines[0] += f", {batches.update * row.source:,} source tokens at most"
    paper = finetuning(row.recipe, "base")
    if (row.sequences, row.source) != (paper.sequences, paper.source):
        lines.append(
            f"warning: {row.size} is no size of the paper's: its update is {row.sequences} of "
            f"{row.source:,} source tokens, not {paper.sequences:,} of {paper.source:,}"
        )
    return lines


def check_folder(data, mixture=None):
    """Names of the splits to validate on in a data folder, and a warning if it is another mixture's.

    Returns (list of names, list of lines). Raises :class:`UserError` where nothing can be trained
    on.
    """
    if not Path(data).is_dir():
        raise UserError(
            f"DATA is {data!r}, no folder; make it with fairseq-metro prompts, or give TASKS, "
            "the folder of the raw task files"
        )
    splits = splits_of(data)
    if TRAIN not in splits:
        raise UserError(
            f"DATA is {data!r}, a folder without {TRAIN}/data_cap.json; make one with "
            "fairseq-metro prompts"
        )
    validated = [split for split in (VALID, HELDOUT) if split in splits]
    made_of = _mixture_of(Path(data))
    if mixture is None or mixture.endswith(".yaml") or made_of is None:
        return validated, []
    if made_of == mixture or made_of.startswith((f"{mixture} (", f"{mixture} without ")):
        return validated, []  # the mixture, with a part held out or left away
    return validated, [f"warning: {data} is made of the mixture {made_of}, not of {mixture}"]


def _mixture_of(data):
    """Name of the mixture that train is made of; None where the folder does not say."""
    path = data / TRAIN / MIXTURE
    facts = read_json(path) if path.is_file() else None  # an authors' folder has none
    return facts.get("mixture") if isinstance(facts, dict) else None


def checked_start(init, planned=False):
    """The path of what to begin with; ``RUN@UPDATES`` is that checkpoint's file.

    planned: nothing is started, so the path need not be there yet. Raises :class:`UserError`.
    """
    if not init:
        raise UserError(
            "INIT is not set; name what to begin with: a run's folder or checkpoint, an authors' "
            "or a Hugging Face folder"
        )
    if planned:
        return init
    init = str(named_checkpoint(init))
    if not Path(init).exists():
        raise UserError(f"INIT is {init!r}: no such file or folder")
    return init


def parser():
    """Build the command's argument parser."""
    made = CommandParser(description=__doc__.split("\n")[0])
    add = made.add_argument
    add("--recipe", default="t0", help=f"Recipe: {' | '.join(RECIPES)}.")
    add("--size", default="base", help=f"Model size: {' | '.join(SIZES)}.")
    add("--model", default="metro", help=f"Model family: {' | '.join(MODELS)}.")
    add("--processes", default="1", help="Number of GPUs, or of CPU processes, on one machine.")
    add("--machines", default="1", help="Number of machines with --processes processes each.")
    add("--batch", default="", help="Number of sequences in a batch of one process.")
    add("--tokens-per-process", default="",
        help="Number of tokens in a batch of full-length sequences, instead of "
             "--batch.")  # fmt: skip
    add("--init-from", default="", help="Model to start from.")
    add("--data", default="", help="Data folder (default: none; the recipe is only checked).")
    add("--mixture", help="Mixture that the data should have been made from.")
    add("--save-dir", help="Run directory.")
    add("--plan", action="store_true",
        help="Print the options even if the model of --init-from does not exist yet.")  # fmt: skip
    add("options", nargs="*", help=argparse.SUPPRESS)
    return made


def main(argv=None):
    args = parser().parse_args(argv)
    row = finetuning(args.recipe, args.size, args.model)
    processes = positive("PROCESSES", args.processes) * positive("MACHINES", args.machines)
    batch = positive("BATCH", args.batch) if args.batch else None
    tokens = args.tokens_per_process
    tokens = positive("TOKENS", tokens) if tokens else None
    batches = share_sequences(row, processes, batch, tokens)
    init = checked_start(args.init_from, args.plan)
    validated, warnings = check_folder(args.data, args.mixture) if args.data else ([VALID], [])
    end = given_at_the_end(args.options, DERIVED)
    for line in [*describe(row, batches), *warnings, *end]:
        print(line, file=sys.stderr)
    print("\n".join(words(row, batches, args.save_dir, init, validated)))
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command(main))
