"""The curves of a pretraining run in one plot."""

import io

from fairseq_metro.common.files import atomic_write

TRAIN_COLOUR, VALID_COLOUR, UNIGRAM_COLOUR = "#9db7d5", "#c0392b", "#7f8c8d"

# (title, label of the axis, {name in the log: label}, guide line (value, label) or None)
PANELS = (
    ("Auxiliary model: MLM loss", "nats per masked token", {"mlm_loss": None}, None),
    ("Main model: CLM loss", "nats per masked token", {"clm_loss": None}, None),
    ("Main model: RTD loss", "nats per token", {"rtd_loss": None}, None),
    ("RTD AUC", "area under the ROC curve", {"rtd_auc": None}, (0.5, "chance")),
    (
        "Accuracy on masked tokens",
        "share",
        {
            "clm_accuracy_replaced": "CLM, replaced",
            "clm_accuracy_unreplaced": "CLM, unreplaced",
            "mlm_accuracy": "MLM",
            "unigram_accuracy": "commonest token",
        },
        None,
    ),
    (
        "Replaced share",
        "share",
        {"replace_rate_masked": "of masked tokens", "replace_rate": "of all tokens"},
        None,
    ),
)
T5_PANELS = (
    ("LM loss", "nats per target token", {"lm_loss": None}, None),
    (
        "Accuracy on target tokens",
        "share",
        {"lm_accuracy": "LM", "unigram_accuracy": "commonest token"},
        None,
    ),
)


def draw_curves(log, path):
    """Write ``path`` (PNG): losses (training faint, validation strong, a ring at start), shares.

    The panels are those of the objective: METRO-T5's six, or T5's two.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    is_t5 = any("lm_loss" in record.values for record in [*log.train, *log.valid])
    panels, rows = (T5_PANELS, 1) if is_t5 else (PANELS, 2)
    columns = len(panels) // rows
    figure = Figure(figsize=(4 * columns, 3.4 * rows), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns).flat
    for axis, (title, unit, names, guide) in zip(axes, panels, strict=True):
        single = len(names) == 1
        for index, (name, label) in enumerate(names.items()):
            _draw(axis, log, name, label, None if single else f"C{index}", with_train=single)
        if guide is not None:
            axis.axhline(guide[0], color=UNIGRAM_COLOUR, linestyle=":", label=guide[1])
        axis.set_title(title, fontsize=11)
        axis.set_xlabel("update")
        axis.set_ylabel(unit)
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
        if axis.get_legend_handles_labels()[0]:
            axis.legend(fontsize=8, frameon=False)
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    with atomic_write(path, "wb") as stream:
        stream.write(picture.getvalue())


def _draw(axis, log, name, label, colour, with_train):
    if with_train:
        x, y = series(log.train, name)
        axis.plot(x, y, color=TRAIN_COLOUR, linewidth=1, label="train" if x else None)
    first = [log.start] if log.start is not None else []
    x, y = series(first + log.valid, name)
    if not x:
        return
    style = "--" if name == "unigram_accuracy" else "-"
    colour = UNIGRAM_COLOUR if name == "unigram_accuracy" else colour or VALID_COLOUR
    axis.plot(x, y, style, color=colour, marker=".", label=label or "validation")
    if first and name in first[0].values:
        ring = {"markerfacecolor": "white", "markersize": 7, "linestyle": "none", "color": colour}
        axis.plot(x[:1], y[:1], marker="o", label="start" if label is None else None, **ring)


def series(records, name):
    """Updates and values of a name, of the records that have it: two lists."""
    points = [(record.update, record.values[name]) for record in records if name in record.values]
    return [update for update, _ in points], [value for _, value in points]
