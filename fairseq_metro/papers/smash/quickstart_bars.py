"""The quickstart's picture: each test's student before and after SMASH, and the teacher."""

import statistics

from fairseq_metro.analysis.figures.plotting import new_figure, save_picture, tidy

COLOURS = {"before": "#b8c7d9", "after": "#1f5f99", "teacher": "#d9822b"}
WORDS = {"before": "student before", "after": "student after SMASH", "teacher": "teacher"}
GUESS_COLOUR, ZERO_SHOT_COLOUR = "#c0392b", "#2b2b2b"
WIDTH = 0.26  # of a bar, where tests are 1 apart


def draw_bars(scores, path):
    """Write ``path`` (PNG): three bars a test, mean over splits with their standard deviation.

    A dot is the same model without fine-tuning, a line across what always saying the commonest
    label gives. scores: ``quickstart_summary.TaskScore``.
    """
    figure = new_figure(max(6.6, 3.4 + 1.7 * len(scores)), 4.6)
    axis = figure.subplots()
    for place, score in enumerate(scores):
        for number, model in enumerate(COLOURS):
            _bar(axis, place + (number - 1) * WIDTH, score, model, labelled=place == 0)
        ends = [place - 1.7 * WIDTH, place + 1.7 * WIDTH]
        words = None if place else "always the commonest label"
        axis.plot(ends, [score.guess] * 2, linewidth=1.6, color=GUESS_COLOUR, label=words)
    tidy(axis, "", "metric x 100, mean over splits")
    axis.grid(axis="x", visible=False)
    axis.set_xticks(
        range(len(scores)),
        [f"{score.test}\n{score.labels} labels, {score.metric}" for score in scores],
    )
    axis.tick_params(axis="x", length=0)
    low = min(0.0, *(value for score in scores for of in score.prompt.values() for value in of))
    axis.set_ylim(low, 109)
    axis.set_yticks(range(0, 101, 25))
    first = scores[0]
    splits = len(first.prompt["before"])
    figure.suptitle(f"SMASH, {first.k} examples a label, {splits} splits", fontsize=12)
    figure.legend(loc="outside lower center", ncols=3, fontsize=9, frameon=False)
    save_picture(figure, path)


def _bar(axis, x, score, model, labelled):
    values = score.prompt[model]
    mean, spread = statistics.fmean(values), statistics.pstdev(values)
    axis.bar(x, mean, WIDTH, color=COLOURS[model], label=WORDS[model] if labelled else None)
    axis.errorbar(x, mean, spread, color="#444444", linewidth=1, capsize=2)
    axis.plot(x, score.zero_shot[model], "o", color=ZERO_SHOT_COLOUR, markersize=4,
              markeredgecolor="white", markeredgewidth=0.6,
              label="zero-shot" if labelled and model == "teacher" else None)  # fmt: skip
    axis.annotate(f"{mean:.0f}", (x, mean + spread), xytext=(0, 3), textcoords="offset points",
                  ha="center", fontsize=8.5)  # fmt: skip
