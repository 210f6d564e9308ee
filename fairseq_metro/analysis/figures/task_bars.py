"""Figure 5: accuracy by task, a mean over templates, with error bars over templates.

METRO-T0 does not say what its error bars are; ours are the standard deviation over templates
(n - 1; 0 of a single one). The mean over tasks stands at the right.
"""

import statistics

from fairseq_metro.analysis.figures.plotting import (
    REFERENCE_COLOUR,
    colours_of,
    new_figure,
    tidy,
)
from fairseq_metro.analysis.figures.scores import published_row, scores_of, tasks_in
from fairseq_metro.errors import UserError

AVERAGE = "mean"
WIDTH = 0.8  # of the bars of one task together


def add_arguments(parser):
    parser.add_argument(
        "results", nargs="+", metavar="LABEL=RESULTS",
        help="folders of the evaluation runner, or scores of prompt fine-tuning",
    )  # fmt: skip
    parser.add_argument(
        "--published", nargs="+", metavar="ID", default=[],
        help="rows of Table 2 to draw beside, such as t0++/metro-base++",
    )  # fmt: skip


def collect(args):
    """A row for each task and model, and one for a model's mean over the tasks it was asked."""
    models = scores_of(args.results)
    tasks = tasks_in(models)
    rows = []
    for label, scores in models:
        found = [_of_task(label, task, [s.value for s in scores if s.task == task])
                 for task in tasks if any(s.task == task for s in scores)]  # fmt: skip
        rows += [*found, _average(label, found, "results")]
    for name in args.published:
        label, values = published_row(name)
        found = [_row(label, task, values[task], 0.0, 0, "published") for task in tasks
                 if task in values]  # fmt: skip
        if not found:
            raise UserError(f"--published {name}: none of {', '.join(tasks)} is in it")
        rows += [*found, _average(label, found, "published")]
    return rows


def _of_task(label, task, values):
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return _row(label, task, statistics.fmean(values), spread, len(values), "results")


def _average(label, rows, source):
    return _row(label, AVERAGE, statistics.fmean(row["accuracy"] for row in rows), 0.0, 0, source)


def _row(label, task, accuracy, std, templates, source):
    return {"model": label, "task": task, "accuracy": accuracy, "std": std,
            "templates": templates, "source": source}  # fmt: skip


def draw(rows, args):
    tasks = [task for task in dict.fromkeys(row["task"] for row in rows) if task != AVERAGE]
    places = {task: x for x, task in enumerate([*tasks, AVERAGE])}
    places[AVERAGE] += 0.4
    colours = colours_of(row["model"] for row in rows)
    width = WIDTH / len(colours)
    figure = new_figure(max(5.2, 1.6 + (0.45 + 0.24 * len(colours)) * len(places)), 4)
    axis = figure.subplots()
    for i, (label, colour) in enumerate(colours.items()):
        mine = [row for row in rows if row["model"] == label]
        shift = (i - (len(colours) - 1) / 2) * width
        published = mine[0]["source"] == "published"
        axis.bar(
            [places[row["task"]] + shift for row in mine], [100 * row["accuracy"] for row in mine],
            width * 0.94, label=label, color="none" if published else colour, edgecolor=colour,
            hatch="////" if published else None, linewidth=0.8,
        )  # fmt: skip
        bars = [row for row in mine if row["std"] > 0]
        axis.errorbar(
            [places[row["task"]] + shift for row in bars], [100 * row["accuracy"] for row in bars],
            [100 * row["std"] for row in bars], fmt="none", ecolor=REFERENCE_COLOUR, capsize=2.5,
            elinewidth=1,
        )  # fmt: skip
    tidy(axis, "", "accuracy, %, mean over templates")
    axis.set_xticks(list(places.values()), list(places), fontsize=9,
                    rotation=30 if len(places) > 8 else 0)  # fmt: skip
    axis.tick_params(axis="x", length=0)
    axis.grid(axis="x", visible=False)
    axis.set_ylim(0, 100)
    figure.legend(loc="outside lower center", ncols=3, fontsize=9, frameon=False)
    return figure


def describe(rows):
    return "\n".join(
        f"{row['model']}: {row['accuracy']:.1%} over its tasks"
        for row in rows
        if row["task"] == AVERAGE
    )
