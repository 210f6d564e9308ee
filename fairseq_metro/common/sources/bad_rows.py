"""Unusable rows: skipped, counted by reason, and an error if there are too many."""

import re
from collections import Counter

from fairseq_metro.common.errors import UserError

FEW_ROWS, FEW_SHARE = 10, 0.001
DEFAULT = f"{FEW_SHARE:.1%} of the rows, but no fewer than {FEW_ROWS}"
SURELY_WRONG = 1000  # if this many rows in a row are all bad, fail before the end of the file


class BadRows:
    """Counts of the rows that one command reads.

    limit: how many may be bad, a whole number; or which share, a fraction; None: DEFAULT.
    ``rows``: all rows so far; ``reasons``: a Counter of the bad ones; ``replaced``: lone surrogates
    and the like that became U+FFFD.
    """

    def __init__(self, limit=None):
        self.limit, self.rows, self.reasons, self.replaced = limit, 0, Counter(), 0
        self._first = self._place = None
        self._good_here = self._bad_here = self._of_files = 0

    @property
    def bad(self):
        """Number of bad rows so far."""
        return self.reasons.total()

    def good(self, count=1):
        """Count one or more good rows."""
        self.rows += count
        self._good_here += count

    def add(self, reason, problem, of_file=False):
        """Count a bad row. reason: a few words; problem: file, line and details, for a message;
        of_file: whether the file is at fault, so that a few such rows are not let pass either.

        Raises :class:`UserError` as soon as there are too many.
        """
        self.rows += 1
        self.reasons[reason] += 1
        self._bad_here += 1
        self._of_files += of_file
        self._first = self._first or problem
        self._place = self._place or problem
        if isinstance(self.limit, int) and self.bad > self.limit:
            self.refuse()
        if not self._good_here and self._bad_here >= SURELY_WRONG:
            raise UserError(self._place)

    def end_of_file(self):
        """Judge at a file's end. Raises :class:`UserError` for too many, or for no good row at all."""
        good, bad, problem = self._good_here, self._bad_here, self._place
        self._good_here, self._bad_here, self._place = 0, 0, None
        if bad and not good:
            raise UserError(problem)
        few_pass = self.limit is not None or self._of_files <= FEW_SHARE * self.rows
        if self.bad > self.most() or not few_pass:
            self.refuse()

    def facts(self):
        """What :meth:`restore` takes to go on counting where an interrupted command was: for JSON."""
        return {
            "rows": self.rows, "reasons": dict(self.reasons), "replaced": self.replaced,
            "first": self._first,
        }  # fmt: skip

    def restore(self, facts):
        """Resume from the counts of :meth:`facts`, if there are any."""
        self.rows, self.replaced = facts.get("rows", 0), facts.get("replaced", 0)
        self.reasons, self._first = Counter(facts.get("reasons", {})), facts.get("first")

    def most(self):
        """Maximum number of bad rows among those read so far."""
        if self.limit is None:
            return max(FEW_ROWS, int(FEW_SHARE * self.rows))
        return self.limit if isinstance(self.limit, int) else int(self.limit * self.rows)

    def refuse(self):
        """Raise the :class:`UserError` of too many."""
        allowed = DEFAULT if self.limit is None else str(self.limit)
        if self.limit is None and self.bad <= self.most():
            allowed = f"{FEW_SHARE:.1%} of the rows where the file itself is damaged"
        raise UserError(
            f"{self._first}; {self.bad:,} of {self.rows:,} rows so far are bad "
            f"({self.by_reason()}), more than --max-bad-rows allows ({allowed}); mend the rows, or "
            "give a larger --max-bad-rows"
        )

    def by_reason(self):
        """The reasons with their counts, as text."""
        return ", ".join(f"{count:,} {reason}" for reason, count in self.reasons.most_common())

    def summary(self):
        """Sentences to print at the end: a list, empty if all rows were good."""
        sentences = []
        if self.reasons:
            sentences.append(
                f"{self.bad:,} of {self.rows:,} rows were left out: {self.by_reason()} (the first: "
                f"{self._first})"
            )
        if self.replaced:
            kind = "lone surrogate was" if self.replaced == 1 else "lone surrogates were"
            sentences.append(f"{self.replaced:,} {kind} replaced by U+FFFD")
        return sentences


def row_limit(text):
    """The value of ``--max-bad-rows``: an int of rows, or a float, a share.

    >>> row_limit("25"), row_limit("0.5%"), row_limit("0.01")
    (25, 0.005, 0.01)
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(%?)", text.strip())
    if match is not None:
        number, percent = match.groups()
        if "." not in number and not percent:
            return int(number)
        share = float(number) / (100 if percent else 1)
        if share <= 1:
            return share
    raise UserError(
        f"--max-bad-rows is {text!r}, must be a number of rows (25), or a share (0.1%, 0.001)"
    )
