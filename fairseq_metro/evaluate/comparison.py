"""``--compare A B``: two output folders or published rows side by side, with confidence intervals.

Differences between folders are of the same rows and templates, so their interval is that of a paired
bootstrap: rows are drawn with replacement, the same for both and for all templates of a set, and sets
independently. Of a published row no rows are known: the interval is that of our side alone.
"""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.files import atomic_write, read_json, write_json
from fairseq_metro.evaluate.published_rows import published_row
from fairseq_metro.evaluate.report import markdown_table
from fairseq_metro.evaluate.results import SETTINGS, read_results
from fairseq_metro.evaluate.spread import resampled, table_of
from fairseq_metro.evaluate.suite import load_suite

logger = logging.getLogger(__name__)

DRAWS = 10_000
LEVEL = 0.95


@dataclass(frozen=True)
class Side:
    """name: in the table's head; runs: {set: {run: result}} of a folder, or None; values: {set:
    share of 1} of a published row, or None; labels: {set: words}."""

    name: str
    runs: dict | None
    values: dict | None
    labels: dict


def read_side(name):
    """A :class:`Side` by a folder's path or a published row's id. Raises :class:`UserError`."""
    if Path(name).is_dir():
        runs, labels = {}, {}
        for run, result in read_results(name).items():
            if result["value"] is not None:
                runs.setdefault(result["set"], {})[run] = result
                labels[result["set"]] = result["label"]
        return Side(_folder_name(Path(name)), runs, None, labels)
    row = published_row(name)
    values = {label: value / 100 for label, value in row["values"].items()}
    labels = {label.name: label.label for label in load_suite(row["suite"]).sets}
    return Side(f"{row['model']} (published)", None, values, labels)


def _folder_name(folder):
    path = folder / SETTINGS
    return read_json(path)["model"]["name"] if path.exists() else folder.name


def compare(first, second, draws=DRAWS, seed=1):
    """The comparison of two Sides: {"names", "sets": [...], "all": {...}, "draws", "level", "seed"}.

    An entry: set, label, templates, rows, first, second, difference, low, high (the interval of the
    difference; None between published rows). Raises :class:`UserError` where no set is common, or
    both folders' rows are not the same.
    """
    if first.runs is None and second.runs is not None:
        turned = compare(second, first, draws, seed)
        return _turned(turned)
    common = [
        row_name
        for row_name in (first.runs or first.values)
        if row_name in (second.runs or second.values)
    ]
    if not common:
        raise UserError(
            f"{first.name} and {second.name}: no set in common; evaluate the same suite"
        )
    entries, drawn = [], []
    for place, row_name in enumerate(common):
        entry, differences = _compare_set(row_name, first, second, draws, (seed, place))
        entries.append({"set": row_name, "label": first.labels[row_name], **entry})
        drawn.append(differences)
    means = {
        key: float(np.mean([entry[key] for entry in entries]))
        for key in ("first", "second", "difference")
    }
    together = None if drawn[0] is None else np.mean(drawn, axis=0)
    return {
        "names": [first.name, second.name], "sets": entries, "all": {**means, **_interval(together)},
        "draws": draws, "level": LEVEL, "seed": seed,
    }  # fmt: skip


def _compare_set(name, first, second, draws, seed):
    """(entry, differences on the bootstrap samples (draws,), or None)."""
    if first.runs is None:
        values = first.values[name], second.values[name]
        return _entry(*values, None, None, None), None
    if second.runs is None:
        tables = [_table(name, first.runs[name].values())]
        value = second.values[name]
        differences = resampled(tables, draws, seed)[0] - value
        templates, rows = tables[0].values.shape
        return _entry(tables[0].mean(), value, templates, rows, differences), differences
    left, right = first.runs[name], second.runs[name]
    names = [run for run in left if run in right]
    if not names:
        raise UserError(f"{name}: {first.name} and {second.name} have no template in common")
    _check_same_rows(name, [(left[run], right[run]) for run in names])
    tables = [_table(name, [side[run] for run in names]) for side in (left, right)]
    if not np.array_equal(tables[0].rows, tables[1].rows):
        raise UserError(
            f"{name}: {first.name} has {len(tables[0].rows)} rows, {second.name} "
            f"{len(tables[1].rows)}, or others; evaluate both with the same --limit"
        )
    differences = np.subtract(*resampled(tables, draws, seed))
    values = [table.mean() for table in tables]
    return _entry(*values, len(names), len(tables[0].rows), differences), differences


def _table(name, results):
    table = table_of(list(results))
    if table is None:
        raise UserError(
            f"{name}: its main metric is of a corpus, not of rows; give another one first"
        )
    return table


def _check_same_rows(name, pairs):
    for left, right in pairs:
        golds = [
            dict(zip(side["row"], side.get("right") or side.get("gold", ()), strict=False))
            for side in (left["per_example"], right["per_example"])
        ]
        if any(golds[1].get(row, gold) != gold for row, gold in golds[0].items()):
            raise UserError(f"{name}: {left['run']} has other right answers in the two folders")


def _entry(first, second, templates, rows, differences):
    return {
        "templates": templates, "rows": rows, "first": first, "second": second,
        "difference": first - second, **_interval(differences),
    }  # fmt: skip


def _interval(differences):
    if differences is None:
        return {"low": None, "high": None}
    low, high = np.percentile(differences, [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
    return {"low": float(low), "high": float(high)}


def _turned(comparison):
    """The comparison with its sides exchanged."""

    def turn(entry):
        low, high = (None if end is None else -end for end in (entry["high"], entry["low"]))
        return {**entry, "first": entry["second"], "second": entry["first"],
                "difference": -entry["difference"], "low": low, "high": high}  # fmt: skip

    return {
        **comparison,
        "names": comparison["names"][::-1],
        "sets": [turn(entry) for entry in comparison["sets"]],
        "all": turn(comparison["all"]),
    }


def describe(comparison):
    """The comparison as Markdown: str."""
    head = [
        "set",
        "templates",
        "rows",
        *comparison["names"],
        "difference",
        f"{LEVEL:.0%} interval",
        "",
    ]
    rows = [_line(entry["label"], entry) for entry in comparison["sets"]]
    rows.append(_line("**all**", comparison["all"]))
    lines = markdown_table(head, rows)
    notes = (
        f"Difference in points; interval by bootstrap over rows, {comparison['draws']:,} draws, seed "
        f"{comparison['seed']}; * where it does not contain 0."
    )
    return "\n".join([*lines, "", notes]) + "\n"


def _line(label, entry):
    interval = mark = ""
    if entry["low"] is not None:
        interval = f"{100 * entry['low']:+.2f} to {100 * entry['high']:+.2f}"
        mark = "*" if entry["low"] > 0 or entry["high"] < 0 else ""
    counts = [str(entry.get(key) or "") for key in ("templates", "rows")]
    return [label, *counts, f"{100 * entry['first']:.2f}", f"{100 * entry['second']:.2f}",
            f"{100 * entry['difference']:+.2f}", interval, mark]  # fmt: skip


def run_comparison(first, second, out=None):
    """Compare by names; the Markdown text. out: folder for compare.json and compare.md, or None."""
    comparison = compare(read_side(first), read_side(second))
    text = describe(comparison)
    if out is not None:
        out = Path(out)
        out.mkdir(parents=True, exist_ok=True)
        write_json(out / "compare.json", comparison)
        with atomic_write(out / "compare.md") as stream:
            stream.write(text)
    return text
