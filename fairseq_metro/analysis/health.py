"""Diagnose the auxiliary model and RTD of a run: a plot and warnings about known failures.

``fairseq-metro health RUN`` reads ``RUN/train.log``,
or the log itself, of a run of ``--task metro_t5`` at any time, and writes ``health.png`` beside it.
A second run in ``--baseline`` is drawn dashed; only beside one can leakage be seen. All thresholds
are ours: neither the paper nor the released code gives any.
"""

import math
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path

from fairseq_metro.analysis.health_picture import draw_health
from fairseq_metro.analysis.log import find_log, read_log
from fairseq_metro.common.arguments import CommandParser
from fairseq_metro.common.errors import UserError, run_command

# Before this share of the planned updates nothing is said: the RTD head starts at p = 0.5 for every
# token, and any auxiliary model begins with the frequencies of single tokens.
EARLY = 0.1
# At the unigram stage the auxiliary model's samples are drawn by frequency alone, so that RTD sees
# hardly more than chance. Stuck tiny runs ended at AUC 0.502-0.510 and 1.2-1.5 times the accuracy
# of the commonest token, runs that had left the stage at 0.59 and above 3 times.
UNIGRAM_AUC = 0.55
UNIGRAM_ACCURACY = 1.6
# A loss that fell by less than this (nats) over the last half of the run is called flat.
FLAT = 0.05
# Replaced share of masked tokens: below the first value, or below the second and falling (by the
# third since half of the run), RTD and CLM get too few errors to learn from.
TOO_STRONG, TOO_STRONG_IF_FALLING, FALLING = 0.3, 0.4, 0.01
# Above this share after half of the planned updates the errors are too easy to tell.
TOO_WEAK = 0.95
# RTD's loss over that of always answering the base rate.
ABOVE_PLATEAU = 1.02
# Rise (nats) of a loss over its lowest tenth of the run.
DIVERGED = 0.3
# RTD recall over the baseline run's; the paper's span masking has more than twice (figure 3b).
LEAK_RATIO, LEAK_RECALL = 1.5, 0.05

NAMES = (
    "replace_rate replace_rate_masked rtd_auc rtd_precision rtd_recall rtd_loss mlm_loss "
    "mlm_entropy mlm_accuracy unigram_accuracy clm_loss clm_accuracy_replaced "
    "clm_accuracy_unreplaced"
).split()
LOSSES = {"mlm_loss": "MLM", "rtd_loss": "RTD", "clm_loss": "CLM"}


@dataclass(frozen=True)
class Warning:
    """A known failure: its name, the observation, and the remedy."""

    name: str
    text: str


def parser():
    """Build the command's argument parser."""
    parser = CommandParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path, help="Run directory with a train.log, or a log file.")
    parser.add_argument("--out", type=Path,
        help="PNG file to write (default: health.png beside the log).")  # fmt: skip
    parser.add_argument(
        "--baseline",
        type=Path,
        help="Run with i.i.d. masking to compare RTD recall with; it is plotted dashed.",
    )
    parser.add_argument("--strict", action="store_true",
        help="Exit with status 1 if there is any warning.")  # fmt: skip
    return parser


def main(argv=None):
    args = parser().parse_args(argv)
    path = find_log(args.run)
    log = read_metro_log(path)
    baseline = read_metro_log(find_log(args.baseline)) if args.baseline else None
    warnings = diagnose(log, baseline)
    out = args.out or path.parent / "health.png"
    draw_health(log, out, [warning.name for warning in warnings], plateau, baseline)
    sys.stdout.write(describe(log, warnings))
    print(f"written: {out}")
    return 1 if args.strict and warnings else 0


def read_metro_log(path):
    """Read a log that tells of replaced tokens. Raises :class:`UserError` for any other."""
    log = read_log(path)
    if not series_of(log, "replace_rate"):
        raise UserError(
            f"{path}: no replaced tokens in it; give the log of a run of --task metro_t5 with "
            "--log-format json that has reached its first --log-interval or validation"
        )
    return log


def plateau(replace_rate):
    """RTD loss of always predicting the replacement rate: its entropy in nats.

    >>> round(plateau(0.15), 3), plateau(0.0)
    (0.423, 0.0)
    """
    return sum(-p * math.log(p) for p in (replace_rate, 1 - replace_rate) if p > 0)


def series_of(log, name):
    """[(update, value)]: of the training log where it is dense enough to smooth, else validation."""

    def pick(records):
        return [(r.update, r.values[name]) for r in records if name in r.values]

    train, valid = pick(log.train), pick(log.valid)
    if len(train) >= 20 or not valid:
        return train
    return pick([log.start] if log.start else []) + valid


