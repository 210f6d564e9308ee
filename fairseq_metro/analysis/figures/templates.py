"""Figures 1 and 8: the accuracy of each template by task, beside a reference's median.

In METRO-T0 the reference is T0 3B. Its medians are drawn there but printed nowhere; given as
--reference RESULTS they are taken from its results. --published draws Table 2's mean instead.
"""

import math
import statistics

from fairseq_metro.analysis.figures.plotting import (
    REFERENCE_COLOUR,
    colours_of,
    new_figure,
    tidy,
)
from fairseq_metro.analysis.figures.scores import published_row, scores_of, tasks_in
from fairseq_metro.common.errors import UserError

TEMPLATE, MEDIAN, MEAN = "template", "median", "published mean"
COLUMNS = 4  # of panels
SPREAD = 0.5  # width over which the points of one model lie side by side


def add_arguments(parser):
    parser.add_argument(
        "results", nargs="+", metavar="LABEL=RESULTS",
        help="Output folders of fairseq-metro evaluate, or score files of prompt fine-tuning.",
    )  # fmt: skip
    parser.add_argument("--reference", metavar="LABEL=RESULTS",
        help="Reference results, of which only the median is plotted.")  # fmt: skip
    parser.add_argument(
        "--published",
        metavar="ID",
        help="Row of Table 2 to use as the reference, such as t0/t0-3b.",
    )


def collect(args):
    """Rows of each template, of each model's median, and of the references."""
    models = scores_of(args.results)
    rows = []
    for task in tasks_in(models):
        for label, scores in models:
            task_scores = [score for score in scores if score.task == task]
            rows += [
                _row(label, task, TEMPLATE, s.template, s.value, s.examples) for s in task_scores
            ]
            if task_scores:
                rows.append(_median(label, task, task_scores))
    return rows + list(_references(args, tasks_in(models)))


def _references(args, tasks):
    """One row a task for each reference."""
    if args.reference:
        ((label, scores),) = scores_of([args.reference])
        for task in tasks:
            if task_scores := [score for score in scores if score.task == task]:
                yield {**_median(label, task, task_scores), "kind": f"reference {MEDIAN}"}
    if args.published:
        label, values = published_row(args.published)
        if not set(tasks) & set(values):
            raise UserError(f"--published {args.published}: none of {', '.join(tasks)} is in it")
        for task in tasks:
            if task in values:
                yield _row(label, task, MEAN, "", values[task], 0)


def _median(label, task, scores):
    value = statistics.median(score.value for score in scores)
    return _row(label, task, MEDIAN, "", value, scores[0].examples)


def _row(label, task, kind, template, value, examples):
    return {"task": task, "model": label, "kind": kind, "template": template, "accuracy": value,
            "examples": examples}  # fmt: skip


def draw(rows, args):
    """A panel a task: a column of points for each model, a bar at its median, the references."""
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    references = dict.fromkeys(
        row["model"] for row in rows if row["kind"] not in (TEMPLATE, MEDIAN)
    )
    colours = colours_of(row["model"] for row in rows if row["kind"] == TEMPLATE)
    places = {label: x for x, label in enumerate([*colours, *references])}
    across = min(COLUMNS, len(tasks))
    down = math.ceil(len(tasks) / across)
    figure = new_figure(max(4.2, across * (1.0 + 0.55 * len(places))), 0.6 + 2.6 * down)
    axes = figure.subplots(down, across, squeeze=False).flatten()
    for axis in axes[len(tasks) :]:
        axis.set_visible(False)
    for place, (axis, task) in enumerate(zip(axes, tasks, strict=False)):
        for label, colour in colours.items():
            _draw_model(axis, rows, task, label, places[label], colour)
        for label in references:
            values = [100 * row["accuracy"] for row in rows
                      if (row["task"], row["model"]) == (task, label)]  # fmt: skip
            axis.plot([places[label]] * len(values), values, "D", color=REFERENCE_COLOUR,
                      markersize=6, label=_labelled_once(figure, label))  # fmt: skip
        tidy(axis, "", "" if place % across else "accuracy, %", task)
        axis.set_xlim(-0.6, len(places) - 0.4)
        axis.set_xticks([])
    figure.legend(loc="outside lower center", ncols=min(3, len(places)), fontsize=9,
                  frameon=False, title="dots: templates, bars: their medians",
                  title_fontsize=9)  # fmt: skip
    return figure


def _draw_model(axis, rows, task, label, x, colour):
    model_rows = [row for row in rows if (row["task"], row["model"]) == (task, label)]
    values = [100 * row["accuracy"] for row in model_rows if row["kind"] == TEMPLATE]
    middle = [100 * row["accuracy"] for row in model_rows if row["kind"] == MEDIAN]
    if not values:
        return
    step = SPREAD / max(1, len(values) - 1)
    xs = [x + SPREAD * (len(values) > 1) * (i * step / SPREAD - 0.5) for i in range(len(values))]
    figure = axis.figure
    axis.plot(xs, values, "o", color=colour, markersize=4.5, markeredgecolor="white",
              markeredgewidth=0.5, alpha=0.85, label=_labelled_once(figure, label))  # fmt: skip
    axis.plot([x - 0.36, x + 0.36], middle * 2, color=colour, linewidth=1.8)


def _labelled_once(figure, label):
    """The label, unless something in the figure bears it already."""
    there = {text for axis in figure.axes for text in axis.get_legend_handles_labels()[1]}
    return None if label in there else label


def describe(rows):
    medians = [row for row in rows if row["kind"] != TEMPLATE]
    return "\n".join(
        f"{row['task']}, {row['model']}: {row['kind']} {row['accuracy']:.1%}" for row in medians
    )
