"""Panels of curves with a band of a standard deviation, from the rows of a figure's csv."""

from fairseq_metro.analysis.figures.plotting import colours_of, new_figure, tidy
from fairseq_metro.papers.smash.published import published

PAPER = "paper"
MOST_ACROSS = 3
BAND = 0.16


def draw(number, rows):
    """The picture of a figure: a panel for each task, a colour for each series.

    Circles are ours, hollow diamonds the paper's numbers; a line across is a model without
    distillation.
    """
    panels = list(dict.fromkeys(row["panel"] for row in rows))
    across = min(MOST_ACROSS, len(panels))
    down = -(-len(panels) // across)
    figure = new_figure(1.2 + 4.4 * across, 1.0 + 3.4 * down)
    axes = figure.subplots(down, across, squeeze=False).flatten()
    colours = colours_of(row["series"] for row in rows)
    for axis, panel in zip(axes, panels, strict=False):
        _panel(axis, [row for row in rows if row["panel"] == panel], colours, number)
        tidy(axis, _label_x(number), "metric x 100", panel)
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    handles = {}
    for axis in axes:
        handles |= dict(zip(*reversed(axis.get_legend_handles_labels()), strict=True))
    figure.legend(
        handles.values(), handles.keys(), loc="outside lower center", ncols=4, fontsize=8.5,
        frameon=False,
    )  # fmt: skip
    title = published("figures", number)["title"].split(",")[0]  # panels say the task
    figure.suptitle(f"Figure {number}: {title}", fontsize=12)
    return figure


def _label_x(number):
    return published("figures", number).get("x", "")


def _panel(axis, rows, colours, number):
    words = [row["x"] for row in rows if isinstance(row["x"], str) and row["x"]]
    places = {word: place for place, word in enumerate(dict.fromkeys(words))}
    for series, source in dict.fromkeys((row["series"], row["source"]) for row in rows):
        points = [row for row in rows if (row["series"], row["source"]) == (series, source)]
        colour, from_paper = colours[series], source == PAPER
        name = f"{series}, paper" if from_paper else series
        if points[0]["x"] == "":
            axis.axhline(points[0]["mean"], color=colour, linewidth=1.3, label=name,
                         linestyle=":" if from_paper else "--")  # fmt: skip
            continue
        x = [places.get(row["x"], row["x"]) for row in points]
        mean, std = ([row[key] for row in points] for key in ("mean", "std"))
        if from_paper:
            axis.errorbar(x, mean, std, fmt="D", color=colour, markerfacecolor="none",
                          linewidth=1, label=name)  # fmt: skip
            continue
        axis.plot(x, mean, "o-", color=colour, markersize=4, label=name)
        low, high = ([m + sign * s for m, s in zip(mean, std, strict=True)] for sign in (-1, 1))
        axis.fill_between(x, low, high, color=colour, alpha=BAND, linewidth=0)
    if places:
        axis.set_xticks(range(len(places)), list(places))
    elif len({row["x"] for row in rows} - {""}) == 1:
        (single,) = {row["x"] for row in rows} - {""}
        axis.set_xticks([single])
    elif number == "4":
        axis.set_xscale("log", base=2)
        ticks = published("figures", number)["ticks"]
        axis.set_xticks(ticks, list(map(str, ticks)))
        axis.minorticks_off()
