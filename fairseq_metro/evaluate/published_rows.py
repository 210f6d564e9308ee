"""The papers' rows as data (``published/*.yaml``), and the hit counts of released models."""

from functools import cache
from pathlib import Path

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.yaml_files import load_yaml
from fairseq_metro.prompts.collection import nearest

_FOLDER = Path(__file__).parent / "published"
HIT_COUNTS = "hit_counts"


@cache
def published_rows():
    """{id: {"model": words, "suite": name, "values": {set: percent}, "mean": printed, or None}}."""
    rows = {}
    for path in sorted(_FOLDER.glob("*.yaml")):
        content = load_yaml(path)
        for row in content.get("rows", ()):
            values = dict(zip(content["sets"], row["values"], strict=True))
            rows[row["id"]] = {"model": row["model"], "suite": content["suite"],
                                "values": values, "mean": row.get("mean")}  # fmt: skip
    return rows


def published_row(name):
    """A published row by its id, such as ``t0++/metro-base``. Raises :class:`UserError`."""
    rows = published_rows()
    if name not in rows:
        raise UserError(
            f"{name!r} is no folder and no published row ({nearest(name, rows)}; all rows: "
            "fairseq_metro/evaluate/published)"
        )
    return rows[name]


@cache
def hit_counts():
    """``published/hit_counts.yaml`` as a dict."""
    return load_yaml(_FOLDER / f"{HIT_COUNTS}.yaml")


def comparable(suite, settings):
    """Whether the suite of a name is evaluated as the hit counts were: whole sets, plain sums, float32.

    settings: of ``summary.json``.
    """
    return (
        suite == hit_counts()["suite"]
        and settings["rank_by"] == "sum"
        and settings["dtype"] == "float32"
        and not settings["shots"]
        and settings["limit"] is None
        and settings["split"] is None
    )


def refuse_unfit_expectation(expect, settings):
    """Before anything is evaluated: raise :class:`UserError` where ``--expect`` names no released model
    with hit counts, or settings under which no suite can be compared with them."""
    if expect is None:
        return
    published = hit_counts()
    if expect not in published["models"]:
        known = ", ".join(published["models"])
        raise UserError(f"--expect {expect}: hit counts are known of {known}")
    if not any(comparable(suite, settings) for suite in settings["suites"]):
        raise UserError(
            f"--expect {expect}: published hits are of the whole suite {published['suite']}, "
            "plain sums, float32, no exemplars; evaluate so"
        )


def check_hits(suite, settings, results, expect=None):
    """Our hits beside those of a released model: lines of a report, [] where there is nothing to say.

    expect: name of the released model that was evaluated, or None: a model whose name occurs in the
    evaluated one's, or whose every count is ours.
    """
    published = hit_counts()
    models = published["models"]
    if not comparable(suite["name"], settings):
        return []
    counts = _hits(suite, results, dict(zip(published["sets"], published["trials"], strict=True)))
    if not counts:
        return []
    name = expect or _recognised(settings["model"]["name"], models, counts)
    return [] if name is None else _lines(name, counts)


def _hits(suite, results, trials):
    """{set: hits over all its templates} of the sets that were evaluated whole."""
    counts = {}
    for entry in suite["sets"]:
        runs = [results[template["run"]] for template in entry["templates"]]
        if (
            entry["name"] in trials
            and sum(run["examples"] for run in runs) == trials[entry["name"]]
        ):
            counts[entry["name"]] = sum(run["hits"] for run in runs)
    return counts


def _recognised(model, models, counts):
    plain = model.lower().replace("-", "_")
    named = [name for name in models if name in plain]
    if named:
        return max(named, key=len)
    sets = hit_counts()["sets"]
    for name, entry in models.items():
        published = dict(zip(sets, entry["hits"], strict=True))
        if len(counts) == len(sets) and all(
            counts[set_name] == published[set_name] for set_name in counts
        ):
            return name
    return None


def _lines(name, counts):
    published = hit_counts()
    sets, trials = published["sets"], published["trials"]
    lines = [f"### Hits beside those published of {name}", "",
             "| set | trials | published | here | |", "|---|---|---|---|---|"]  # fmt: skip
    for set_name, hits, of in zip(sets, published["models"][name]["hits"], trials, strict=True):
        if set_name in counts:
            count = counts[set_name]
            verdict = _verdict(count, hits, of)
            lines.append(f"| {set_name} | {of} | {hits} | {count} | {verdict} |")
    if left := [set_name for set_name in sets if set_name not in counts]:
        lines += ["", f"Not evaluated whole: {', '.join(left)}."]
    return lines


def _verdict(count, published, trials):
    """What is said of a difference in hits.

    >>> _verdict(1707, 1707, 2770), _verdict(1700, 1707, 2770), _verdict(1600, 1707, 2770)
    ('exact', '-7, within 3 of 1,000', '**-107**')
    """
    if count == published:
        return "exact"
    near = abs(count - published) <= hit_counts()["tolerance"] * trials
    return f"{count - published:+d}, within 3 of 1,000" if near else f"**{count - published:+d}**"
