"""Figure 5: accuracy by task, a mean over templates, with error bars over templates.

METRO-T0 does not say what its error bars are; ours are the standard deviation over templates
(n - 1; 0 of a single one). At the right stands the mean over those tasks that all models have.
"""

import statistics

from fairseq_metro.analysis.figures.plotting import (
    REFERENCE_COLOUR,
    colours_of,
    new_figure,
    tidy,
)
from fairseq_metro.analysis.figures.scores import published_row, scores_of, tasks_in
from fairseq_metro.common.errors import UserError

AVERAGE = "mean"
WIDTH = 0.8  # of the bars of one task together


def add_arguments(parser):
    parser.add_argument(
        "results", nargs="+", metavar="LABEL=RESULTS",
        help="Output folders of fairseq-metro evaluate, or score files of prompt fine-tuning.",
    )  # fmt: skip
    parser.add_argument(
        "--published", nargs="+", metavar="ID", default=[],
        help="Rows of Table 2 to plot as well, such as t0++/metro-base++.",
    )  # fmt: skip


def collect(args):
    """A row for each model and task, and one for each model's mean over the tasks that all have."""
    models = scores_of(args.results)
    tasks = tasks_in(models)
    parts = []
    for label, scores in models:
        parts.append([_of_task(label, task, [s.value for s in scores if s.task == task])
                      for task in tasks if any(s.task == task for s in scores)])  # fmt: skip
    for name in args.published:
        label, values = published_row(name)
        parts.append([_row(label, task, values[task], 0.0, 0, "published") for task in tasks
                      if task in values])  # fmt: skip
        if not parts[-1]:
            raise UserError(f"--published {name}: none of {', '.join(tasks)} is in it")
    shared = shared_by([row for part in parts for row in part])
    return [row for part in parts for row in [*part, *_average(part, shared)]]


def shared_by(rows):
    """The tasks that every model of the rows has, in the rows' order: list."""
    models, tasks_of = {row["model"] for row in rows}, {}
    for row in rows:
        tasks_of.setdefault(row["task"], set()).add(row["model"])
    return [task for task, those in tasks_of.items() if those == models and task != AVERAGE]


def _of_task(label, task, values):
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return _row(label, task, statistics.fmean(values), spread, len(values), "results")


def _average(rows, tasks):
    """The row of a model's mean over ``tasks``; none where there are none."""
    if tasks:
        mean = statistics.fmean(row["accuracy"] for row in rows if row["task"] in tasks)
        yield _row(rows[0]["model"], AVERAGE, mean, 0.0, 0, rows[0]["source"])


def _row(label, task, accuracy, std, templates, source):
    return {"model": label, "task": task, "accuracy": accuracy, "std": std,
            "templates": templates, "source": source}  # fmt: skip


def draw(rows, args):
    tasks = [task for task in dict.fromkeys(row["task"] for row in rows) if task != AVERAGE]
    shared = shared_by(rows)
    names = {task: task for task in tasks}
    if shared:
        names[AVERAGE] = AVERAGE if len(shared) == len(tasks) else f"{AVERAGE} of {len(shared)}"
    places = {task: x + 0.4 * (task == AVERAGE) for x, task in enumerate(names)}
    colours = colours_of(row["model"] for row in rows)
    width = WIDTH / len(colours)
    figure = new_figure(max(5.2, 1.6 + (0.45 + 0.24 * len(colours)) * len(places)), 4)
    axis = figure.subplots()
    for i, (label, colour) in enumerate(colours.items()):
        model_rows = [row for row in rows if row["model"] == label]
        shift = (i - (len(colours) - 1) / 2) * width
        published = model_rows[0]["source"] == "published"
        axis.bar(
            [places[row["task"]] + shift for row in model_rows],
            [100 * row["accuracy"] for row in model_rows],
            width * 0.94, label=label, color="none" if published else colour, edgecolor=colour,
            hatch="////" if published else None, linewidth=0.8,
        )  # fmt: skip
        bars = [row for row in model_rows if row["std"] > 0]
        axis.errorbar(
            [places[row["task"]] + shift for row in bars], [100 * row["accuracy"] for row in bars],
            [100 * row["std"] for row in bars], fmt="none", ecolor=REFERENCE_COLOUR, capsize=2.5,
            elinewidth=1,
        )  # fmt: skip
    tidy(axis, "", "accuracy, %, mean over templates")
    axis.set_xticks(list(places.values()), list(names.values()), fontsize=9,
                    rotation=30 if len(places) > 8 else 0)  # fmt: skip
    axis.tick_params(axis="x", length=0)
    axis.grid(axis="x", visible=False)
    axis.set_ylim(0, 100)
    figure.legend(loc="outside lower center", ncols=min(4, len(colours)), fontsize=9, frameon=False)
    return figure


def describe(rows):
    tasks = ", ".join(shared_by(rows))
    means = [row for row in rows if row["task"] == AVERAGE]
    return "\n".join(
        [f"{row['model']}: {row['accuracy']:.1%}, mean over {tasks}" for row in means]
        or ["no task that all models have, so no mean over tasks"]
    )
