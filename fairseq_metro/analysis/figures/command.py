"""``fairseq-metro figure NAME``: METRO-T0's figures for any runs, each as a csv and a picture.

The picture is drawn from the csv's rows and from nothing else. ``docs/figures.md`` explains each.
"""

import difflib
import importlib
import sys
from pathlib import Path

from fairseq_metro.analysis.figures.plotting import save_picture, write_csv
from fairseq_metro.common.arguments import CommandParser
from fairseq_metro.common.errors import UserError, run_command
from fairseq_metro.common.logs import quieted

# Name -> module of this package, what it shows; in the paper's order.
FIGURES = {
    "templates": ("templates", "fig. 1 and 8: accuracy of each template by task"),
    "clm-loss": ("clm_loss", "fig. 3a: CLM loss of pretraining runs, from their logs"),
    "rtd-recall": ("rtd_recall", "fig. 3b: RTD recall, i.i.d. masks against spans"),
    "efficiency": ("efficiency", "fig. 4: score against pretraining time and FLOPs"),
    "task-bars": ("task_bars", "fig. 5: accuracy by task, error bars over templates"),
    "neurons": ("neurons", "fig. 6: under-activated neurons by pretraining step"),
    "sensitivity": ("sensitivity", "fig. 7: ridge plot of parameter sensitivity by step"),
}


def main(argv=None):
    argv = sys.argv[1:] if argv is None else argv
    if not argv or argv[0] in ("-h", "--help"):
        print(usage())
        return 0 if argv else 2
    module = find_figure(argv[0])
    args = parser(argv[0]).parse_args(argv[1:])
    check_out(args.out)
    table = args.out.with_suffix(".csv")
    with quieted("fairseq", "fairseq_metro.tasks"):
        rows = module.collect(args)
        write_csv(table, rows)
        figure = module.draw(rows, args)
        if args.title:
            figure.suptitle(args.title, fontsize=12)
        save_picture(figure, args.out)
    print(module.describe(rows))
    print(f"written: {table}, {args.out}")
    return 0


def parser(name):
    """The command line of a figure. Raises :class:`UserError` for an unknown name."""
    module = find_figure(name)
    made = CommandParser(
        prog=f"fairseq-metro figure {name}", description=module.__doc__.split("\n")[0]
    )
    module.add_arguments(made)
    made.add_argument("--title", default="", help="Title above the plot.")
    made.add_argument(
        "--out",
        type=Path,
        default=Path(f"{name}.png"),
        help="PNG file to write; the CSV file is written beside it (default: %(default)s).",
    )
    return made


def find_figure(name):
    """The module of a figure. Raises :class:`UserError` for an unknown name."""
    if name not in FIGURES:
        near = difflib.get_close_matches(name, FIGURES, 3, 0.4) or FIGURES
        raise UserError(f"no figure {name!r}; perhaps {', '.join(near)} (all: figure --help)")
    return importlib.import_module(f"fairseq_metro.analysis.figures.{FIGURES[name][0]}")


def check_out(path):
    """Raise :class:`UserError`, before the work, where the picture cannot be written."""
    if path.suffix != ".png":
        raise UserError(f"--out {path}: must end in .png; the csv gets the same name")
    if not path.absolute().parent.is_dir():
        raise UserError(f"--out {path}: no folder {path.absolute().parent}; make it first")


def usage():
    """The list of figures, as ``fairseq-metro figure --help`` prints it."""
    width = max(map(len, FIGURES))
    return "\n".join(
        [
            "usage: fairseq-metro figure NAME [options]",
            "",
            "METRO-T0's figures. The options of each: fairseq-metro figure NAME --help",
            "",
            *(f"  {name:{width}}  {text}" for name, (_, text) in FIGURES.items()),
        ]
    )


if __name__ == "__main__":
    sys.exit(run_command(main))
