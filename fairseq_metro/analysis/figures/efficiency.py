"""Figure 4: score after fine-tuning against the time and the FLOPs of the pretraining before it.

A series is a pretraining run and, for some of its checkpoints, the results of the model fine-tuned
from each:

    --series METRO-T5 runs/metro 500=eval/metro-500 1000=eval/metro-1000 --series T5 runs/t5 ...

The score is the mean over tasks, those that all results have, of the mean accuracy over templates.
Hours are those on the run's own clock at that update (fairseq's ``wall``, which a resumed run goes
on with): validations and saves included, pauses not. FLOPs: tokens seen (``wpb``) times
``recipes/costs.py``'s for a token.
"""

import statistics
from pathlib import Path

from fairseq_metro.analysis.figures.logs import thin
from fairseq_metro.analysis.figures.plotting import (
    colours_of,
    new_figure,
    refuse_equal_labels,
    short_steps,
    tidy,
)
from fairseq_metro.analysis.figures.scores import read_scores, shared_tasks
from fairseq_metro.analysis.log import Record, append, find_log, read_log
from fairseq_metro.common.errors import UserError
from fairseq_metro.inference.loading import find_checkpoint, open_checkpoint
from fairseq_metro.recipes.costs import flops_per_token


def add_arguments(parser):
    parser.add_argument(
        "--series", action="append", nargs="+", required=True, metavar=("LABEL", "RUN"),
        help="A pretraining run, followed by UPDATE=RESULTS for its checkpoints. May be given "
             "several times.",
    )  # fmt: skip


def collect(args):
    rows = []
    refuse_equal_labels(series[0] for series in args.series)
    series = [_series(*words) for words in args.series]
    scores = {path: read_scores(path) for _, _, points in series for _, path in points}
    tasks = shared_tasks(scores.items())
    if not tasks:
        raise UserError(f"no task that all of {', '.join(scores)} have; their means say nothing")
    for label, run, points in series:
        log, flops = read_log(find_log(run), running_totals), flops_of(run)
        for update, path in sorted(points):
            seconds, tokens = spent(log, update, run)
            rows.append({"series": label, "update": update, "hours": seconds / 3600,
                         "tokens": tokens, "flops": tokens * flops,
                         "score": mean_score(scores[path], tasks),
                         "tasks": len(tasks)})  # fmt: skip
    return rows


def _series(label, *words):
    """(label, run's folder, [(update, path of results)]) of one --series."""
    if len(words) < 2:
        raise UserError(f"--series {label}: give the run and at least one UPDATE=RESULTS")
    return label, Path(words[0]), [_point(label, word) for word in words[1:]]


def _point(label, word):
    update, equals, path = word.partition("=")
    if not (equals and update.isdecimal() and path):
        raise UserError(f"--series {label}: {word!r} must be UPDATE=RESULTS")
    return int(update), path


def flops_of(run):
    """Training FLOPs for a token of text, of the run's model, objective and block length."""
    cfg, task, _, _ = open_checkpoint(find_checkpoint(run))
    objective = cfg.task._name
    if objective not in ("metro_t5", "t5"):
        raise UserError(f"{run}: trained by --task {objective}; give a pretraining run")
    details = {"mask_prob": cfg.task.mask_prob}
    if objective == "metro_t5" and str(cfg.task.clm_positions) == "all":
        details["clm_share"] = 1.0
    if objective == "t5" and str(cfg.task.decoding_target) == "all":
        details["target_share"] = 1.0
    vocabulary = len(task.source_dictionary)
    return flops_per_token(objective, cfg.model, cfg.task.tokens_per_sample, vocabulary, **details)


def running_totals(kept, record):
    """For ``read_log``: of each record the run's seconds and tokens so far, of one without ``wall``
    or ``wpb`` nothing; of a long log thinned."""
    append(kept, Record(record.update, {}))
    if not {"wall", "wpb"} <= record.values.keys():
        return
    before = kept[-2] if len(kept) > 1 else Record(0, {})
    wall, totals = record.values["wall"], before.values
    earlier = totals.get("earlier", 0.0)
    if wall < totals.get("seconds", 0.0) - earlier:  # a restart that had lost its clock
        earlier = totals["seconds"]
    tokens = record.values["wpb"] * (record.update - before.update)
    kept[-1].values.update(
        earlier=earlier, seconds=earlier + wall, tokens=totals.get("tokens", 0.0) + tokens
    )
    thin(kept)


def spent(log, update, run):
    """(seconds on the run's clock, tokens seen) after ``update`` updates.

    log: read with :func:`running_totals`. A run may end less than a logging interval after its last
    line, at the speed that this has. Raises :class:`UserError` where it has not got that far.
    """
    before = last = Record(0, {"seconds": 0.0, "tokens": 0.0})
    for record in log.train:
        if not record.values:
            raise UserError(f"{run}: its log has no 'wall' or 'wpb'; log with --log-format json")
        before, last = last, record
        if last.update >= update:
            break
    interval = last.update - before.update
    if not interval or update - last.update >= interval:
        raise UserError(f"{run}: its log ends at update {last.update}, before {update}")
    share = (update - before.update) / interval
    pairs = ((before.values[key], last.values[key]) for key in ("seconds", "tokens"))
    seconds, tokens = (start + share * (end - start) for start, end in pairs)
    return seconds, tokens


def mean_score(scores, tasks):
    """Mean accuracy over ``tasks`` of the mean over templates."""
    return statistics.fmean(
        statistics.fmean(score.value for score in scores if score.task == task) for task in tasks
    )


def draw(rows, args):
    """Score against hours, and against FLOPs; a point for each checkpoint, its update beside it."""
    figure = new_figure(8.6, 3.9)
    axes = figure.subplots(1, 2, sharey=True)
    for label, colour in colours_of(row["series"] for row in rows).items():
        series_rows = [row for row in rows if row["series"] == label]
        for axis, name in zip(axes, ("hours", "flops"), strict=True):
            x, y = [row[name] for row in series_rows], [100 * row["score"] for row in series_rows]
            axis.plot(x, y, "o-", color=colour, markersize=5, linewidth=1.6, label=label)
            for place, row in zip(zip(x, y, strict=True), series_rows, strict=True):
                axis.annotate(short_steps(row["update"]), place, xytext=(0, 6), ha="center",
                              textcoords="offset points", fontsize=8, color=colour)  # fmt: skip
    tidy(axes[0], "pretraining time, hours", "accuracy, %, mean over tasks")
    tidy(axes[1], "pretraining FLOPs", "")
    for axis in axes:
        axis.margins(x=0.1, y=0.15)
    axes[0].legend(fontsize=9, frameon=False, loc="lower right")
    return figure


def describe(rows):
    return "\n".join(
        f"{row['series']}, update {row['update']}: {row['score']:.2%} over {row['tasks']} tasks "
        f"after {row['hours']:.2f} h, {row['flops']:.3g} FLOPs"
        for row in rows
    )
