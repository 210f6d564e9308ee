"""fairseq-train's arguments for an objective and a size: ``python -m fairseq_metro.recipes.options``.

    python -m fairseq_metro.recipes.options --objective metro_t5 --size base --processes 8

prints them, one on each line; what an update is made of goes to the standard error. The scripts
``train_scripts/pretrain_*.sh`` start fairseq-train with these words. Options of fairseq-train may
follow after ``--``; they are not printed, but a batch that has to fit a GPU depends on them.
"""

import argparse
import sys

from fairseq_metro.common.arguments import CommandParser
from fairseq_metro.common.errors import run_command
from fairseq_metro.recipes.gpus import GPUS
from fairseq_metro.recipes.words import (
    add_row_arguments,
    chosen,
    describe,
    first_folder,
    given_at_the_end,
    positive,
    words,
)


def parser():
    """Build the command's argument parser."""
    made = CommandParser(description=__doc__.split("\n")[0])
    add_row_arguments(made)
    made.add_argument("--save-dir", help="Run directory.")
    made.add_argument(
        "--gpu-mib",
        default="",
        help="GPU memory in MiB. The largest batch that fits is chosen by the estimate in "
        "recipes.memory, unless --tokens-per-process is given.",
    )
    made.add_argument("options", nargs="*", help=argparse.SUPPRESS)
    return made


def plan_parser():
    """Options of ``fairseq-metro plan``."""
    parser = CommandParser(
        description="Estimate memory, FLOPs and hours of a pretraining run before it starts.",
        epilog="Options of fairseq-train may follow after --.",
    )
    add_row_arguments(parser)
    parser.add_argument("--gpu", default="a100-80",
        help=f"GPU model: {', '.join(GPUS)} or MEMORY_GB:TFLOPS.")  # fmt: skip
    parser.add_argument("--gpu-mib",
        help="Memory of the available GPU in MiB, from which its model is guessed.")  # fmt: skip
    parser.add_argument("--mfu", type=float, default=0.3,
        help="Model FLOPs utilization, the fraction of the GPU's peak (default: "
             "0.3).")  # fmt: skip
    parser.add_argument("options", nargs="*", help=argparse.SUPPRESS)
    return parser


def main(argv=None):
    args = parser().parse_args(argv)
    row, batches = chosen(args)
    if args.gpu_mib and not args.tokens_per_process:
        from fairseq_metro.recipes.memory import tokens_that_fit  # brings torch and fairseq

        most = tokens_that_fit(args, positive("--gpu-mib", args.gpu_mib) / 1024, args.options)
        row, batches = chosen(args, most)
    command = words(row, batches, args.save_dir)
    described = describe(row, batches, first_folder(args.data))
    for line in [*described, *given_at_the_end(args.options)]:
        print(line, file=sys.stderr)
    print("\n".join(command))
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command(main))
