"""Judge claims of the papers by finished rows: shown, not shown, opposite, or not measured.

If a group that must be (`informative`: the second one, T5; else either) is not above a baseline that
gives the commonest answer, a difference says nothing: uninformative.

A row is a line of the file of results: key, variant, arch, updates, seed, finetuning, shots as far as
they apply, and ``result``. A claim says that a first group is above a second one by an outcome.
"""

import statistics
from dataclasses import dataclass

from fairseq_metro.papers.outcomes import commonest, primary
from fairseq_metro.papers.paired import Interval, paired, t_interval

LEAST = 3  # seeds
UNSEEN = ("super_glue/rte", "super_glue/cb")  # of kinds of task that no mixture here trains on
# What tells groups of rows apart, in words. The later ones are of originals.
FIELDS = {"variant": "{}", "arch": "{}", "updates": "{} updates", "finetuning": "{}",
          "shots": "{} shots", "suite": "{}", "cluster": "{}", "clusters": "{} clusters",
          "mode": "{}", "asked": "asked: {}", "tuned": "tuned: {}", "task": "{}",
          "examples": "{} examples"}  # fmt: skip
# Outcome -> the kind of row that has it, and its unit.
KINDS = {"primary": "finetune", "held_out": "finetune", "after": "finetune", "gain": "finetune",
         "spans": "spans", "clm_loss": "pretrain", "rtd_recall": "pretrain", "evaluated": "evaluate",
         "neurons": "figure", "sensitivity": "figure"}  # fmt: skip
SCALES = {"clm_loss": 1, "sensitivity": 1}  # what is multiplied by; 100 for all others


@dataclass(frozen=True)
class Judged:
    """A judged claim: its text, its verdict, the difference, and the values of both groups."""

    text: str
    verdict: str
    difference: Interval | None
    first: dict
    second: dict
    outcome: str

    @property
    def scale(self):
        return SCALES.get(self.outcome, 100)


def value(outcome, row):
    """A row's outcome as a float, or None where the row has none."""
    result = row["result"]
    if outcome in ("held_out", "gain", "after"):
        sets = [
            entry for entry in result["sets"] if outcome == "after" or entry["dataset"] in UNSEEN
        ]
        change = [
            entry["after"] - (entry["before"] if outcome == "gain" else 0.0) for entry in sets
        ]
        return statistics.fmean(change) if change else None
    if outcome == "primary":
        return primary(result)
    if outcome == "spans":
        return next(
            entry["accuracy"] for entry in result["patterns"] if entry["pattern"] == "spans"
        )
    if outcome in ("clm_loss", "rtd_recall"):
        return result["valid"].get(outcome)
    return result.get(outcome)


def group(rows, outcome, fields):
    """{seed: value} of the rows of the outcome's kind with these fields."""
    values = {}
    for row in rows:
        if row["kind"] == KINDS[outcome] and all(row.get(k) == v for k, v in fields.items()):
            measured = value(outcome, row)
            if measured is not None:
                values[row["seed"]] = measured
    return values


def label_of(row, left_out=()):
    """A label for a group of rows, from its values of :data:`FIELDS`.

    >>> label_of({"variant": "t5", "shots": 4, "tuned": True})
    't5, 4 shots, tuned: yes'
    """
    words = {True: "yes", False: "no"}
    return ", ".join(
        form.format(words.get(row[name], row[name]) if isinstance(row[name], bool) else row[name])
        for name, form in FIELDS.items()
        if name not in left_out and row.get(name) is not None
    )


def contexts(claim, rows):
    """Rows of a claim's kind by what it does not name: list of (words, rows), each in itself a claim.

    An original has a claim of several sizes, mixtures or clusters: each is judged alone.
    """
    named = {*claim["first"], *claim["second"]}
    by_label = {}
    for row in rows:
        if row["kind"] == KINDS[claim["outcome"]]:
            by_label.setdefault(label_of(row, named), []).append(row)
    return [
        (words, group_rows)
        for words, group_rows in by_label.items()
        if all(group(group_rows, claim["outcome"], claim[side]) for side in ("first", "second"))
    ]


