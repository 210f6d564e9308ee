"""Table and picture of the study of prompt fine-tuning: mean and spread over seeds, by model."""

import io
import statistics

from fairseq_metro.analysis.prompt_bars import CHANCE_COLOUR, head_group, two_lines
from fairseq_metro.analysis.prompt_summary import GROUPS, HELD_IN
from fairseq_metro.common.files import atomic_write

COLOURS = ("#1f5f99", "#d98324", "#2e8b57", "#7d5ba6")
GUESSES = ("chance", "commonest")
PALE = 0.3  # of a bar before fine-tuning


def write_report(rows, path):
    """Write ``path`` with the endings ``.md`` and ``.png`` from the cells' rows; return the text."""
    sets = sets_of(rows)
    text = report(rows, sets)
    with atomic_write(path.with_suffix(".md")) as stream:
        stream.write(text)
    draw(rows, sets, path.with_suffix(".png"))
    return text


def models_of(rows):
    """Model names, sorted."""
    return sorted({row["model"] for row in rows})


def sets_of(rows):
    """dict of data set -> {group, kind, chance, rows, before and after: model -> values by seed}."""
    sets = {}
    for row in sorted(rows, key=lambda row: row["seed"]):
        for result in row["sets"]:
            entry = sets.setdefault(result["dataset"], {**result, "before": {}, "after": {}})
            for when in ("before", "after"):
                entry[when].setdefault(row["model"], []).append(result[when])
    return sets


def spread(values):
    """Mean and standard deviation in percent, as ``61.2 ± 0.4``."""
    mean = f"{100 * statistics.fmean(values):.1f}"
    return f"{mean} ± {100 * statistics.stdev(values):.1f}" if len(values) > 1 else mean


def report(rows, sets):
    """The Markdown text."""
    models = models_of(rows)
    heads = [f"{model}: {when}" for model in models for when in ("before", "after")]
    lines = ["| accuracy, % | chance | commonest | " + " | ".join(heads) + " |",
             "|---" * (3 + len(heads)) + "|"]  # fmt: skip
    for group, words in GROUPS.items():
        members = {name: entry for name, entry in sets.items() if entry["group"] == group}
        if not members:
            continue
        cells = [_group_means(rows, model, when, group)
                 for model in models for when in ("before", "after")]  # fmt: skip
        guesses = [statistics.fmean(entry[name] for entry in members.values()) for name in GUESSES]
        lines.append(_line([f"**{words}**", *_percent(guesses), *map(spread, cells)]))
        for name, entry in members.items():
            values = [
                spread(entry[when][model]) for model in models for when in ("before", "after")
            ]
            guesses = _percent(entry[guess] for guess in GUESSES)
            lines.append(_line([f"{name} ({entry['rows']} rows)", *guesses, *values]))
    correlations = {
        model: [statistics.fmean(row["cola_mcc"].values()) for row in rows
                if row["model"] == model and row.get("cola_mcc")]
        for model in models
    }  # fmt: skip
    if all(correlations.values()):
        cells = [cell for model in models for cell in ("", spread(correlations[model]))]
        lines.append(_line(["glue/cola, Matthews correlation x 100", "0.0", "0.0", *cells]))
    return "\n".join([*_preface(rows), "", *lines, "", *_templates(rows, sets)]) + "\n"


def _percent(shares):
    return [f"{100 * share:.1f}" for share in shares]


def _line(cells):
    return "| " + " | ".join(cells) + " |"


def _group_means(rows, model, when, group):
    """A group's mean over data sets, for each seed."""
    return [
        statistics.fmean(entry[when] for entry in row["sets"] if entry["group"] == group)
        for row in rows
        if row["model"] == model
    ]


