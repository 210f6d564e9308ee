"""A line now and then in the log: how many there are, how fast, how long still."""

import logging
import time

logger = logging.getLogger(__name__)

EVERY = 5.0  # seconds between lines


class Pace:
    """Logs how work goes on. what: its name; unit: of what; total: how many, None where unknown.

    before: how many were there when this run began; they do not count for the speed.
    """

    def __init__(self, what, unit, total=None, before=0):
        self._what, self._unit, self._total, self._before = what, unit, total, before
        self._start = self._shown = time.monotonic()

    def show(self, count):
        """Log that there are ``count`` now, if the last line was long enough ago."""
        now = time.monotonic()
        if now - self._shown >= EVERY:
            self._shown = now
            logger.info(self.line(count, now - self._start))

    def line(self, count, seconds):
        """The words for ``count`` after ``seconds``.

        >>> Pace("train", "examples", total=900, before=100).line(300, 10)
        'train: 300 of 900 examples, 20 a second, 0:30 left'
        """
        rate = (count - self._before) / seconds
        if self._total is None:
            return f"{self._what}: {count} {self._unit}, {rate:.0f} a second"
        left = int((self._total - count) / rate) if rate else 0
        time_left = f"{left // 60}:{left % 60:02d} left" if rate else "no telling how long still"
        return (
            f"{self._what}: {count} of {self._total} {self._unit}, {rate:.0f} a second, {time_left}"
        )
