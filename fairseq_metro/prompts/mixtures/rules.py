"""How much of each task is trained on: METRO's cap, T0's, FLAN's and seqio's rates, by name.

===========  ==============================================  =====================================
rule         cap of a task: most examples in an epoch        rate of a task: its weight in a draw
===========  ==============================================  =====================================
metro        cap // number of the set's templates            min(rows, cap of the task)
t0           rows                                            rows, or cap // number of templates
                                                             where the data set has more than cap
flan         its share of the first ``cap`` rows             min(rows, max_rate) / templates
temperature  rows                                            min(rows, cap) ** (1 / temperature)
===========  ==============================================  =====================================

cap: 500,000 rows (METRO's data script; T0, section 4), 30,000 in FLAN, none under temperature;
max_rate: 3,000 (FLAN, 2.4); temperature: 1. METRO's epoch is the capped tasks, shuffled; the others
draw in proportion to the rates. T0 divides by the number of all the templates that the data set has,
whichever take part (t-zero's tasks.py); the last rule is seqio's ``mixing_rate_num_examples``. Files of
ready-made rows of a set count as its templates; under FLAN each is a set.
"""

import numpy as np

from fairseq_metro.common.errors import UserError

TEMPERATURE = "temperature"
CAPS = {"metro": 500_000, "t0": 500_000, "flan": 30_000, TEMPERATURE: None}
RULES = tuple(CAPS)
MAX_RATE = 3_000


def caps_and_rates(rule, rows, tasks, cap=None, max_rate=None, temperature=None):
    """Caps (int >= 1) and rates (float) of tasks: two dicts by task name.

    rule: one of RULES; rows: number of rows of each data set, or of one set or one task by its name;
    tasks: MixtureTasks, all that a set has; cap, max_rate, temperature: None for the rule's own. A
    set's own cap comes before ``cap``. Raises :class:`UserError` where a number of rows is missing.
    """
    caps, rates = {}, {}
    for task in tasks:
        n = len(task.set.row_indices(_rows_of(task, rows)))
        limit = task.set.cap or cap or CAPS[rule]
        if rule == "metro":
            pair = _metro(n, task.of, limit)
        elif rule == "t0":
            pair = _t0(n, task.known or task.of, limit)
        elif rule == "flan":
            pair = _flan(n, 1 if task.jsonl else task.of, limit, max_rate or MAX_RATE)
        else:
            pair = _temperature(n, limit, temperature or 1.0)
        caps[task.name], rates[task.name] = pair
    return caps, rates


def _metro(rows, templates, cap):
    cap = max(1, cap // templates)
    return cap, float(min(rows, cap))


def _t0(rows, templates, cap):
    return max(1, rows), float(rows if rows <= cap else cap // templates)


def _flan(rows, templates, cap, max_rate):
    share = min(rows, cap) // templates
    return max(1, share), min(rows, max_rate) / templates if share else 0.0


def _temperature(rows, cap, temperature):
    counted = rows if cap is None else min(rows, cap)
    return max(1, rows), float(counted) ** (1 / temperature)


def _rows_of(task, rows):
    for name in (task.name, task.set.name, task.dataset):
        if name in rows:
            return rows[name]
    raise UserError(f"mixture: no number of rows of {task.dataset}; count them, or give 'rows'")


def cyclic_assignment(rows, n_templates):
    """Which template each row gets in FLAN: int64 (rows // n_templates * n_templates,).

    Rows are taken in groups of n_templates, row i of a group gets template i; an incomplete last
    group is left out, so an array shorter than ``rows`` says which rows stay.

    >>> cyclic_assignment(8, 3).tolist()
    [0, 1, 2, 0, 1, 2]
    """
    return np.arange(rows // n_templates * n_templates, dtype=np.int64) % n_templates


def cyclic_rows(rows, task, cap=None):
    """Those of ``rows`` (ascending int64) that a task gets under FLAN's rule, its template's turns.

    A file of ready-made rows is a set of its own, and keeps them all up to the cap.
    """
    rows = rows[: task.set.cap or cap or CAPS["flan"]]
    if task.jsonl:
        return rows
    turns = cyclic_assignment(len(rows), task.of)
    return rows[: len(turns)][turns == task.index]
