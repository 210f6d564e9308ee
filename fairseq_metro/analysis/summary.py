"""Summarize a pretraining run: a table on the screen, ``summary.json``, ``curves.png``.

``fairseq-metro summary RUN`` reads ``RUN/train.log``, as
the scripts in ``train_scripts/`` leave it beside the checkpoints, or fairseq-hydra-train's own.
"""

import statistics
import sys
from pathlib import Path

from fairseq_metro.analysis.curves import draw_curves
from fairseq_metro.analysis.log import find_log, read_log
from fairseq_metro.common.arguments import CommandParser
from fairseq_metro.common.errors import UserError, run_command
from fairseq_metro.common.files import write_json
from fairseq_metro.common.stamp import make_stamp

# Name in the log and in summary.json, words for a person, how it is printed.
METRICS = {
    "mlm_loss": ("MLM loss (nats)", "{:.3f}"),
    "rtd_loss": ("RTD loss (nats)", "{:.4f}"),
    "clm_loss": ("CLM loss (nats)", "{:.3f}"),
    "lm_loss": ("LM loss (nats)", "{:.3f}"),
    "loss": ("loss, weighted sum", "{:.3f}"),
    "mlm_accuracy": ("MLM accuracy", "{:.1%}"),
    "mlm_entropy": ("MLM entropy (nats)", "{:.3f}"),
    "clm_accuracy_replaced": ("CLM accuracy, replaced tokens", "{:.1%}"),
    "clm_accuracy_unreplaced": ("CLM accuracy, unreplaced tokens", "{:.1%}"),
    "lm_accuracy": ("LM accuracy, target tokens", "{:.1%}"),
    "unigram_accuracy": ("guessing the commonest token", "{:.1%}"),
    "rtd_auc": ("RTD AUC", "{:.3f}"),
    "rtd_precision": ("RTD precision at 0.5", "{:.3f}"),
    "rtd_recall": ("RTD recall at 0.5", "{:.3f}"),
    "replace_rate": ("replaced share of all tokens", "{:.1%}"),
    "replace_rate_masked": ("replaced share of masked tokens", "{:.1%}"),
}


def parser():
    """Build the command's argument parser."""
    parser = CommandParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path, help="Run directory with a train.log, or a log file.")
    parser.add_argument("--log", type=Path, help="Log file, if it is not RUN/train.log.")
    return parser


def main(argv=None):
    args = parser().parse_args(argv)
    path = args.log or find_log(args.run)
    folder = args.run.parent if args.run.is_file() else args.run
    log = read_log(path)
    summary = summarize(log, path)
    write_json(folder / "summary.json", summary)
    draw_curves(log, folder / "curves.png")
    sys.stdout.write(describe(summary))
    print(f"written: {folder / 'summary.json'}, {folder / 'curves.png'}")
    return 0


def summarize(log, path="the log"):
    """The numbers of ``summary.json`` from a :class:`~fairseq_metro.analysis.log.Log`."""
    if not log.valid:
        raise UserError(
            f"{path}: no validation in it yet; let the run reach its first one, then try again"
        )
    last = log.valid[-1]
    start = log.start.values if log.start else {}
    speeds = [record.values["wps"] for record in log.train if record.values.get("wps")]
    return {
        "start": {name: start[name] for name in METRICS if name in start},
        "end": {name: last.values[name] for name in METRICS if name in last.values},
        "tokens_per_second": round(statistics.median(speeds)) if speeds else None,
        "updates": last.update,
        "updates_planned": log.max_update,
        "parameters": log.parameters,
        "seed": log.seed,
        "minutes": round(log.seconds / 60, 2),
        "stamp": make_stamp(),
    }


def describe(summary):
    """The table and the verdict, as text."""
    start, end = summary["start"], summary["end"]
    width = max(len(METRICS[name][0]) for name in end)
    lines = [f"{'validation':{width}}  {'start':>9}  {'end':>9}"]
    for name in end:
        words, form = METRICS[name]
        before = form.format(start[name]) if name in start else "-"
        lines.append(f"{words:{width}}  {before:>9}  {form.format(end[name]):>9}")
    lines += ["", *verdict(summary)]
    return "\n".join(lines) + "\n"


def verdict(summary):
    """The conclusions as sentences; nothing is said about what was not measured."""
    start, end = summary["start"], summary["end"]
    planned = summary["updates_planned"]
    facts = [f"{summary['updates']} updates"]
    if summary["parameters"]:
        facts.append(f"{summary['parameters']:,} parameters")
    if summary["tokens_per_second"]:
        facts.append(f"{summary['tokens_per_second']:,} tokens/s")
    facts.append(f"{summary['minutes']:.1f} minutes")
    sentences = [", ".join(facts) + "."]
    if planned and summary["updates"] < planned:
        sentences.append(f"NOT FINISHED: {planned} updates are planned.")
    replaced, unigram = end.get("clm_accuracy_replaced"), end.get("unigram_accuracy")
    if replaced is not None and unigram:
        sentences.append(
            f"CLM corrects {replaced:.1%} of replaced tokens, {replaced / unigram:.1f} times the "
            "commonest-token guess" + ("." if replaced >= 2 * unigram else ": LESS THAN TWICE.")
        )
    right = end.get("lm_accuracy")
    if right is not None and unigram:
        sentences.append(
            f"The decoder predicts {right:.1%} of target tokens, {right / unigram:.1f} times the "
            "commonest-token guess."
        )
    auc = end.get("rtd_auc")
    if auc is not None:
        grew = auc > start.get("rtd_auc", 0.5)
        tells = "tells" if auc > 0.6 and grew else "HARDLY TELLS"
        sentences.append(
            f"RTD {tells} replaced tokens from original ones (AUC {auc:.3f}; 0.5 is chance)."
        )
    risen = [
        f"{METRICS[name][0].split()[0]} {start[name]:.3f} to {end[name]:.3f}"
        for name in ("mlm_loss", "rtd_loss", "clm_loss", "lm_loss")
        if name in start and name in end and end[name] >= start[name]
    ]
    if risen:
        sentences.append(f"NOT LEARNED, the loss has not fallen: {', '.join(risen)}.")
    return sentences


if __name__ == "__main__":
    sys.exit(run_command(main))
