"""The health of the auxiliary model over a run in one plot."""

import io

from fairseq_metro.analysis.curves import UNIGRAM_COLOUR, series
from fairseq_metro.common.files import atomic_write

# (title, label of the axis, {name in the log: label}, {height of a guide: label, where})
PANELS: tuple = (
    (
        "Replaced share",
        "share",
        {"replace_rate_masked": "of masked tokens", "replace_rate": "of all tokens"},
        {
            0.95: ("too weak above, late", "right", "bottom"),
            0.4: ("too strong below, if falling", "left", "top"),
        },
    ),
    (
        "RTD at all tokens",
        "share, area",
        {"rtd_auc": "AUC", "rtd_precision": "precision", "rtd_recall": "recall"},
        {0.5: ("AUC of chance", "right", "top")},
    ),
    ("RTD loss", "nats per token", {"rtd_loss": "loss", "plateau": "entropy of base rate"}, {}),
    (
        "Losses of both models",
        "nats per masked token",
        {"mlm_loss": "MLM loss", "clm_loss": "CLM loss", "mlm_entropy": "entropy of MLM"},
        {},
    ),
    (
        "Auxiliary model: MLM accuracy",
        "share of masked tokens",
        {"mlm_accuracy": "MLM", "unigram_accuracy": "commonest token"},
        {},
    ),
    (
        "Main model: CLM accuracy",
        "share of masked tokens",
        {"clm_accuracy_unreplaced": "unreplaced", "clm_accuracy_replaced": "replaced"},
        {},
    ),
)
COLOURS = ("#1f5f99", "#c0392b", "#2e8b57")
REFERENCE = ("plateau", "unigram_accuracy")  # drawn grey and thin: what the others are held against


def draw_health(log, path, warnings, plateau, baseline=None):
    """Write ``path`` (PNG): training faint, validation strong, the baseline run dashed.

    warnings: their names, for the title; plateau: share of replaced tokens -> RTD loss of always
    answering it.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 7.4), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    verdict = f"warnings: {', '.join(warnings)}" if warnings else "no known failure is seen"
    figure.suptitle(f"Health of the auxiliary model: {verdict}", fontsize=13)
    axes = figure.subplots(2, 3).flat
    for axis, (title, unit, names, guides) in zip(axes, PANELS, strict=True):
        for colour, (name, label) in zip(COLOURS, names.items(), strict=False):
            colour = UNIGRAM_COLOUR if name in REFERENCE else colour
            _draw(axis, log, name, label, colour, plateau)
            if baseline is not None and name not in REFERENCE:
                x, y = _points(baseline, _best(baseline), name, plateau)
                axis.plot(x, y, "--", color=colour, alpha=0.6, label=f"{label}, baseline")
        for height, (label, across, up) in guides.items():
            axis.axhline(height, color=UNIGRAM_COLOUR, linestyle=":", linewidth=1)
            axis.annotate(
                label, (across == "right", height), xycoords=("axes fraction", "data"),
                fontsize=7.5, ha=across, va=up, color=UNIGRAM_COLOUR,
            )  # fmt: skip
        if unit.startswith("share"):
            axis.set_ylim(bottom=0)
        elif "rtd_loss" in names:
            _leave_the_start_out(axis)
        axis.set_title(title, fontsize=11)
        axis.set_xlabel("update")
        axis.set_ylabel(unit)
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend(fontsize=8, frameon=False)
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    with atomic_write(path, "wb") as stream:
        stream.write(picture.getvalue())


def _draw(axis, log, name, label, colour, plateau):
    x, y = _points(log, log.train, name, plateau)
    strong = _best(log)
    if strong is not log.train:
        if name != "rtd_precision":  # of so few tokens an interval that it would hide the rest
            axis.plot(x, y, color=colour, linewidth=0.8, alpha=0.3)
        x, y = _points(log, strong, name, plateau)
    width, marker = (1.0, None) if name in REFERENCE else (1.7, ".")
    axis.plot(x, y, color=colour, linewidth=width, marker=marker, label=label)


def _leave_the_start_out(axis):
    """Scale to what comes after the first tenth: RTD begins at ln 2, far above all that follows."""
    drawn = [line.get_xydata() for line in axis.get_lines()]
    end = max((points[:, 0].max() for points in drawn if len(points)), default=0)
    later = [y for points in drawn for x, y in points if x > end / 10]
    if later and max(later) > min(later):
        margin = (max(later) - min(later)) / 10
        axis.set_ylim(min(later) - margin, max(later) + margin)


def _best(log):
    """The records to draw strongly: validations, unless there are too few for a curve."""
    return log.valid if len(log.valid) >= 2 else log.train


def _points(log, records, name, plateau):
    if name == "rtd_precision":
        # A share of nothing is logged as 0 until the head says "replaced" for the first time.
        records = [record for record in records if record.values.get("rtd_recall") != 0]
    if name != "plateau":
        return series(records, name)
    x, rates = series(records, "replace_rate")
    return x, [plateau(rate) for rate in rates]
