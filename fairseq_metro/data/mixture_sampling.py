"""Which rows of which tasks an epoch holds: the cap rule with rotation, or draws by rate.

Both are functions of (seed, epoch) alone, so a resumed epoch is the same one. A task's rows are
walked in one order drawn from the seed and the task's place in the mixture; where an epoch's window
of the walk ends, the next epoch's begins, and the walk goes round: every row comes once before any
comes again. (In the released code one generator draws all orders in turn; here a task's does not
hang on the others' sizes.) An order is drawn when it is needed and forgotten, so memory goes with
the epoch and the largest task, not with the sum of all.
"""

import numpy as np

from fairseq_metro.common.errors import UserError
from fairseq_metro.data.randomness import generator

# Purposes of draws, beside those in data/randomness.py.
ORDER = 21  # in which order the rows of a task are walked
DRAWS = 22  # how many examples of an epoch are of which task


def window(size, start, count, rng):
    """Rows ``start`` to ``start + count`` of the endless walk through a task: int64 (count,).

    size: rows of the task; rng: a NumPy generator, the task's own, new for each call.

    >>> rows = window(5, 3, 5, np.random.default_rng(0))
    >>> sorted(rows.tolist())
    [0, 1, 2, 3, 4]
    """
    places = np.arange(start, start + count, dtype=np.int64) % max(size, 1)
    return rng.permutation(size)[places] if count else places


class MixtureSampler:
    """The rows of each epoch of a mixture; METRO's rule, or T0's and FLAN's where rates are given.

    sizes: rows of each task, ints (n_tasks,). caps: most rows of a task in an epoch, ints
    (n_tasks,), all above 0; only tasks with more rows rotate and cost draws (METRO's released code).
    rates: numbers (n_tasks,): an epoch is then ``examples`` draws in proportion to them (T0:
    examples-proportional mixing) and the caps say nothing; examples: None for as many as the rates
    add up to. Tasks without rows are never drawn. Raises :class:`UserError`.
    """

    def __init__(self, sizes, caps, rates=None, seed=1, examples=None):
        self.sizes, self.caps = _counts("sizes", sizes), _counts("caps", caps)
        self.seed = seed
        self.rates = None if rates is None else np.asarray(rates, dtype=np.float64)
        for name in ("caps", "rates"):
            given = getattr(self, name)
            if given is not None and given.shape != self.sizes.shape:
                raise UserError(f"mixture: {len(given)} {name} for {len(self.sizes)} tasks")
        if self.rates is None:
            if (self.caps < 1).any():
                task = int(np.argmax(self.caps < 1))
                raise UserError(
                    f"mixture: cap of task {task} is {self.caps[task]}, must be 1 or more; "
                    "leave the task out instead"
                )
            self._counts_of_all = np.minimum(self.sizes, self.caps)
            self.examples = int(self._counts_of_all.sum())
        else:
            self._shares = self._checked_shares()
            total = self.rates[self.sizes > 0].sum()
            self.examples = max(1, round(total)) if examples is None else int(examples)
        if self.examples < 1:
            raise UserError(f"mixture: {self.examples} examples an epoch; give tasks with rows")

    def _checked_shares(self):
        bad = ~(np.isfinite(self.rates) & (self.rates >= 0))
        if bad.any():
            task = int(np.argmax(bad))
            raise UserError(
                f"mixture: rate of task {task} is {self.rates[task]}, must be 0 or more; "
                "leave the task out instead"
            )
        # Only these take part: a rounding error's share of the draws must not reach an empty task.
        self._drawn = np.flatnonzero((self.sizes > 0) & (self.rates > 0))
        if not len(self._drawn):
            raise UserError("mixture: no task with rows has a rate above 0")
        rates = self.rates[self._drawn]
        return rates / rates.sum()

    def counts(self, epoch):
        """How many examples of each task epoch ``epoch`` (from 1) holds: int64 (n_tasks,)."""
        if self.rates is None:
            return self._counts_of_all
        rng = generator(self.seed, epoch, 0, DRAWS)
        counts = np.zeros_like(self.sizes)
        counts[self._drawn] = rng.multinomial(self.examples, self._shares)
        return counts

    def _starts(self, epoch):
        """How far each task's walk has come before an epoch: int64 (n_tasks,)."""
        if self.rates is None:
            return (epoch - 1) * self._counts_of_all
        return sum((self.counts(e) for e in range(1, epoch)), np.zeros_like(self.sizes))

    def epoch(self, epoch):
        """Epoch ``epoch`` (from 1), tasks in order, not shuffled: (N,) int32 tasks, int64 rows.

        >>> sampler = MixtureSampler(sizes=[2, 4], caps=[3, 2])
        >>> tasks, rows = zip(*(sampler.epoch(e) for e in (1, 2)))
        >>> tasks[0].tolist(), rows[0][:2].tolist(), sorted(rows[0][2:].tolist() + rows[1][2:].tolist())
        ([0, 0, 1, 1], [0, 1], [0, 1, 2, 3])
        """
        if epoch < 1:
            raise ValueError(f"epochs count from 1, not {epoch}")
        counts, starts = self.counts(epoch), self._starts(epoch)
        rows = np.empty(int(counts.sum()), dtype=np.int64)
        ends = np.cumsum(counts)
        for task, (count, start, end) in enumerate(zip(counts, starts, ends, strict=True)):
            rows[end - count : end] = self._rows(task, int(start), int(count))
        return np.repeat(np.arange(len(counts), dtype=np.int32), counts), rows

    def _rows(self, task, start, count):
        size = int(self.sizes[task])
        if self.rates is None and size <= self.caps[task]:
            return np.arange(size, dtype=np.int64)
        return window(size, start, count, generator(self.seed, 0, task, ORDER))


def _counts(name, values):
    """Checked int64 (n_tasks,)."""
    array = np.asarray(values)
    if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer) or (array < 0).any():
        raise UserError(f"mixture: {name} must be whole numbers of 0 or more, not {values!r:.80}")
    return array.astype(np.int64)
