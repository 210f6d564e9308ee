"""The report on METRO-T5 against T5: text, tables and a plot (for reproduction_pair.py)."""

import statistics

from fairseq_metro.analysis.figures.plotting import COLOURS, new_figure, save_picture, tidy
from fairseq_metro.papers.outcomes import (
    ACCURACIES,
    COLA,
    commonest,
    informative,
    primary,
    verdict,
)
from fairseq_metro.papers.paired import bootstrap_difference, paired, t_interval

METRO, T5, COMPUTE = "metro", "t5", "metro-equal-compute"
PRIMARY = "mean of SST-2, Subj, TREC and CoLA"
LEAST = 3  # seeds
PATTERN_WORDS = {
    "spans": "spans of 1 to 5 tokens (T5's masks)",
    "iid": "single tokens (METRO-T5's)",
}
ABOUT = f"""The outcomes were fixed before anything was trained. Primary: the mean of SST-2's, Subj's
and TREC's accuracy and CoLA's Matthews correlation after multitask prompt fine-tuning, each a mean over
templates, of held-in sets' other rows. Secondary: teacher-forced accuracy on WikiText-2's test part,
the same tokens masked for both, each model in its own format, scored on the tokens that stand in both
targets (`fairseq_metro/papers/shared_spans.py`; that predictions are compared among ordinary
tokens, and not with sentinels, was settled when T5's first line was seen). At least {LEAST} seeds; a
difference is METRO-T5 minus T5 of the same seed, with a 95 % t interval over seeds. T5 must be above
the commonest answers, else the scale says nothing.
"""


def pair_report(rows, spans, picture):
    """The Markdown of rows of fine-tuning and of shared spans; draws ``picture`` (a PNG's path)."""
    by_model = {name: {} for name in (METRO, T5, COMPUTE)}
    for row in rows:
        by_model[row["model"]][row["seed"]] = row
    seeds = sorted(by_model[METRO].keys() & by_model[T5].keys())
    lines = ["# METRO-T5 against T5", "", ABOUT, "## Verdict", "", *_verdicts(by_model, spans)]
    if seeds and len(seeds) < LEAST:
        lines += ["", f"**Preliminary: {len(seeds)} of at least {LEAST} seeds.**"]
    if rows:
        lines += ["", f"## Primary: {PRIMARY}", "", *_primary_table(by_model)]
    if spans:
        lines += ["", "## Secondary: masked tokens of both targets", "", *_spans_table(spans)]
    lines += ["", "## Equal compute", "", *_compute(by_model, spans)]
    if seeds or spans:
        draw(by_model, spans, picture)
        lines += ["", f"`{picture.name}`: a dot for each seed, lines join the seeds' pairs."]
    return "\n".join(lines) + "\n"


def _outcomes(rows):
    return {seed: primary(row) for seed, row in rows.items()}


def _verdicts(by_model, spans):
    """Lines: is the scale informative, and what is the verdict on each outcome."""
    lines = []
    if by_model[T5]:
        lead, good = informative(by_model[T5].values())
        lines.append(
            f"- T5 minus the commonest answers: {lead.formatted()}. "
            + ("It has learned, so the scale says something." if good else
               "Not clearly above: **the scale is uninformative** and has to be enlarged.")
        )  # fmt: skip
        if good:
            words = verdict(
                _outcomes(by_model[METRO]), _outcomes(by_model[T5]), f"Primary, {PRIMARY}"
            )
            lines.append(f"- {words} The paper's claim, METRO-T0 ahead of T0, does "
                         + ("show." if "is ahead" in words else "**not show** here."))  # fmt: skip
    for pattern in PATTERN_WORDS:
        of_models = _by_seed(spans, METRO, pattern), _by_seed(spans, T5, pattern)
        if all(of_models):
            accuracy = [
                {seed: row["accuracy"] for seed, row in seeds.items()} for seeds in of_models
            ]
            lines.append(f"- {verdict(*accuracy, f'Secondary, {PATTERN_WORDS[pattern]}')}")
            lead = t_interval([row["accuracy"] - row["commonest"] for row in of_models[1].values()])
            if lead.sign <= 0:
                lines[-1] += (
                    f" But T5 minus the commonest token is {lead.formatted()}, not clearly above 0: "
                    "**uninformative** as a comparison."
                )
    if spans:
        lines.append(
            "- The two outcomes ask for different things: METRO-T5's decoder reads all of the text "
            "before a masked token, as a language model does, T5's the earlier spans alone."
        )
    return lines


def _primary_table(by_model):
    names = [*ACCURACIES, COLA]
    lines = [
        "| model | seed | SST-2 | Subj | TREC | CoLA, MCC | mean |",
        "|---|---|---|---|---|---|---|",
    ]
    for model in (METRO, T5, COMPUTE):
        for seed, row in sorted(by_model[model].items()):
            values = {entry["dataset"]: entry["after"] for entry in row["sets"]}
            values[COLA] = statistics.fmean(row["cola_mcc"].values())
            cells = [f"{100 * values[name]:.1f}" for name in names]
            lines.append(f"| {model} | {seed} | {' | '.join(cells)} | {100 * primary(row):.1f} |")
    row = next(iter(next(filter(None, by_model.values())).values()))
    best = {entry["dataset"]: max(entry["chance"], entry["commonest"]) for entry in row["sets"]}
    cells = [f"{100 * best[name]:.1f}" for name in ACCURACIES]
    lines.append(f"| commonest answer | | {' | '.join(cells)} | 0.0 | {100 * commonest(row):.1f} |")
    return [*lines, "", *_differences(by_model, names)]


