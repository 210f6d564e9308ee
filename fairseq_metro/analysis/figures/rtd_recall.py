"""Figure 3b: RTD recall during pretraining, with i.i.d. masks and with contiguous spans.

Recall is the share of replaced tokens that the RTD head calls replaced, at p = 0.5. Only masked
tokens can be replaced, so it is a recall on masked positions, as in METRO-T0. Early in training it
stays near 0 whatever the head has learned: the AUC beside it tells more. Logs are enough; for a run
without one, or whose log lacks recall, the kept checkpoints are asked (--data).
"""

import torch

from fairseq_metro.analysis.figures import examples
from fairseq_metro.analysis.figures.logs import (
    LEGEND,
    VALID,
    draw_series,
    logs_of,
    refuse_empty,
)
from fairseq_metro.analysis.figures.plotting import (
    REFERENCE_COLOUR,
    colours_of,
    new_figure,
    step_axis,
    tidy,
)
from fairseq_metro.analysis.figures.steps import steps_of
from fairseq_metro.common.errors import UserError
from fairseq_metro.criterions.metro_t5 import MetroT5Criterion
from fairseq_metro.criterions.rtd_histogram import area_under_curve

RECALL, AUC = "rtd_recall", "rtd_auc"


def add_arguments(parser):
    parser.add_argument(
        "runs", nargs="+", metavar="LABEL=RUN",
        help="Run directories of METRO-T5, or log files. Without a LABEL, a run is labelled by "
             "its masking.",
    )  # fmt: skip
    examples.add_data_options(
        parser, required=False, split=VALID,
        help="Data folder of text on which the checkpoints are evaluated if a log has no recall.",
    )  # fmt: skip


def name_of(options):
    """A run's name in this figure.

    >>> name_of({"mask_pattern": "span"}), name_of({})
    ('span masks', 'i.i.d. masks')
    """
    return "span masks" if options.get("mask_pattern") == "span" else "i.i.d. masks"


def collect(args):
    rows = []
    for label, path, log in logs_of(args.runs, name_of, [RECALL, AUC]):
        run_rows = rows_of_log(label, log)
        if not run_rows and args.data is not None:
            run_rows = rows_of_checkpoints(label, path, args)
        refuse_empty(run_rows, path, f"{RECALL} (or give --data)")
        rows += run_rows
    return rows


def rows_of_checkpoints(label, path, args):
    """The same rows, measured: each checkpoint on the text of ``args.data``."""
    rows = []
    for step in steps_of([f"{label}={path}"], args.updates):
        subject = examples.on_text(step, args)
        if not isinstance(subject.criterion, MetroT5Criterion):
            raise UserError(f"{path}: no run of --task metro_t5, so it has no RTD")
        replaced, true_positives, histogram = 0.0, 0.0, 0.0
        with torch.no_grad():
            for sample in subject.batches():
                _, _, counts = subject.criterion(subject.model, sample)
                replaced += float(counts["n_replaced"])
                true_positives += float(counts["rtd_true_positive"])
                histogram = histogram + counts["rtd_histogram"]
        recall = true_positives / replaced if replaced else 0.0
        auc = area_under_curve(histogram) if replaced else ""
        rows.append({"run": label, "split": VALID, "update": step.update, RECALL: recall, AUC: auc})
    return rows


def rows_of_log(label, log):
    """Rows {run, split, update, rtd_recall, rtd_auc} of a log; an AUC that it lacks is empty."""
    valid = ([log.start] if log.start else []) + log.valid
    return [
        {"run": label, "split": split, "update": record.update, RECALL: record.values[RECALL],
         AUC: record.values.get(AUC, "")}
        for split, records in (("train", log.train), (VALID, valid))
        for record in records
        if RECALL in record.values
    ]  # fmt: skip


def draw(rows, args):
    """Recall, and beside it the AUC where there is one.

    Recall at the start is in the csv and not drawn: the head begins at p = 0.5 for every token, which
    counts as "replaced", and a 1 that says nothing would leave the rest of the panel flat.
    """
    with_auc = [row for row in rows if row[AUC] != ""]
    begun = [row for row in rows if row["update"] > 0] or rows
    figure = new_figure(9.2 if with_auc else 5.6, 3.8)
    axes = figure.subplots(1, 2 if with_auc else 1, squeeze=False)[0]
    for label, colour in colours_of(row["run"] for row in rows).items():
        draw_series(axes[0], begun, label, RECALL, colour)
        if with_auc:
            draw_series(axes[1], with_auc, label, AUC, colour)
    tidy(axes[0], "", "RTD recall at p = 0.5")
    axes[0].set_ylim(bottom=0)
    if with_auc:
        tidy(axes[1], "", "RTD AUC")
        axes[1].axhline(0.5, color=REFERENCE_COLOUR, linewidth=1, linestyle=":", label="chance")
    for axis in axes:
        step_axis(axis)
    named = {}
    for axis in axes:
        named |= dict(zip(*reversed(axis.get_legend_handles_labels()), strict=True))
    figure.legend(named.values(), named, loc="outside lower center", ncols=4, **LEGEND)
    return figure


def describe(rows):
    last = {row["run"]: row for row in rows}
    return "\n".join(
        f"{label}: RTD recall {row[RECALL]:.2%} ({row['split']}) at update {row['update']}"
        + (f", AUC {row[AUC]:.3f}" if row[AUC] != "" else "")
        for label, row in last.items()
    )
