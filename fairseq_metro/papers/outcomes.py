"""The preregistered outcomes of METRO-T5 against T5, and their names.

Primary: mean of SST-2's, Subj's and TREC's accuracy and CoLA's Matthews correlation after multitask
prompt fine-tuning, each a mean over templates. Secondary: accuracy on the masked tokens that both
targets hold (:mod:`fairseq_metro.papers.shared_spans`). T5 must beat a baseline that always gives the
commonest answer, or nothing is said of METRO.
"""

import statistics

from fairseq_metro.common.errors import UserError
from fairseq_metro.papers.paired import paired, t_interval

ACCURACIES = ("glue/sst2", "subj", "trec")
COLA = "glue/cola"


def primary(row):
    """The primary outcome of a row of ``prompt_finetuning.jsonl``, a share of 1.

    Raises :class:`UserError` where the row lacks one of the four sets.
    """
    after = {entry["dataset"]: entry["after"] for entry in row["sets"]}
    missing = [name for name in ACCURACIES if name not in after]
    if missing or not row.get("cola_mcc"):
        raise UserError(
            f"{row['model']}:{row['seed']}: no score on {', '.join([*missing, COLA][:1])}; "
            "fine-tune on a mixture with SST-2, Subj, TREC and CoLA"
        )
    mcc = statistics.fmean(row["cola_mcc"].values())
    return statistics.fmean([*(after[name] for name in ACCURACIES), mcc])


def commonest(row):
    """The majority baseline of the primary outcome (its MCC is 0)."""
    best = {entry["dataset"]: max(entry["chance"], entry["commonest"]) for entry in row["sets"]}
    return statistics.fmean([*(best[name] for name in ACCURACIES), 0.0])


def informative(rows):
    """(T5's lead over :func:`commonest` as an Interval, is it clearly above 0) over rows of T5.

    One seed is never clear.
    """
    lead = t_interval([primary(row) - commonest(row) for row in rows])
    return lead, lead.sign > 0


def verdict(metro, t5, what):
    """One sentence on METRO-T5 minus T5: of {seed: value} each; what: the outcome in words.

    >>> verdict({1: 0.5, 2: 0.51, 3: 0.52}, {1: 0.4, 2: 0.4, 3: 0.4}, "accuracy")
    'accuracy: METRO-T5 is ahead, +11.0 [+8.5, +13.5] over 3 seeds.'
    >>> verdict({1: 0.5, 2: 0.4}, {1: 0.4, 2: 0.4}, "accuracy")
    'accuracy: no difference shown, +5.0 [-58.5, +68.5] over 2 seeds (2 of at least 3).'
    """
    differences = paired(metro, t5)
    if not differences:
        return f"{what}: not measured yet, no seed has both models."
    interval = t_interval(differences)
    words = {1: "METRO-T5 is ahead", -1: "METRO-T5 is behind", 0: "no difference shown"}[
        interval.sign
    ]
    seeds = "1 seed" if interval.n == 1 else f"{interval.n} seeds"
    few = f" ({interval.n} of at least 3)" if interval.n < 3 else ""
    formatted = interval.formatted().removesuffix(" (one seed)")
    return f"{what}: {words}, {formatted} over {seeds}{few}."
