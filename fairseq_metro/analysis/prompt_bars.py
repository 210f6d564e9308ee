"""Accuracies before and after prompt fine-tuning as a bar chart."""

import io

from fairseq_metro.common.files import atomic_write

BEFORE_COLOUR, AFTER_COLOUR, CHANCE_COLOUR, TEMPLATE_COLOUR = (
    "#b8c7d9", "#1f5f99", "#c0392b", "#0b2a47",
)  # fmt: skip
WIDTH = 0.38  # of a bar, where data sets are 1 apart
GAP = 0.9  # between groups


def draw_bars(sets, groups, path, title):
    """Write ``path`` (PNG): two bars a data set, chance as a line across, a dot for each template.

    sets: ``prompt_summary.SetScore``; groups: words by group, in the order of the chart.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.2 + 1.05 * len(sets), 4.9), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    ticks, names, x = [], [], 0.0
    for group, words in groups.items():
        members = [task_set for task_set in sets if task_set.group == group]
        if not members:
            continue
        first = x
        for task_set in members:
            _draw_set(axis, x, task_set, labelled=not ticks)
            ticks.append(x)
            names.append(_words(task_set))
            x += 1
        head_group(axis, first, x - 1, words)
        x += GAP
    axis.set_xticks(ticks, names, fontsize=8.5)
    axis.set_xlim(-0.6, x - GAP - 0.4)
    axis.set_ylim(0, 1.12)
    axis.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "25 %", "50 %", "75 %", "100 %"])
    axis.set_ylabel("accuracy, mean over templates")
    axis.grid(axis="y", alpha=0.25)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(axis="x", length=0)
    figure.suptitle(f"Prompt fine-tuning, {title}", fontsize=12)
    figure.legend(loc="outside lower center", ncols=4, fontsize=9, frameon=False)
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    with atomic_write(path, "wb") as stream:
        stream.write(picture.getvalue())


def _draw_set(axis, x, task_set, labelled):
    def label(text):
        return text if labelled else None

    left, right = x - WIDTH / 2, x + WIDTH / 2
    axis.bar(left, task_set.before, WIDTH, color=BEFORE_COLOUR, label=label("before"))
    axis.bar(right, task_set.after, WIDTH, color=AFTER_COLOUR, label=label("after"))
    axis.plot(
        [right] * len(task_set.templates), list(task_set.templates.values()), ".",
        color=TEMPLATE_COLOUR,
        markersize=6, markeredgecolor="white", markeredgewidth=0.6, label=label("each template"),
    )  # fmt: skip
    axis.plot(
        [x - WIDTH - 0.04, x + WIDTH + 0.04], [task_set.chance] * 2, color=CHANCE_COLOUR, linewidth=1.6,
        label=label("chance"),
    )  # fmt: skip
    top = max([task_set.after, *task_set.templates.values()])
    axis.annotate(
        f"{100 * task_set.after:.0f}", (right, top), xytext=(0, 3), textcoords="offset points",
        ha="center", fontsize=8.5,
    )  # fmt: skip


def head_group(axis, first, last, words):
    """A group's words above its bars, in two lines, and a line that spans them."""
    axis.plot([first - 0.45, last + 0.45], [1.03] * 2, color="#555555", linewidth=0.8)
    name, _, rest = words.partition(": ")
    if last - first < 2:
        rest = two_lines(rest)
    axis.annotate(
        f"{name}\n{rest}", ((first + last) / 2, 1.035), xytext=(0, 2), ha="center", va="bottom",
        textcoords="offset points", fontsize=8.5, annotation_clip=False,
    )  # fmt: skip


def two_lines(words, most=0):
    """Words in two lines of about the same length, where they are longer than ``most``."""
    middle = len(words) // 2
    place = min(
        (i for i, letter in enumerate(words) if letter == " "),
        key=lambda i: abs(i - middle),
        default=None,
    )
    return (
        words if place is None or len(words) <= most else f"{words[:place]}\n{words[place + 1 :]}"
    )


def _words(task_set):
    """A data set's name under its bars: without its family, its kind of task below."""
    name = task_set.dataset.split("/")[-1]
    return f"{name}\n{two_lines(task_set.kind or '', 14)}"
