"""Logs of any length: the memory of the figures that read them is flat, what they show is the log's."""

import argparse
import json
import tracemalloc

import pytest

from fairseq_metro.analysis.figures import clm_loss, efficiency, logs, rtd_recall
from fairseq_metro.analysis.figures.efficiency import running_totals
from fairseq_metro.analysis.log import read_log
from tests.analysis.fairseq_logs import metrics_after

EVERY = 20  # updates


def write(folder, intervals, valid_every=2):
    """A run's folder whose log has so many intervals, and a validation after every second."""
    folder.mkdir()
    with open(folder / "train.log", "w") as stream:
        for i in range(1, intervals + 1):
            update = EVERY * i
            numbers = {**metrics_after(update, EVERY * intervals), "clm_loss": 9 - i / intervals,
                       "wall": 2.0 * update, "wpb": 1000.0 + i}  # fmt: skip
            told = {"epoch": 1, **numbers, "num_updates": update}
            say(stream, "train_inner", {key: str(value) for key, value in told.items()})
            if i % valid_every == 0:
                say(stream, "valid", {f"valid_{key}": str(value) for key, value in told.items()})
    return folder


def say(stream, name, told):
    stream.write(f"2026-01-31 04:00:00 | INFO | {name} | {json.dumps(told)}\n")


def rows_of(module):
    return lambda run: module.collect(argparse.Namespace(runs=[f"x={run}"], data=None))


READERS = {
    "clm_loss": rows_of(clm_loss),
    "rtd_recall": rows_of(rtd_recall),
    "efficiency": lambda run: read_log(run / "train.log", running_totals),
}


def peak_of(reader, run):
    tracemalloc.start()
    try:
        reader(run)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", READERS)
def test_memory_does_not_grow_with_the_log(tmp_path, monkeypatch, name):
    monkeypatch.setattr(logs, "MOST", 100)
    short, long = write(tmp_path / "short", 300), write(tmp_path / "long", 3000)
    READERS[name](short)  # whatever is made once
    few, many = (peak_of(READERS[name], run) for run in (short, long))
    assert many < 1.2 * few + 10_000


@pytest.mark.parametrize("intervals", [99, 100, 101, 1000, 3333])
def test_a_thinned_series_is_of_the_log_from_end_to_end(tmp_path, monkeypatch, intervals):
    run = write(tmp_path / "run", intervals)
    whole = READERS["clm_loss"](run)
    monkeypatch.setattr(logs, "MOST", 100)
    rows = READERS["clm_loss"](run)
    places = {(row["split"], row["update"]): row["clm_loss"] for row in whole}
    assert all(places[row["split"], row["update"]] == row["clm_loss"] for row in rows)
    if intervals <= 100:
        assert rows == whole
    for split, last in (("train", intervals), ("valid", intervals // 2 * 2)):
        updates = [row["update"] for row in rows if row["split"] == split]
        assert updates[-1] == EVERY * last and updates == sorted(set(updates))
        count = last if split == "train" else last // 2
        assert min(count, 12) <= len(updates) <= 100
        gaps = [b - a for a, b in zip([0, *updates], updates, strict=False)]
        assert max(gaps) <= max(EVERY * last // count, 8 * EVERY * intervals / 100)


def test_hours_and_tokens_of_a_thinned_log_are_those_of_the_whole(tmp_path, monkeypatch):
    run = write(tmp_path / "run", 1500)
    whole = read_log(run / "train.log", running_totals)
    monkeypatch.setattr(logs, "MOST", 100)
    thin = read_log(run / "train.log", running_totals)
    assert len(whole.train) == 1500 and len(thin.train) <= 100
    for record in thin.train:
        i = record.update // EVERY
        tokens = sum(EVERY * (1000 + k) for k in range(1, i + 1))
        for log in (whole, thin):
            assert efficiency.spent(log, record.update, "run") == (2.0 * record.update, tokens)
    for update in (5_000, 12_345, 29_999):
        expected = efficiency.spent(whole, update, "run")
        assert efficiency.spent(thin, update, "run") == pytest.approx(expected, rel=5e-3)


def test_a_resumed_run_is_thinned_without_its_repeated_updates(tmp_path, monkeypatch):
    monkeypatch.setattr(logs, "MOST", 100)
    run, again = write(tmp_path / "run", 1000), write(tmp_path / "again", 1200)
    lines = (again / "train.log").read_text().splitlines(keepends=True)
    with open(run / "train.log", "a") as stream:
        stream.writelines(lines[len(lines) // 2 :])  # from update 12,000 on
    updates = [row["update"] for row in READERS["clm_loss"](run) if row["split"] == "train"]
    assert updates == sorted(set(updates)) and updates[-1] == 24_000
    seconds, tokens = efficiency.spent(read_log(run / "train.log", running_totals), 24_000, "run")
    assert seconds == pytest.approx(48_000)
    assert tokens == pytest.approx(sum(EVERY * (1000 + k) for k in range(1, 1201)), rel=1e-3)
