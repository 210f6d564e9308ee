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
    add("target", help=f"Table or figure to reproduce: one of {', '.join(target_names())}.")
    add("--scale", default="cpu", choices=SCALES)
    add("--plan", "--dry-run", action="store_true", help="Print the commands without running them.")
    add("--rehearse", type=int, metavar="N",
        help="With --scale paper only: run every command with ARCH=tiny and N updates of "
             "fine-tuning and distillation (40 or a multiple; twice as many for pretraining, a "
             "tenth for few-shot runs). Everything else is unchanged.")  # fmt: skip
    add("--report", action="store_true",
        help="Run nothing; write the table and the verdict from the existing "
             "results.")  # fmt: skip
    add("--text", type=Path, help="Folder of text files, including wikitext2.*.txt.")
    add("--tasks", type=Path, help="Folder of task files.")
    add("--templates", type=Path,
        help="Folder of promptsource's templates (default: the installed package).")  # fmt: skip
    add("--seeds", type=int, nargs="+", help="Run only these seeds (default: the scale's).")
    add("--variants", nargs="+", metavar="NAME",
        help="Run only these models, for example metro t5.")  # fmt: skip
    add("--processes", type=int, default=1,
        help="Number of pretraining processes or GPUs (default: %(default)s).")  # fmt: skip
    add("--only", nargs="+", metavar="KIND",
        help="Run only steps of these kinds, for example pretrain.")  # fmt: skip
    add("--blocks", type=int, metavar="N", help="Use only the first N blocks of the held-out text.")
    add("--work", type=Path, help="Working folder (default: runs/reproduction/SCALE).")
    add("--out", type=Path, help="File of results (default: results.jsonl in --work).")
    return parser