def smoothed_at(points, share):
    """Median of the points within a tenth of the run that ends at ``share`` of it, at least three.

    points: [(update, value)], not empty.
    """
    last = points[-1][0] * share
    before = [value for update, value in points if update <= last] or [points[0][1]]
    near = [value for update, value in points if last - 0.1 * points[-1][0] < update <= last]
    return statistics.median(near if len(near) >= 3 else before[-3:])


def current(log):
    """name -> smoothed value now, of the names in the log."""
    points = {name: series_of(log, name) for name in NAMES}
    return {name: smoothed_at(series, 1.0) for name, series in points.items() if series}


def progress(log):
    """Share of the planned updates that is done; 1 where none are planned."""
    done = series_of(log, "replace_rate")[-1][0]
    return min(1.0, done / log.max_update) if log.max_update else 1.0


def diagnose(log, baseline=None):
    """The known failures that a log shows, as :class:`Warning`, the most basic first."""
    if progress(log) < EARLY:
        return []
    now = current(log)
    warnings = [
        *vanished_losses(log),
        *diverged_losses(log, now),
        *rtd_above_plateau(log, now),
        *unigram_stage(log, now),
        *too_strong(log, now),
        *leakage(log, now, baseline),
    ]
    if "unigram" not in [warning.name for warning in warnings]:
        warnings += too_weak(log, now)
    return warnings


def decrease(log, name):
    """Decrease of a value over the second half of the run."""
    points = series_of(log, name)
    return smoothed_at(points, 0.5) - smoothed_at(points, 1.0) if points else 0.0


def vanished_losses(log):
    """A loss that is logged no more: fairseq writes nan, which is no number."""
    last = log.train[-3:]
    for name, word in LOSSES.items():
        logged = any(name in record.values for record in log.train[:-3])
        if logged and len(last) == 3 and not any(name in record.values for record in last):
            yield Warning(
                "not finite",
                f"the {word} loss is not a number any more (updates {last[0].update} to "
                f"{last[-1].update}): go back to an earlier checkpoint with a smaller --lr or "
                "--clip-norm" + on_decoder(log, ", or --rtd-on encoder"),
            )
            return


def on_decoder(log, text):
    return text if log.options.get("rtd_on") == "decoder" else ""


def diverged_losses(log, now):
    """A loss that has risen well above its own best: the paper's decoder RTD, figure 3a."""
    for name in ("clm_loss", "mlm_loss"):
        points = series_of(log, name)
        if len(points) < 4:
            continue
        best = min(smoothed_at(points, tenth / 10) for tenth in range(1, 11))
        if now[name] <= best + DIVERGED:
            continue
        seen = f"the {LOSSES[name]} loss rose from {best:.2f} to {now[name]:.2f} nats"
        if on_decoder(log, "yes"):
            yield Warning(
                "decoder RTD diverges",
                f"{seen}, with RTD on the decoder, as in METRO-T0's figure 3a: give --rtd-on "
                "encoder; a smaller --clip-norm and --clm-head projection only soften it",
            )
        else:
            yield Warning(
                "diverging",
                f"{seen}: go back to an earlier checkpoint with a smaller --lr, more "
                "--warmup-updates, or a smaller --clip-norm",
            )
        return


def rtd_above_plateau(log, now):
    """RTD that is worse than a constant prediction."""
    best = plateau(now["replace_rate"])
    if "rtd_loss" in now and now["rtd_loss"] > ABOVE_PLATEAU * best:
        remedy = on_decoder(log, "--rtd-on encoder, ") + "a smaller --lr or --lambda-rtd"
        yield Warning(
            "RTD diverges",
            f"the RTD loss {now['rtd_loss']:.3f} is above {best:.3f}, that of always answering the "
            f"base rate {now['replace_rate']:.1%}: the encoder does not learn RTD; give {remedy}, "
            "or more --warmup-updates",
        )


def unigram_stage(log, now):
    """An auxiliary model that has learned token frequencies but ignores the context."""
    auc, accuracy = now.get("rtd_auc", 1.0), now.get("mlm_accuracy", 1.0)
    if auc >= UNIGRAM_AUC or accuracy > UNIGRAM_ACCURACY * now.get("unigram_accuracy", 0.0):
        return
    seen = (
        f"the auxiliary model is still at the unigram stage (MLM accuracy {accuracy:.1%}, the "
        f"commonest token {now['unigram_accuracy']:.1%}; RTD AUC {auc:.3f}, its loss "
        f"{now['rtd_loss']:.3f} on its plateau {plateau(now['replace_rate']):.3f})"
    )
    fell = decrease(log, "mlm_loss")
    lr = log.options.get("lr")
    if fell < FLAT:
        yield Warning(
            "unigram",
            f"{seen}, and the MLM loss is flat at {now['mlm_loss']:.2f} nats: start again with a "
            "smaller --lr" + (f" (here {lr})" if lr else "") + ", or more --warmup-updates; "
            "post-LN at too high a rate stays there for good",
        )
    else:
        yield Warning(
            "unigram",
            f"{seen}, but its MLM loss still falls ({fell:.2f} nats over the last half): train "
            "longer, or start with a larger batch",
        )


