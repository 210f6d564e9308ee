"""SMASH on real text and real few-shot tasks: does prompt distillation help a small model here?

    python -m fairseq_metro.papers.smash.study text teacher-short teacher student-short student \\
        --text DIR
    python -m fairseq_metro.papers.smash.study prompts distill fewshot ablation report \\
        --text DIR --tasks DIR

Stages run in the order given; each reuses what is there and goes on where it was stopped, so a stage
can be typed again, and two commands with different stages share a machine. DIR of ``--text`` holds
``*.txt`` and ``books/*.txt`` (``wikitext2.valid.txt`` is held out, ``wikitext2.test.txt`` never
read), that of ``--tasks`` the original task files. Models of this size are RoBERTa's in small; the
teacher has more than three times the student's parameters.
"""

import dataclasses
from functools import partial
from pathlib import Path

from fairseq_metro.analysis.log import read_log
from fairseq_metro.common.arguments import CommandParser
from fairseq_metro.common.errors import UserError, run_command
from fairseq_metro.common.stamp import ROOT
from fairseq_metro.evaluate.fewshot.cells import PROMPT
from fairseq_metro.evaluate.fewshot.grid import plan
from fairseq_metro.papers.smash.fewshot import (
    GRID,
    ROWS,
    TASKS,
    K,
    run_cells,
    split_folders,
    standing_in,
    table_cells,
)
from fairseq_metro.papers.smash.models import (
    DISTILLATION,
    MODELS,
    PIECES,
    SETTINGS,
    SIZES,
    VOCABULARY,
    distil,
    pretrain,
    prompts_stage,
    text_stage,
)
from fairseq_metro.papers.smash.report import write_report
from fairseq_metro.smash.splits import SEEDS
from fairseq_metro.smash.tasks import load_task

RESULTS = ROOT / "benchmarks" / "results" / "smash.jsonl"
CURVES = RESULTS.with_name("smash_curves.jsonl")
CURVE_LR = 1e-3


def smash_of(task, setting="ce"):
    """The folder, below --work, of the student distilled for a task's group."""
    return f"smash-{setting}-{load_task(task).group}"


def fewshot_stage(args):
    """The table's cells, split by split and task by task, of the models asked for."""
    originals = originals_of(args)
    with standing_in(args.work):
        for seed in args.seeds:
            for task in args.columns:
                cells = table_cells(task, smash_of(task), originals, [seed], args.models)
                run_cells(cells, RESULTS)


def ablation_stage(args):
    """Prompt fine-tuning of every checkpoint of every setting on one task: figure 2's curves."""
    originals = originals_of(args)
    with standing_in(args.work):
        folders = split_folders(args.curve_task, args.seeds, originals)
        for setting in args.settings:
            run = Path(smash_of(args.curve_task, setting))
            checkpoints = sorted(run.glob("checkpoint_*_*.pt"), key=updates_of)
            if not checkpoints:
                raise UserError(f"{run}: no checkpoints there; run the stage settings first")
            grid = dataclasses.replace(GRID, rows=(PROMPT,), lrs=(CURVE_LR,))
            run_cells(plan(grid, list(map(str, checkpoints)), folders), args.curves)
        grid = dataclasses.replace(GRID, rows=(PROMPT,), lrs=(CURVE_LR,))
        there = [name for name in MODELS if (Path(name) / "checkpoint_last.pt").exists()]
        run_cells(plan(grid, there, folders), args.curves)


def report_stage(args):
    """``smash.md`` and the curves' picture, from the files of results and the runs' logs."""
    about = {
        "prompts": SIZES["single_sentence"], "updates": DISTILLATION, "pieces": VOCABULARY,
        "lrs": " and ".join(f"{lr:g}" for lr in GRID.lrs), "batch": GRID.batches[0],
        "steps": GRID.steps[K], "every": GRID.every, "rows": GRID.test_rows,
    }  # fmt: skip
    print(write_report(RESULTS, args.curves, about, facts(args.work)))


def facts(work):
    """Facts about each trained model and about initial models: dict."""
    hashes = {}
    for name, piece in PIECES.items():
        begins = any(other.begins == name for other in PIECES.values())
        log = log_of(work / name)
        if log is not None and (begins or log.valid[-1].update >= piece.updates):
            width, layers, heads = MODELS[piece.model]
            last = log.valid[-1]
            begun = f", begun with {piece.begins}'s best checkpoint" if piece.begins else ""
            hashes[name] = (
                f"{width} wide, {layers} layers, {heads} heads, {log.parameters:,} parameters; masked "
                f"LM, {last.update:,} of {piece.updates:,} updates of {piece.blocks} blocks of "
                f"{piece.tokens} tokens at most{begun}, "
                f"{log.seconds / 60:.0f} minutes on a part of one core; held-out loss "
                f"{last.values['mlm_loss']:.3f}, accuracy {last.values['mlm_accuracy']:.3f}"
            )
    for run in sorted(work.glob("smash-*-*")):
        if (log := log_of(run)) is not None and "kl" in log.valid[-1].values:
            start, end = log.start.values["kl"], log.valid[-1].values["kl"]
            hashes[run.name] = f"held-out KL to its teacher {start:.3f} before, {end:.3f} after"
    return hashes


def log_of(run):
    """A run's log, None where it has none with a validation in it."""
    if not (run / "train.log").exists():
        return None
    log = read_log(run / "train.log")
    return log if log.valid else None


def updates_of(checkpoint):
    """Number of updates of a checkpoint that fairseq named."""
    return int(checkpoint.stem.rsplit("_", 1)[1])


def originals_of(args):
    if args.tasks is None:
        raise UserError("--tasks is missing: the folder of task files")
    return args.tasks.resolve()


STAGES = {
    "text": text_stage,
    "prompts": prompts_stage,
    "distil": lambda args: [distil("ce", group, args) for group in args.groups],
    "settings": lambda args: [
        distil(setting, load_task(args.curve_task).group, args) for setting in args.settings
    ],
    "fewshot": fewshot_stage,
    "ablation": ablation_stage,
    "report": report_stage,
    **{name: partial(pretrain, name) for name in PIECES},
}


def main(argv=None):
    parser = CommandParser(description=__doc__)
    parser.add_argument("stages", nargs="+", metavar="STAGE",
        help=f"Stages to run: {', '.join(STAGES)}.")  # fmt: skip
    parser.add_argument("--text", type=Path, required=True, help="Folder of text files.")
    parser.add_argument("--tasks", type=Path, help="Folder of task files.")
    parser.add_argument("--groups", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--teachers", nargs="+", default=["teacher"],
        help="Teachers used in the stage 'prompts'.")  # fmt: skip
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--columns", nargs="+", default=TASKS, help="Few-shot tasks of the table.")
    parser.add_argument("--models", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS),
        help="Random seeds of the splits.")  # fmt: skip
    parser.add_argument("--curve-task", default="subj", help="Few-shot task of the ablation.")
    parser.add_argument(
        "--curves", type=Path, default=CURVES,
        help="File of results of the ablation (default: benchmarks/results/smash_curves.jsonl).",
    )  # fmt: skip
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "smash")
    args = parser.parse_args(argv)
    for stage in args.stages:
        if stage not in STAGES:
            raise UserError(f"no stage {stage!r}; there are {', '.join(STAGES)}")
    for stage in args.stages:
        STAGES[stage](args)
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command(main))