def _differences(by_model, names):
    """A sentence for each set: the paired difference over seeds."""
    parts = []
    for name in names:
        interval = []
        for model in (METRO, T5):
            interval.append({seed: _value(row, name) for seed, row in by_model[model].items()})
        if differences := paired(*interval):
            parts.append(f"{name} {t_interval(differences).formatted()}")
    return [f"METRO-T5 minus T5 by set: {'; '.join(parts)}."] if parts else []


def _value(row, name):
    if name == COLA:
        return statistics.fmean(row["cola_mcc"].values())
    return next(entry["after"] for entry in row["sets"] if entry["dataset"] == name)


def _by_seed(spans, model, pattern):
    return {row["seed"]: row for row in spans if (row["model"], row["pattern"]) == (model, pattern)}


def _spans_table(spans):
    lines = [
        "| masks | model | seed | tokens | accuracy, % | any symbol, % | nats | replaced, % | "
        "accuracy there, % | commonest token, % |",
        "|---" * 10 + "|",
    ]
    for pattern in PATTERN_WORDS:
        for model in (METRO, T5, COMPUTE):
            for seed, row in sorted(_by_seed(spans, model, pattern).items()):
                more = [_percent(row.get(name)) for name in ("replaced", "accuracy_replaced")]
                cells = [pattern, model, seed, f"{row['tokens']:,}", _percent(row["accuracy"]),
                         _percent(row["accuracy_any"]), f"{row['loss']:.3f}", *more,
                         _percent(row["commonest"])]  # fmt: skip
                lines.append("| " + " | ".join(map(str, cells)) + " |")
    parts = []
    for pattern in PATTERN_WORDS:
        first, second = (_by_seed(spans, model, pattern) for model in (METRO, T5))
        for seed in sorted(first.keys() & second.keys()):
            interval = bootstrap_difference(first[seed]["groups"], second[seed]["groups"])
            parts.append(f"{pattern}, seed {seed} {interval.formatted()}")
    if parts:
        lines += ["", "Differences of single pairs, with bootstrap intervals over the text (10 blocks "
                  f"drawn together; they say nothing of other seeds): {'; '.join(parts)}."]  # fmt: skip
    return lines


def _percent(share):
    return "" if share is None else f"{100 * share:.2f}"


def _compute(by_model, spans):
    """Lines: what an update costs, and the pair in which both cost the same."""
    flops = {row["model"]: row["flops"] for row in spans}
    lines = []
    if METRO in flops and T5 in flops:
        ratio = flops[METRO] / flops[T5]
        updates = next(row["updates"] for row in spans if row["model"] == METRO)
        lines.append(
            f"An update of METRO-T5 costs {ratio:.2f} times T5's in FLOPs (recipes/costs.py): as much "
            f"compute as T5's {updates:,} updates pays for {round(updates / ratio):,} of METRO-T5's."
        )
    if by_model[COMPUTE]:
        words = verdict(
            _outcomes(by_model[COMPUTE]), _outcomes(by_model[T5]), f"At equal compute, {PRIMARY}"
        )
        return [*lines, "", words]
    return [*lines, "", "Such METRO-T5 runs are not there yet (`train_scripts/reproduce/"
            "metro_table2.sh` trains them). Where METRO-T5 is behind at equal updates, it has had the "
            "more compute already."]  # fmt: skip


def draw(by_model, spans, path):
    """A panel for the primary outcome and one for each pattern of the secondary: dots of seeds."""
    rows = [row for rows in by_model.values() for row in rows.values()]
    outcomes = [_outcomes(by_model[model]) for model in (METRO, T5)]
    words = "after prompt fine-tuning,\nmean of four, %"
    panels = [(words, outcomes, [commonest(row) for row in rows[:1]])]
    for pattern in PATTERN_WORDS:
        of_models = [_by_seed(spans, model, pattern) for model in (METRO, T5)]
        chance = [row["commonest"] for seeds in of_models for row in seeds.values()][:1]
        values = [{seed: row["accuracy"] for seed, row in seeds.items()} for seeds in of_models]
        panels.append((f"masked tokens,\n{pattern}, %", values, chance))
    figure = new_figure(3.0 * len(panels), 3.4)
    for axis, (words, (metro, t5), chance) in zip(
        figure.subplots(1, len(panels)), panels, strict=True
    ):
        for seed in sorted(metro.keys() & t5.keys()):
            axis.plot([0, 1], [100 * metro[seed], 100 * t5[seed]], color="#b0b0b0", linewidth=1)
        for x, (seeds, colour) in enumerate(zip((metro, t5), COLOURS, strict=False)):
            axis.plot(
                [x] * len(seeds), [100 * v for v in seeds.values()], "o", color=colour, markersize=6
            )
            if seeds:
                mean = 100 * statistics.fmean(seeds.values())
                axis.plot([x - 0.15, x + 0.15], [mean, mean], color=colour, linewidth=2.5)
        if chance:
            axis.axhline(100 * chance[0], linestyle=":", color="#2b2b2b", linewidth=1.2)
            axis.annotate("commonest answer", (0.5, 100 * chance[0]), xytext=(0, 3), ha="center",
                          textcoords="offset points", fontsize=8)  # fmt: skip
        axis.set_xlim(-0.4, 1.4)
        axis.set_ylim(bottom=0)
        tidy(axis, "", words)
        axis.set_xticks([0, 1], ["METRO-T5", "T5"])
    save_picture(figure, path)