def _preface(rows):
    first = rows[0]
    seeds = {m: sorted(r["seed"] for r in rows if r["model"] == m) for m in models_of(rows)}
    minutes = statistics.fmean(row["minutes"] for row in rows)
    updates = ", ".join(
        f"{row['model']}:{row['seed']} {row['pretraining_updates']}" for row in rows
    )
    return [
        "# Prompt fine-tuning on small real sets",
        "",
        f"Mixture {first['mixture']}, {first['updates']} updates of at most {first['max_tokens']} "
        f"source tokens, learning rate {first['lr']:g}, {first['parameters'] or 0:,} parameters, "
        f"{minutes:.0f} minutes a cell on one CPU core. Seeds: "
        + "; ".join(
            f"{model} {', '.join(map(str, model_seeds))}" for model, model_seeds in seeds.items()
        )
        + f". Pretraining updates: {updates}. An accuracy is a mean over the set's templates, then "
        "over seeds, ± their standard deviation; before is the pretrained model as it is; chance is 1 "
        "/ choices, commonest the share of the answer that is right most often.",
    ]


def _templates(rows, sets):
    """Accuracy after fine-tuning by template: lowest, median and highest, over all seeds."""
    models = models_of(rows)
    lines = [
        "By template after fine-tuning, lowest, median, highest (each a mean over seeds):", "",
        _line(["%", "templates", *models]), "|---" * (2 + len(models)) + "|",
    ]  # fmt: skip
    for name in sets:
        cells, count = [], 0
        for model in models:
            numbers = [entry["templates"] for row in rows if row["model"] == model
                     for entry in row["sets"] if entry["dataset"] == name]  # fmt: skip
            means = [statistics.fmean(each[t] for each in numbers) for t in numbers[0]]
            count = len(means)
            marks = (min(means), statistics.median(means), max(means))
            cells.append(", ".join(f"{100 * mark:.1f}" for mark in marks))
        lines.append(_line([name, str(count), *cells]))
    return lines


def draw(rows, sets, path):
    """The picture: a bar for each model, its part before fine-tuning pale, a dot for each seed."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    models = models_of(rows)
    figure = Figure(figsize=(3.2 + 1.2 * len(sets), 5), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    ticks, names, x = [], [], 0.0
    for group, words in GROUPS.items():
        members = {name: entry for name, entry in sets.items() if entry["group"] == group}
        if not members:
            continue
        first = x
        for name, entry in members.items():
            _draw_set(axis, x, entry, models, labelled=not ticks)
            ticks.append(x)
            names.append(f"{name}\n{two_lines(entry['kind'] or '', 14)}")
            x += 1
        head_group(axis, first, x - 1, words)
        x += 0.6 if group == HELD_IN else 0.8
    axis.set_xticks(ticks, names, fontsize=8.5)
    axis.set_ylim(0, 1.12)
    axis.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "25 %", "50 %", "75 %", "100 %"])
    axis.set_ylabel("accuracy, mean over templates")
    axis.grid(axis="y", alpha=0.25)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(axis="x", length=0)
    figure.suptitle(f"Prompt fine-tuning on real sets, {rows[0]['updates']} updates", fontsize=12)
    figure.legend(loc="outside lower center", ncols=len(sets), fontsize=9, frameon=False)
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    with atomic_write(path, "wb") as stream:
        stream.write(picture.getvalue())


def _draw_set(axis, x, entry, models, labelled):
    def label(text):
        return text if labelled else None

    width = 0.8 / (2 * len(models))
    for place, (model, colour) in enumerate(zip(models, COLOURS, strict=False)):
        left = x - 0.4 + (2 * place + 0.5) * width
        for when, position, alpha in (("before", left, PALE), ("after", left + width, 1)):
            values = entry[when][model]
            axis.bar(position, statistics.fmean(values), 0.92 * width, color=colour, alpha=alpha,
                     label=label(f"{model} {when}"))  # fmt: skip
            dots = label("each seed") if (place, when) == (len(models) - 1, "after") else None
            axis.plot(
                [position] * len(values), values, ".", color="black", markersize=4, label=dots
            )
        axis.annotate(
            f"{100 * statistics.fmean(entry['after'][model]):.0f}",
            (left + width, max(entry["after"][model])), xytext=(0, 3), textcoords="offset points",
            ha="center", fontsize=8,
        )  # fmt: skip
    axis.plot([x - 0.45, x + 0.45], [entry["chance"]] * 2, color=CHANCE_COLOUR, linewidth=1.6,
              label=label("chance"))  # fmt: skip
    axis.plot([x - 0.45, x + 0.45], [entry["commonest"]] * 2, ":", color=CHANCE_COLOUR, linewidth=1.4,
              label=label("commonest answer"))  # fmt: skip
