"""Pictures of the report: each template as a point, checkpoints as a curve."""

import io

from fairseq_metro.common.files import atomic_write

POINT, MEDIAN, GUESS, BOX = "#1f5f99", "#0b2a47", "#c0392b", "#b8c7d9"
COLOURS = ("#1f5f99", "#c0392b", "#2e8b57", "#8e44ad", "#d68910", "#16a085", "#7f8c8d", "#0b2a47")
_WIDTH = 0.3  # half a box, where sets are 1 apart


def draw_templates(suite, path):
    """Write ``path`` (PNG): a column for each set, with a point for each template.

    suite: an entry of ``summary.json``'s suites. The box spans the quartiles, the dark line is the
    median, the red one a guess (the better of chance and the commonest place).
    """
    sets = [entry for entry in suite["sets"] if entry["mean"] is not None]
    figure, axis = _figure(max(5.0, 2.2 + 0.85 * len(sets)), 4.6)
    for x, entry in enumerate(sets):
        _draw_set(axis, x, entry, labelled=x == 0)
    axis.set_xticks(range(len(sets)), [_two_lines(entry["label"]) for entry in sets], fontsize=8.5,
                    rotation=0 if len(sets) < 9 else 30)  # fmt: skip
    axis.set_xlim(-0.6, len(sets) - 0.4)
    axis.set_ylabel("; ".join(dict.fromkeys(entry["main"].replace("_", " ") for entry in sets)))
    _percent(
        axis,
        [value for entry in sets for value in (entry["min"], entry["max"], entry["guess"] or 0)],
    )
    axis.set_title(suite["title"], fontsize=11)
    figure.legend(loc="outside lower center", ncols=4, fontsize=9, frameon=False)
    _write(figure, path)


def draw_curve(points, path, title, along):
    """Write ``path`` (PNG): values of several checkpoints, a line for each set and a thick mean.

    points: list of (x, {label: value or None}, mean, standard error or None); along: words for x.
    """
    figure, axis = _figure(8.5, 4.8)
    xs = [x for x, *_ in points]
    labels = list(dict.fromkeys(label for _, values, *_ in points for label in values))
    for i, label in enumerate(labels):
        ys = [values.get(label) for _, values, *_ in points]
        kept = [(x, y) for x, y in zip(xs, ys, strict=True) if y is not None]
        axis.plot(*zip(*kept, strict=True), marker=".", color=COLOURS[i % len(COLOURS)], linewidth=1,
                  linestyle=("-", "--", ":")[i // len(COLOURS) % 3], label=label)  # fmt: skip
    means = [mean for _, _, mean, _ in points]
    errors = [error or 0.0 for *_, error in points]
    axis.errorbar(xs, means, errors, color="black", linewidth=2.4, capsize=3, label="mean of sets")
    axis.set_xlabel(along)
    axis.grid(alpha=0.25)
    _percent(axis, [y for _, values, *_ in points for y in values.values() if y is not None])
    axis.set_title(title, fontsize=11)
    figure.legend(loc="outside right upper", fontsize=8.5, frameon=False)
    _write(figure, path)


def _figure(width, height):
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    axis.spines[["top", "right"]].set_visible(False)
    axis.set_axisbelow(True)
    return figure, axis


def _draw_set(axis, x, entry, labelled):
    def label(text):
        return text if labelled else None

    values = [each["value"] for each in entry["templates"] if each["value"] is not None]
    axis.bar(x, entry["q3"] - entry["q1"], 2 * _WIDTH, entry["q1"], color=BOX, alpha=0.6,
             label=label("quartiles"))  # fmt: skip
    axis.plot([x - _WIDTH, x + _WIDTH], [entry["median"]] * 2, color=MEDIAN, linewidth=2.2,
              label=label("median"))  # fmt: skip
    # Side by side in the order of the suite, so that equal values stay apart.
    step = 1.4 * _WIDTH / max(1, len(values) - 1)
    places = [x - 0.7 * _WIDTH + step * i for i in range(len(values))] if len(values) > 1 else [x]
    axis.plot(places, values, ".", color=POINT, markersize=9, markeredgecolor="white",
              markeredgewidth=0.6, label=label("each template"))  # fmt: skip
    if entry["guess"] is not None:
        axis.plot([x - 1.2 * _WIDTH, x + 1.2 * _WIDTH], [entry["guess"]] * 2, color=GUESS,
                  linewidth=1.4, linestyle="--", label=label("guessing"))  # fmt: skip


def _percent(axis, values):
    low, high = min(values), max(values)
    low, high = max(0.0, low - 0.05), min(1.02, high + 0.05)
    axis.set_ylim(low, high)
    axis.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
    axis.grid(axis="y", alpha=0.25)


def _two_lines(text):
    """A name's last part, below its first where it has several."""
    return text.replace("/", "/\n", 1)


def _write(figure, path):
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    with atomic_write(path, "wb") as stream:
        stream.write(picture.getvalue())
