"""A pretraining log in fairseq's own format, written by fairseq's own progress bar."""

import logging
from collections import OrderedDict

from fairseq.logging.meters import AverageMeter, StopwatchMeter
from fairseq.logging.progress_bar import JsonProgressBar

CONFIG = (
    "{'_name': None, 'common': {'_name': None, 'no_progress_bar': False, 'log_interval': 20, "
    "'seed': 7, 'cpu': False}, 'optimization': {'_name': None, 'max_epoch': 0, 'max_update': 400}}"
)


def metrics_after(update, updates=400):
    """Plausible values: everything gets better along a straight line."""
    done = update / updates
    return {
        "loss": 40 - 20 * done,
        "mlm_loss": 7 - 3 * done,
        "rtd_loss": 0.45 - 0.1 * done,
        "clm_loss": 7 - 2.5 * done,
        "mlm_accuracy": 0.2 * done,
        "mlm_entropy": 6.9 - 2 * done,
        "clm_accuracy_replaced": 0.16 * done,
        "clm_accuracy_unreplaced": 0.5 * done,
        "unigram_accuracy": 0.04,
        "rtd_auc": 0.5 + 0.15 * done,
        "rtd_precision": 0.6,
        "rtd_recall": 0.04,
        "replace_rate": 0.15 - 0.01 * done,
        "replace_rate_masked": 1 - 0.08 * done,
    }


def _stats(update, metrics):
    stats = OrderedDict()
    for name, value in metrics(update).items():
        stats[name] = AverageMeter()
        stats[name].update(value)
    stats["wps"] = 19000 + update
    stats["num_updates"] = update
    stats["train_wall"] = StopwatchMeter()
    return stats


def write_log(
    stream, first=1, last=400, every=20, valid_every=100, clock=1_790_000_000,
    metrics=metrics_after, config=CONFIG,
):  # fmt: skip
    """Append one process's lines for updates ``first`` to ``last``; 30 updates take a second.

    metrics: update -> name -> value; config: what fairseq prints of it at the start.
    """
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        logging.Formatter(
            "%(asctime)s | %(levelname)s | %(name)s | %(message)s", datefmt="%Y-%m-%d %H:%M:%S"
        )
    )
    bar = JsonProgressBar(range(last), epoch=1, log_interval=every)
    bar.size = last

    def emit(name, message, update, level="INFO"):
        record = logging.LogRecord(name, getattr(logging, level), "", 0, message, (), None)
        record.created = clock + (update - first) / 30
        handler.emit(record)

    def emit_stats(tag, update, text):
        emit(tag, text, update)

    import json

    emit("fairseq_cli.train", config, first)
    emit("fairseq_cli.train", "MetroT5Model(\n  (encoder): Encoder(\n  )\n)", first)
    emit(
        "fairseq_cli.train", "num. shared model params: 1,234,567 (num. trained: 1,234,567)", first
    )
    if first == 1:
        start = {f"start_{name}": round(value, 3) for name, value in metrics(0).items()}
        emit_stats("start", first, json.dumps(start))
    for update in range(first, last + 1):
        bar.i = update - 1
        if update % every == 0:
            stats = bar._format_stats(_stats(update, metrics), epoch=1, update=update / last)
            emit_stats("train_inner", update, json.dumps(stats))
        if update % valid_every == 0:
            emit("fairseq_cli.train", 'begin validation on "valid" subset', update)
            prefixed = {f"valid_{key}": value for key, value in _stats(update, metrics).items()}
            emit_stats("valid", update, json.dumps(bar._format_stats(prefixed, epoch=1)))
    handler.flush()
