"""fairseq-train's arguments for prompt distillation: ``python -m fairseq_metro.recipes.smash``.

    python -m fairseq_metro.recipes.smash --group sentence_pair --init-from DIR --teacher DIR

prints them, one on each line; what an update is made of, and how often it visits each prompt, goes
to the standard error. The scripts ``train_scripts/smash_*.sh`` start fairseq-train with these words.
Options of fairseq-train may follow after ``--``; they are not printed.
"""

import argparse
import sys
from pathlib import Path

from fairseq_metro.common.arguments import CommandParser
from fairseq_metro.common.errors import UserError, run_command
from fairseq_metro.common.files import read_json, split_paths
from fairseq_metro.recipes.batches import share_sequences
from fairseq_metro.recipes.smash_table import GROUPS, MODELS, SETTINGS, distillation
from fairseq_metro.recipes.words import adam, command_words, given_at_the_end, positive, saving
from fairseq_metro.trainer.checkpoint_names import named_checkpoint

TASK = "prompt_distillation"
DERIVED = ("--batch-size", "--update-freq", "--max-tokens")
VALID, STAMP = "valid", "intermediate.json"


def values(row, batches, save_dir=None, init=None, teacher=None, cache=None, validated=True):
    """fairseq-train's options for a row of the table: dict of option -> value, True for a flag.

    init: ``--init-from``; teacher, cache: paths joined by ':'; validated: whether there is held-out
    data.
    """
    options = {
        "--task": TASK,
        "--arch": row.architecture,
        "--criterion": TASK,
        "--distillation": row.distillation if row.distillation != "ce" else None,
        "--temperature": row.temperature if row.temperature != 1 else None,
        "--hidden-weight": row.hidden_weight or None,
        "--attention-weight": row.attention_weight or None,
        "--teacher": teacher or None,
        "--teacher-cache": cache or None,
        "--dropout": row.dropout,
        "--attention-dropout": row.dropout,
        "--init-from": init,
        "--num-workers": row.workers,
        "--tokens-per-sample": row.length,
        "--batch-size": batches.tokens,
        "--update-freq": batches.accumulate,
        "--disable-validation": None if validated else True,
        **adam(row),
        "--max-update": row.updates,
        **saving(row, save_dir),
        # Every checkpoint is kept, for the curves over updates (Figure 2).
        "--keep-interval-updates": None,
        # By updates and not by epochs, which may be short or long.
        "--save-interval": 1000000,
        "--validate-interval": 1000000,
    }
    return {option: value for option, value in options.items() if value is not None}


def words(row, batches, save_dir=None, init=None, teacher=None, cache=None, validated=True):
    """fairseq-train's arguments for a row of the table, without the data: a list of strings."""
    return command_words(values(row, batches, save_dir, init, teacher, cache, validated))


def describe(row, batches, examples=None):
    """What an update is made of, and how often all visit a prompt: list of lines."""
    lines = [
        f"an update: {batches.processes} process{'es' * (batches.processes > 1)} x "
        f"{batches.tokens} prompts x {batches.accumulate} accumulated = {batches.update:,}"
    ]
    if row.reads_text:
        lines[0] = lines[0].replace("prompts", f"blocks of at most {row.length} tokens")
    if examples:
        epochs = row.updates * batches.update / examples
        lines[0] += (
            f"; {row.updates:,} updates visit each of the {examples:,} prompts {epochs:.1f} times"
        )
    paper = distillation("sentence_pair")
    if (row.prompts, row.updates) != (paper.prompts, paper.updates):
        lines.append(
            f"warning: {row.size} is no size of the paper's: {row.updates:,} updates of "
            f"{row.prompts}, not {paper.updates:,} of {paper.prompts}"
        )
    return lines


def check_teacher(row, teacher, cache, planned=False):
    """Raise :class:`UserError` where the setting has no teacher that it needs, or one too many.

    planned: nothing is started, so the teachers need not be there yet.
    """
    if not row.taught and (teacher or cache):
        raise UserError("SETTING=rule has no teacher; leave TEACHER and CACHE out")
    if row.online and (cache or not teacher):
        raise UserError(
            f"SETTING={row.setting} needs the teacher's states: give TEACHER, and no CACHE"
        )
    if row.taught and not (teacher or cache):
        raise UserError(
            "TEACHER is not set; name the larger model, a Hugging Face folder or a run's, or CACHE, "
            "what fairseq-metro cache-teacher wrote"
        )
    for path in split_paths(teacher):
        if not planned and not Path(path).exists():
            raise UserError(f"TEACHER is {path!r}: no such file or folder")


