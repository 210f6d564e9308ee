"""Options of ``fairseq-metro reproduce``, importable without torch."""

from pathlib import Path

from fairseq_metro.common.arguments import CommandParser
from fairseq_metro.papers.targets import SCALES, target_names

REPRODUCE = """\
Reproduce one table or figure of a paper: what is to run, the runs, a table, a plot, a verdict.

    fairseq-metro reproduce metro_table2 --scale cpu --text DIR --tasks DIR
    fairseq-metro reproduce metro_table2 --scale paper --plan
    fairseq-metro reproduce metro_table2 --scale paper --rehearse 40

Scales: cpu (two cores), gpu1 (one GPU, METRO-T5 against T5 alone), paper (the original). Before it
starts it says what it will run, tokens, disk and hours; --plan says that and starts nothing;
--rehearse runs the original's commands with tiny models and few updates, on a CPU too, to see that all
of its files and folders are as they should be before the GPUs are asked for. Every
finished step is appended at once to the file of results (--out) and not run again; a step that was
interrupted goes on from its checkpoint. Runs lie below --work, results in it. What this project
measured is benchmarks/results/reproduction.jsonl: given as --out, no step of it is run again.
"""


def reproduce():
    """Options of ``fairseq-metro reproduce``."""
    parser = CommandParser(description=REPRODUCE)
    add = parser.add_argument
    add("target", help=f"one of {', '.join(target_names())}")
    add("--scale", default="cpu", choices=SCALES)
    add("--plan", "--dry-run", action="store_true", help="say what would be run, and start nothing")
    add("--rehearse", type=int, metavar="N",
        help="SCALE=paper alone: run every command with ARCH=tiny and N updates of fine-tuning and "
        "distillation (40 or a multiple; twice as many of pretraining, a tenth of few-shot runs), "
        "everything else as it is")  # fmt: skip
    add("--report", action="store_true", help="run nothing: table and verdict of what is there")
    add("--text", type=Path, help="folder of text files, wikitext2.*.txt among them")
    add("--tasks", type=Path, help="folder of task files")
    add("--templates", type=Path, help="promptsource's templates (default: installed)")
    add("--seeds", type=int, nargs="+", help="these alone (default: the scale's)")
    add("--variants", nargs="+", metavar="NAME", help="models of these alone, such as metro t5")
    add("--processes", type=int, default=1, help="of pretraining, or GPUs (default: %(default)s)")
    add("--only", nargs="+", metavar="KIND", help="only steps of these kinds, such as pretrain")
    add("--blocks", type=int, metavar="N", help="of the held-out text, the first N alone")
    add("--work", type=Path, help="default: runs/reproduction/SCALE")
    add("--out", type=Path, help="file of results (default: results.jsonl in --work)")
    return parser