def too_strong(log, now):
    """An auxiliary model so accurate that little is left to detect and to correct."""
    rate = now.get("replace_rate_masked", 1.0)
    falling = decrease(log, "replace_rate_masked") >= FALLING
    if rate < TOO_STRONG or (rate < TOO_STRONG_IF_FALLING and falling):
        yield Warning(
            "too strong",
            f"only {rate:.1%} of masked tokens are replaced"
            + (" and fewer and fewer" if falling else "")
            + f" ({now['replace_rate']:.1%} of all tokens, the RTD base rate): the auxiliary model "
            "is too strong; give fewer --auxiliary-layers, a smaller --auxiliary-embed-dim, or an "
            "--auxiliary-temperature above 1",
        )


def too_weak(log, now):
    """An auxiliary model whose replacements are easy to tell, late in the run."""
    rate = now.get("replace_rate_masked", 0.0)
    if rate > TOO_WEAK and progress(log) >= 0.5:
        yield Warning(
            "too weak",
            f"{rate:.1%} of masked tokens are replaced after {progress(log):.0%} of the updates: "
            "the auxiliary model is too weak; give more --auxiliary-layers, train longer, or look "
            "at --lr; an --auxiliary-temperature above 1 makes it worse",
        )


def leakage(log, now, baseline):
    """Mask positions that reveal which tokens were replaced (METRO-T0, section 6.2).

    Every replaced token is a masked one, so that the logged recall is the recall at masked tokens.
    How much of it is honest cannot be told from one run: tokens differ in how easy they are, and
    recall at 0.5 is far from what AUC would give for equal ones. Hence the second run.
    """
    if baseline is None or "rtd_recall" not in now:
        return
    recall, baseline_recall = series_of(log, "rtd_recall"), series_of(baseline, "rtd_recall")
    if not baseline_recall:
        return
    end = min(recall[-1][0], baseline_recall[-1][0])
    recall, baseline_recall = (
        smoothed_at([p for p in points if p[0] <= end] or points[:1], 1.0)
        for points in (recall, baseline_recall)
    )
    if recall >= LEAK_RECALL and recall >= LEAK_RATIO * baseline_recall:
        pattern = log.options.get("mask_pattern", "")
        why = " (--mask-pattern span does that)" if pattern == "span" else ""
        yield Warning(
            "leakage",
            f"RTD finds {recall:.1%} of replaced tokens, {baseline_recall:.1%} in the baseline "
            f"run after as many updates ({end}): the places of the masks may tell "
            f"the label{why}; mask i.i.d., --mask-pattern iid",
        )


def describe(log, warnings):
    """A short summary of the run's current state, and the warnings."""
    now = current(log)
    update = series_of(log, "replace_rate")[-1][0]
    planned = f" of {log.max_update}" if log.max_update else ""
    best = plateau(now["replace_rate"])
    lines = [
        f"update {update}{planned}",
        "replaced  {replace_rate:.1%} of all tokens, {replace_rate_masked:.1%} of masked ones",
        "RTD       AUC {rtd_auc:.3f}, precision {rtd_precision:.2f}, recall {rtd_recall:.2f}; "
        f"loss {{rtd_loss:.3f}}, plateau {best:.3f}",
        "MLM       accuracy {mlm_accuracy:.1%} (commonest token {unigram_accuracy:.1%}); loss "
        "{mlm_loss:.2f}, entropy {mlm_entropy:.2f} nats",
        "CLM       accuracy {clm_accuracy_replaced:.1%} on replaced tokens, "
        "{clm_accuracy_unreplaced:.1%} on unreplaced ones",
    ]
    known = dict.fromkeys(NAMES, math.nan) | now
    lines = [line.format(**known) for line in lines]
    lines += [f"WARNING, {warning.name}: {warning.text}." for warning in warnings]
    if progress(log) < EARLY:
        lines.append(f"too early to judge: {progress(log):.0%} of the updates are done.")
    elif not warnings:
        lines.append("no known failure is seen.")
    if log.options.get("mask_pattern") == "span":
        lines.append("note: span masks leak labels to RTD; --baseline RUN compares the recall.")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(run_command(main))
