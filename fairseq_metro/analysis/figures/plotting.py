"""Shared code of the figures: colours, axes, the CSV file and the plot made from it."""

import csv
import io
import math

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.files import atomic_write

# Of runs, in the order given: METRO-T5 first, T5 second where one follows the paper's order.
COLOURS = ("#d9822b", "#1f5f99", "#2e8b57", "#c0392b", "#7d5ba6", "#8c6d4f", "#17838f", "#7f8c8d")
REFERENCE_COLOUR = "#2b2b2b"
DPI = 110


def new_figure(width, height):
    """An empty matplotlib figure, ``width`` x ``height`` inches, that needs no display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def tidy(axis, x, y, title=None):
    """Labels of the two axes, a faint grid, no frame above and to the right."""
    axis.set_xlabel(x)
    axis.set_ylabel(y)
    if title:
        axis.set_title(title, fontsize=11)
    axis.grid(alpha=0.25)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)


def short_steps(updates):
    """A number of updates as an axis or a point has room for.

    >>> short_steps(250), short_steps(1250), short_steps(500000), short_steps(2000000)
    ('250', '1.25k', '500k', '2M')
    """
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if updates >= size:
            return f"{updates / size:g}{letter}"
    return f"{updates:g}"


def step_axis(axis):
    """Pretraining steps along x, written by :func:`short_steps`."""
    axis.set_xlabel("pretraining step")
    axis.xaxis.set_major_formatter(lambda x, _: short_steps(x))


def colours_of(labels):
    """label -> colour, in the order in which the labels come first."""
    distinct = list(dict.fromkeys(labels))
    return {label: COLOURS[i % len(COLOURS)] for i, label in enumerate(distinct)}


def labelled(words):
    """``LABEL=PATH`` or ``PATH`` -> [(label or None, path as text)].

    >>> labelled(["METRO-T5=runs/1", "runs/2"])
    [('METRO-T5', 'runs/1'), (None, 'runs/2')]
    """
    pairs = []
    for word in words:
        label, equals, path = word.partition("=")
        pairs.append((label, path) if equals and "/" not in label else (None, word))
    return pairs


def refuse_equal_labels(labels):
    """Raise :class:`UserError` where two series have one name: they would be drawn as one."""
    labels = list(labels)
    twice = next((label for label in labels if labels.count(label) > 1), None)
    if twice is not None:
        raise UserError(f"two series are called {twice!r}; name them apart with LABEL=PATH")


def write_csv(path, rows):
    """Write ``rows`` (dicts with the same keys) atomically. Raises ValueError for a number that is
    not finite: what cannot be drawn does not belong into a figure's data."""
    columns = list(rows[0])
    for row in rows:
        if list(row) != columns:
            raise ValueError(f"columns {list(row)} where {columns} belong")
        for name, value in row.items():
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"{name} is {value} in {row}")
    with atomic_write(path, newline="") as stream:
        writer = csv.DictWriter(stream, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: _short(value) for name, value in row.items()} for row in rows)


def _short(value):
    """A float with six digits that count; anything else as it is."""
    return f"{value:.6g}" if isinstance(value, float) else value


def save_picture(figure, path):
    """Write a figure as PNG, atomically."""
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    with atomic_write(path, "wb") as stream:
        stream.write(picture.getvalue())
