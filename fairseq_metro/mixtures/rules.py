"""How much of each task is trained on: METRO's cap, T0's rate, FLAN's rate, by name.

======  ===================================================  =====================================
rule    cap of a task: most examples in an epoch             rate of a task: its weight in a draw
======  ===================================================  =====================================
metro   cap // number of the data set's templates            min(rows, cap of the task)
t0      rows                                                 rows, or cap // number of templates
                                                             where the data set has more than cap
flan    its share of the first ``cap`` rows                  min(rows, max_rate) / templates
======  ===================================================  =====================================

cap: 500,000 rows (METRO's data script; T0, section 4), 30,000 in FLAN; max_rate: 3,000 (FLAN, 2.4).
METRO's epoch is the capped tasks, shuffled; T0 and FLAN draw in proportion to the rates. Files of
ready-made rows of a set count as its templates; under FLAN each is a set.
"""

import numpy as np

from fairseq_metro.errors import UserError

CAPS = {"metro": 500_000, "t0": 500_000, "flan": 30_000}
RULES = tuple(CAPS)
MAX_RATE = 3_000


def caps_and_rates(rule, rows, tasks, cap=None, max_rate=None):
    """Caps (int >= 1) and rates (float) of tasks: two dicts by task name.

    rule: one of RULES; rows: number of rows of each data set, or of one set or one task by its name;
    tasks: MixtureTasks, all that a set has; cap, max_rate: None for the rule's own. A set's own cap
    comes before ``cap``. Raises :class:`UserError` where a number of rows is missing.
    """
    caps, rates = {}, {}
    for task in tasks:
        n = len(task.set.row_indices(_rows_of(task, rows)))
        limit = task.set.cap or cap or CAPS[rule]
        shared_by = 1 if rule == "flan" and task.jsonl else task.of
        caps[task.name], rates[task.name] = _BY_RULE[rule](
            n, shared_by, limit, max_rate or MAX_RATE
        )
    return caps, rates


def _metro(rows, templates, cap, max_rate):
    cap = max(1, cap // templates)
    return cap, float(min(rows, cap))


def _t0(rows, templates, cap, max_rate):
    return max(1, rows), float(rows if rows <= cap else cap // templates)


def _flan(rows, templates, cap, max_rate):
    share = min(rows, cap) // templates
    return max(1, share), min(rows, max_rate) / templates if share else 0.0


_BY_RULE = {"metro": _metro, "t0": _t0, "flan": _flan}


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
