"""Summarize all runs of an output folder in ``summary.json``, from which the report is written."""

import math
import statistics

from fairseq_metro.evaluate.spread import quartiles, standard_error, table_of


def summarize(suites, results, settings, left_out=None):
    """The numbers of ``summary.json``.

    suites: list of (Suite, {set name: its run names}) that were evaluated; results: by run name;
    settings: of the folder; left_out: {set: why}. Shares of 1 everywhere.

    {"settings", "suites": [{"name", "title", "mean", "median", "se", "chance", "guess", "sets_done",
    "sets_of", "complete", "sets": [set], "left_out": {set: why}}]}; a set: {"name", "label",
    "cluster", "dataset", "split", "rows", "kind", "main", "runs", "chance", "commonest", "mean",
    "median", "q1", "q3", "std", "min", "max", "se", "micro", "groups", "templates": [{"template",
    "run", "value", "se", "examples", "dropped"}], "characters": {"all", "unknown"} of the inputs, or
    None}. se: standard errors over rows; std: over templates.
    """
    summaries = []
    part = settings.get("sets") or settings.get("limit")
    for suite, runs in suites:
        sets = [
            entry
            for suite_set in suite.sets
            if (entry := _set(suite_set, [results[run] for run in runs.get(suite_set.name, ())]))
        ]
        missing = {name: why for name, why in (left_out or {}).items() if name not in runs}
        summaries.append({
            "name": suite.name, "title": suite.title, **_overall(sets), "sets_done": len(sets),
            "sets_of": len(suite.sets), "sets": sets,
            "complete": len(sets) == len(suite.sets) and not part,
            "left_out": {each.name: missing[each.name] for each in suite.sets if each.name in missing},
        })  # fmt: skip
    return {"settings": settings, "suites": summaries}


def _overall(sets):
    """Unweighted means over sets whose number is a share of right answers, or of anything."""
    done = [entry for entry in sets if entry["mean"] is not None]
    if not done:
        return dict.fromkeys(("mean", "median", "se", "chance", "guess"))
    errors = [entry["se"] for entry in done]
    chances = [entry["chance"] for entry in done if entry["chance"] is not None]
    guesses = [entry["guess"] for entry in done if entry["guess"] is not None]
    return {
        "mean": statistics.fmean(entry["mean"] for entry in done),
        "median": statistics.fmean(entry["median"] for entry in done),
        "se": None if None in errors else math.sqrt(sum(e * e for e in errors)) / len(errors),
        "chance": statistics.fmean(chances) if len(chances) == len(done) else None,
        "guess": statistics.fmean(guesses) if len(guesses) == len(done) else None,
    }


def _set(suite_set, results):
    if not results:
        return None
    done = [result for result in results if result["value"] is not None]
    entry = {
        "name": suite_set.name, "label": suite_set.label, "cluster": suite_set.cluster,
        "dataset": suite_set.dataset,
        "split": suite_set.split, "rows": results[0]["rows"], "kind": suite_set.kind,
        "main": results[0]["main"], "runs": len(results),
        "templates": [_template(result) for result in results],
        "characters": _characters(results),
    }  # fmt: skip
    if not done:
        nothing = "chance commonest guess mean median q1 q3 std min max se micro groups".split()
        return {**entry, **dict.fromkeys(nothing)}
    table = table_of(done)
    chance, commonest = _mean(done, "chance"), _mean(done, "commonest")
    guess = None if chance is None else max(chance, commonest)
    grouped = done[0]["groups"] is not None
    return {
        **entry, "chance": chance, "commonest": commonest, "guess": guess,
        **quartiles([result["value"] for result in done]),
        "se": None if table is None else standard_error(table),
        "micro": _mean(done, "accuracy") if grouped else None,
        "groups": _groups(done) if grouped else None,
    }  # fmt: skip


def _template(result):
    table = table_of([result]) if result["value"] is not None else None
    return {
        "template": result["template"], "run": result["run"], "value": result["value"],
        "se": None if table is None else standard_error(table),
        "examples": result["examples"], "dropped": result["dropped"],
    }  # fmt: skip


def _characters(results):
    """Characters of the inputs of all runs, and those unknown: dict, None where none were counted."""
    counts = [result["characters"] for result in results if result.get("characters")]
    return {name: sum(c[name] for c in counts) for name in ("all", "unknown")} if counts else None


def _mean(results, metric):
    values = [result["metrics"].get(metric) for result in results]
    return None if None in values else statistics.fmean(values)


def _groups(results):
    """{group: mean over templates of its accuracy}."""
    return {
        group: statistics.fmean(result["groups"][group][0] / result["groups"][group][1]
                                for result in results if group in result["groups"])
        for group in results[0]["groups"]
    }  # fmt: skip