def check_folder(data, row):
    """(training prompts, None of text; whether there are held-out ones) of a data folder.

    Raises :class:`UserError` where its prompts are another group's, or another model's kind.
    """
    if row.reads_text:
        if not Path(data, "train.idx").is_file():
            raise UserError(
                f"DATA is {data!r}, but SETTING={row.setting} reads raw text: give a folder written "
                "by fairseq-metro binarize"
            )
        return None, Path(data, "valid.idx").is_file()
    if not Path(data).is_dir():
        raise UserError(
            f"DATA is {data!r}, no folder; make it with fairseq-metro intermediate, or give TEXT, the "
            "documents"
        )
    try:  # by hand: who reads prompts imports torch, which takes seconds
        stamp = read_json(Path(data) / STAMP)
        name, kind = stamp["settings"]["group"]["name"], stamp["kind"]
        examples, validated = stamp["splits"]["train"]["examples"], VALID in stamp["splits"]
    except (UserError, OSError, KeyError, TypeError):
        raise UserError(
            f"DATA is {data!r}, without a whole {STAMP}; make it with fairseq-metro intermediate"
        ) from None
    if name in GROUPS and name != row.group:
        raise UserError(f"DATA is {data!r}, of the group {name}, not of {row.group}")
    if kind != row.kind:
        raise UserError(
            f"DATA is {data!r}, prompts of kind {kind}; MODEL={row.model} needs {row.kind}"
        )
    return examples, validated


def checked_start(init, planned=False):
    """The student's path; ``RUN@UPDATES`` is that checkpoint's file.

    planned: nothing is started, so the path need not be there yet. Raises :class:`UserError`.
    """
    if not init:
        raise UserError(
            "INIT is not set; name the student: a run's folder or checkpoint, or a Hugging Face folder"
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
    add("--group", default=GROUPS[0], help=f"Task group: {' | '.join(GROUPS)}.")
    add("--setting", default=SETTINGS[0], help=f"Distillation setting: {' | '.join(SETTINGS)}.")
    add("--model", default="roberta", help=f"Model family: {' | '.join(MODELS)}.")
    add("--size", default="",
        help="Size of the student (default: distil; small for hf, base for t5).")  # fmt: skip
    add("--processes", default="1", help="Number of GPUs, or of CPU processes, on one machine.")
    add("--machines", default="1", help="Number of machines with --processes processes each.")
    add("--batch", default="", help="Number of prompts in a batch of one process.")
    add("--init-from", default="", help="Student to start from.")
    add("--teacher", default="",
        help="Teacher to run on every batch; several may be joined by ':'.")  # fmt: skip
    add("--cache", default="", help="Cached predictions of a teacher, instead of --teacher.")
    add("--data", default="", help="Data folder (default: none; the recipe is only checked).")
    add("--save-dir", help="Run directory.")
    add("--plan", action="store_true",
        help="Print the options even if the models do not exist yet.")  # fmt: skip
    add("options", nargs="*", help=argparse.SUPPRESS)
    return made


def main(argv=None):
    args = parser().parse_args(argv)
    row = distillation(args.group, args.setting, args.model, args.size)
    processes = positive("PROCESSES", args.processes) * positive("MACHINES", args.machines)
    batches = share_sequences(row, processes, positive("BATCH", args.batch) if args.batch else None)
    init = checked_start(args.init_from, args.plan)
    check_teacher(row, args.teacher, args.cache, args.plan)
    examples, validated = check_folder(args.data, row) if args.data else (None, True)
    end = given_at_the_end(args.options, DERIVED)
    for line in [*describe(row, batches, examples), *end]:
        print(line, file=sys.stderr)
    teacher = "" if args.cache else args.teacher
    print("\n".join(words(row, batches, args.save_dir, init, teacher, args.cache, validated)))
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command(main))