def original_rows(rows):
    """Rows of an original's commands as the rows that claims are judged by: scores, ends of curves."""
    converted = []
    for row in rows:
        if row["result"].get("evaluated") is not None:
            converted.append({**row, "kind": "evaluate"})
        for run, points in row["result"].get("curves", {}).items():
            kind, end = KINDS[row["outcome"]], points[-1][1]
            result = {row["outcome"]: end, "valid": {row["outcome"]: end}}
            variant = row["labels"][run]
            converted.append(
                {"kind": kind, "variant": variant, "seed": row["seed"], "result": result}
            )
    return converted


def guess(outcome, row):
    """The majority baseline of an outcome: the commonest answer or token; None if there is none."""
    if outcome == "primary":
        return commonest(row["result"])
    if outcome in ("held_out", "after"):
        return statistics.fmean(
            max(entry["chance"], entry["commonest"])
            for entry in row["result"]["sets"]
            if outcome == "after" or entry["dataset"] in UNSEEN
        )
    if outcome == "spans":
        patterns = row["result"]["patterns"]
        return next(entry["commonest"] for entry in patterns if entry["pattern"] == "spans")
    return None


def _lead(rows, outcome, fields):
    """The Interval of a group's lead over :func:`guess`; None if it has no baseline."""
    outcome_rows = [row for row in rows if row["kind"] == KINDS[outcome]
            and all(row.get(k) == v for k, v in fields.items())]  # fmt: skip
    guesses = [guess(outcome, row) for row in outcome_rows]
    if not outcome_rows or None in guesses:
        return None
    return t_interval(
        [value(outcome, row) - guessed for row, guessed in zip(outcome_rows, guesses, strict=True)]
    )


def _clear(lead):
    return lead.sign > 0 if lead.n > 1 else lead.mean > 0


def judge(claim, rows, outcome=None):
    """The :class:`Judged` of a claim over rows. outcome: another than the claim's (of the original)."""
    outcome = outcome or claim["outcome"]
    groups = [group(rows, outcome, claim[side]) for side in ("first", "second")]
    differences = paired(*groups)
    if not differences:
        return Judged(claim["text"], "not measured", None, *groups, outcome)
    difference = t_interval(differences)
    sides = ("second",) if claim.get("informative") else ("first", "second")
    leads = [_lead(rows, outcome, claim[side]) for side in sides]
    if all(lead is not None and not _clear(lead) for lead in leads):
        return Judged(claim["text"], "uninformative", difference, *groups, outcome)
    if difference.n < 2:
        verdict = "one seed, for it" if difference.mean > 0 else "one seed, against it"
    else:
        verdict = {1: "shown", -1: "the opposite", 0: "not shown"}[difference.sign]
    return Judged(claim["text"], verdict, difference, *groups, outcome)


def sentence(judged):
    """A claim and its verdict as one line of Markdown.

    >>> one = Judged("A is above B", "shown", Interval(0.1, 0.05, 0.15, 3), {}, {}, "primary")
    >>> sentence(one)
    '- A is above B: **shown**, +10.0 [+5.0, +15.0] (3 seeds; mean of four).'
    """
    if judged.difference is None:
        return f"- {judged.text}: **{judged.verdict}**."
    seeds = "1 seed" if judged.difference.n == 1 else f"{judged.difference.n} seeds"
    if judged.difference.n < LEAST:
        seeds += f" of at least {LEAST}"
    interval = judged.difference.formatted(
        judged.scale, 1 if judged.scale == 100 else 3
    ).removesuffix(" (one seed)")
    return f"- {judged.text}: **{judged.verdict}**, {interval} ({seeds}; {WORDS[judged.outcome]})."


WORDS = {"primary": "mean of four", "held_out": "mean of RTE and CB", "after": "mean over sets",
         "gain": "gain on RTE and CB", "spans": "accuracy on masked tokens",
         "clm_loss": "held-out CLM loss, nats", "rtd_recall": "RTD's recall",
         "evaluated": "mean over the suite", "neurons": "share under-activated",
         "sensitivity": "standard deviation of log10"}  # fmt: skip
