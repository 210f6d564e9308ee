"""Test every task on its first rows before anything is written.

A template that reads a field no row has, and one that gives no pair, are errors here and not an empty
data set later. A task needs one pair with words in it, mostly the first row's; only a task that stays
without one is tried on more.
"""

import logging
from collections import Counter

import numpy as np

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.sources import BadRows
from fairseq_metro.prepare.prompted.pairs import one_line
from fairseq_metro.prepare.prompted.reading import chosen_rows
from fairseq_metro.prepare.prompted.rendering import judged
from fairseq_metro.prompts import DropReason, Prompted
from fairseq_metro.prompts.fields import ROWS_SEARCHED, FieldSearch, refuse_unusable
from fairseq_metro.prompts.mixtures import flan
from fairseq_metro.prompts.mixtures.mixture import VALID
from fairseq_metro.prompts.task_data.bad_row import BadRow
from fairseq_metro.prompts.task_data.dataset import EVERY_ROW

logger = logging.getLogger(__name__)


def try_tasks(works):
    """Raise :class:`UserError` for the first task of ``works`` (list of Work) that cannot work."""
    for work in works:
        for task in work.unit.tasks:
            if task.template is not None:
                refuse_unusable(task.template)
        _try_unit(work)


def _try_unit(work):
    unit = work.unit
    search = FieldSearch([task.template for task in unit.tasks if task.template is not None])
    _, positions = work.selected_rows()
    trials = [
        Trial(unit, i, None if positions is None else positions[i]) for i in range(len(unit.tasks))
    ]
    waiting, tried, needed, passed_over = trials, 0, None, BadRows(EVERY_ROW)
    if positions is not None:
        needed = np.unique(np.concatenate(positions))
    for index, row in chosen_rows(work.source, needed, passed_over):
        if (search.satisfied and not waiting) or tried == ROWS_SEARCHED:
            break
        search.look(row)
        waiting = [trial for trial in waiting if not trial.gives_pair(index, row)]
        tried += 1
    if not tried:
        passed_over.end_of_file()  # raises the first row's problem, if every row has one
    search.check(f"{unit.split}/{unit.name}")
    if tried < ROWS_SEARCHED:
        for trial in waiting:
            refuse_idle(work, trial.task, trial.reasons, trial.problem)


class Trial:
    """One task on the rows it gets. reasons: why rows gave nothing; problem: the first BadRow."""

    def __init__(self, unit, place, rows):
        self.task, self.reasons, self.problem = unit.tasks[place], Counter(), None
        self._unit, self._rows = unit, rows

    def gives_pair(self, index, row):
        """Whether a row becomes a pair with words on both sides."""
        if self._rows is not None:
            place = np.searchsorted(self._rows, index)
            if place == len(self._rows) or self._rows[place] != index:
                return False
        try:
            pair = judged(self._unit, self.task, row, index)
        except BadRow as bad:
            self.problem = self.problem or bad
            self.reasons[bad.reason] += 1
            return False
        if not isinstance(pair, Prompted):
            self.reasons[pair.value] += 1
        elif one_line(pair.input) and one_line(pair.target):
            return True
        else:
            side = DropReason.EMPTY_TARGET if one_line(pair.input) else DropReason.EMPTY_INPUT
            self.reasons[side.value] += 1
        return False


def refuse_idle(work, task, reasons, problem=None):
    """Raise :class:`UserError` for a task without a pair; reasons: {why: rows}; problem: a BadRow.

    Only logged: a template that speaks of some rows alone and meets none of them among rows drawn,
    and any in ``valid``, where pairs are dropped that training keeps.
    """
    unit, rows = work.unit, sum(reasons.values())
    place = f"{unit.split}/{unit.name}"
    name = task.template or task.jsonl
    if problem is not None and reasons[problem.reason] == rows:
        raise UserError(str(problem))
    counts = ", ".join(f"{count} {reason}" for reason, count in reasons.items()) or "no rows"
    silent = set(reasons) == {DropReason.NOT_TWO_PARTS.value}
    drawn = work.selection.most is not None
    conditional = task.template is not None and not flan.for_every_row(task.template)
    message = (
        f"{name}: gives no pair for any of the {rows} rows of {place} (drop rules "
        f"{unit.rules.name}: {counts})"
    )
    if unit.split == VALID or (silent and drawn and conditional):
        logger.warning("%s", message)
    else:
        raise UserError(f"{message}; mend the template, or leave it out ('exclude' in the mixture)")
