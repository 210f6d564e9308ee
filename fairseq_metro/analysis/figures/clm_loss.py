"""Figure 3a: the CLM loss during pretraining, by the place of RTD and the means of stabilization.

METRO-T0 compares RTD on the encoder, on the decoder (which diverged), on the decoder with strong
gradient clipping, and with a projection before the CLM head. Everything comes from the runs' logs.
"""

from fairseq_metro.analysis.figures.logs import (
    LEGEND,
    draw_series,
    logs_of,
    refuse_empty,
    series_rows,
)
from fairseq_metro.analysis.figures.plotting import colours_of, new_figure, step_axis, tidy

NAME = "clm_loss"
STRONG = 1.0  # clip norms below this are named: the paper's base++ clips at 2, base not at all


def add_arguments(parser):
    parser.add_argument(
        "runs", nargs="+", metavar="LABEL=RUN",
        help="Run directories of METRO-T5, or log files. Without a LABEL, a run is labelled by "
             "its options.",
    )  # fmt: skip


def name_of(options):
    """What sets a run apart in this figure, from the config that its log begins with.

    >>> name_of({"rtd_on": "decoder", "clip_norm": "0.1", "clm_head": "linear"})
    'RTD on decoder, clip norm 0.1'
    """
    words = [f"RTD on {options.get('rtd_on', 'encoder')}"]
    if 0 < float(options.get("clip_norm") or 0) < STRONG:
        words.append(f"clip norm {float(options['clip_norm']):g}")
    if options.get("clm_head") == "projection":
        words.append("projection")
    return ", ".join(words)


def collect(args):
    rows = []
    for label, path, log in logs_of(args.runs, name_of, [NAME]):
        run_rows = series_rows(label, log, NAME)
        refuse_empty(run_rows, path, NAME)
        rows += run_rows
    return rows


def draw(rows, args):
    figure = new_figure(6.2, 4)
    axis = figure.subplots()
    for label, colour in colours_of(row["run"] for row in rows).items():
        draw_series(axis, rows, label, NAME, colour)
    tidy(axis, "", "CLM loss, nats per masked token")
    step_axis(axis)
    axis.legend(**LEGEND)
    return figure


def describe(rows):
    last = {row["run"]: row for row in rows}
    return "\n".join(
        f"{label}: CLM loss {row[NAME]:.4f} ({row['split']}) at update {row['update']}"
        for label, row in last.items()
    )
