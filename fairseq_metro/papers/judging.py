"""Claims of the papers against finished rows: shown, not shown, the opposite, or not measured.

Where a group that has to (`informative`: the second one, T5; else either) is not above whoever always
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
    """A claim's words, its verdict in words, the difference, values of both groups."""

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
        sets = [one for one in result["sets"] if outcome == "after" or one["dataset"] in UNSEEN]
        change = [one["after"] - (one["before"] if outcome == "gain" else 0.0) for one in sets]
        return statistics.fmean(change) if change else None
    if outcome == "primary":
        return primary(result)
    if outcome == "spans":
        return next(one["accuracy"] for one in result["patterns"] if one["pattern"] == "spans")
    if outcome in ("clm_loss", "rtd_recall"):
        return result["valid"].get(outcome)
    return result.get(outcome)


def group(rows, outcome, fields):
    """{seed: value} of the rows of the outcome's kind with these fields."""
    found = {}
    for row in rows:
        if row["kind"] == KINDS[outcome] and all(row.get(k) == v for k, v in fields.items()):
            one = value(outcome, row)
            if one is not None:
                found[row["seed"]] = one
    return found


def label_of(row, left_out=()):
    """A group of rows in words, by what is known of :data:`FIELDS`.

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
    found = {}
    for row in rows:
        if row["kind"] == KINDS[claim["outcome"]]:
            found.setdefault(label_of(row, named), []).append(row)
    sides = [(words, mine, [group(mine, claim["outcome"], claim[side]) for side in ("first", "second")])
             for words, mine in found.items()]  # fmt: skip
    return [(words, mine) for words, mine, both in sides if all(both)]


def original_rows(rows):
    """Rows of an original's commands as the rows that claims are judged by: scores, ends of curves."""
    found = []
    for row in rows:
        if row["result"].get("evaluated") is not None:
            found.append({**row, "kind": "evaluate"})
        for run, points in row["result"].get("curves", {}).items():
            kind, end = KINDS[row["outcome"]], points[-1][1]
            result = {row["outcome"]: end, "valid": {row["outcome"]: end}}
            variant = row["labels"][run]
            found.append({"kind": kind, "variant": variant, "seed": row["seed"], "result": result})
    return found


def guess(outcome, row):
    """The outcome of whoever does not read: always the commonest answer or token; None where there is
    no such number."""
    if outcome == "primary":
        return commonest(row["result"])
    if outcome in ("held_out", "after"):
        return statistics.fmean(max(one["chance"], one["commonest"]) for one in row["result"]["sets"]
                                if outcome == "after" or one["dataset"] in UNSEEN)  # fmt: skip
    if outcome == "spans":
        patterns = row["result"]["patterns"]
        return next(one["commonest"] for one in patterns if one["pattern"] == "spans")
    return None


def _lead(rows, outcome, fields):
    """The Interval of a group's lead over :func:`guess`; None where nobody can guess."""
    mine = [row for row in rows if row["kind"] == KINDS[outcome]
            and all(row.get(k) == v for k, v in fields.items())]  # fmt: skip
    guesses = [guess(outcome, row) for row in mine]
    if not mine or None in guesses:
        return None
    return t_interval([value(outcome, row) - one for row, one in zip(mine, guesses, strict=True)])


def _clear(lead):
    return lead.sign > 0 if lead.n > 1 else lead.mean > 0


def judge(claim, rows, outcome=None):
    """The :class:`Judged` of a claim over rows. outcome: another than the claim's (of the original)."""
    outcome = outcome or claim["outcome"]
    groups = [group(rows, outcome, claim[side]) for side in ("first", "second")]
    differences = paired(*groups)
    if not differences:
        return Judged(claim["text"], "not measured", None, *groups, outcome)
    found = t_interval(differences)
    asked = ("second",) if claim.get("informative") else ("first", "second")
    leads = [_lead(rows, outcome, claim[side]) for side in asked]
    if all(lead is not None and not _clear(lead) for lead in leads):
        return Judged(claim["text"], "uninformative", found, *groups, outcome)
    if found.n < 2:
        verdict = "one seed, for it" if found.mean > 0 else "one seed, against it"
    else:
        verdict = {1: "shown", -1: "the opposite", 0: "not shown"}[found.sign]
    return Judged(claim["text"], verdict, found, *groups, outcome)


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
    said = judged.difference.formatted(judged.scale, 1 if judged.scale == 100 else 3).removesuffix(
        " (one seed)"
    )
    return f"- {judged.text}: **{judged.verdict}**, {said} ({seeds}; {WORDS[judged.outcome]})."


WORDS = {"primary": "mean of four", "held_out": "mean of RTE and CB", "after": "mean over sets",
         "gain": "gain on RTE and CB", "spans": "accuracy on masked tokens",
         "clm_loss": "held-out CLM loss, nats", "rtd_recall": "RTD's recall",
         "evaluated": "mean over the suite", "neurons": "share under-activated",
         "sensitivity": "standard deviation of log10"}  # fmt: skip
