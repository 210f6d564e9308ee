"""A progress line on stderr while text is read: amount, speed, remaining time."""

import sys
import time


class Progress:
    """One line on stderr: read so far, throughput, time left; rewritten on a terminal."""

    EVERY = 2.0  # seconds

    def __init__(self, inputs):
        self._inputs, self._tokens = inputs, 0
        self._start = self._shown = time.monotonic()
        self._terminal = sys.stderr.isatty()

    def show(self, what, tokens):
        """Count tokens; print if enough time has passed."""
        self._tokens += tokens
        now = time.monotonic()
        if now - self._shown < self.EVERY:
            return
        self._shown = now
        seconds = now - self._start
        line = (
            f"{what}: {self._inputs.bytes / 1e6:.0f} MB read, "
            f"{self._inputs.bytes / 1e6 / seconds:.1f} MB/s, "
            f"{self._tokens / 1e6 / seconds:.2f} M tokens/s"
        )
        if done := self._inputs.done:
            left = seconds / done - seconds
            line += f", {100 * done:.0f} %, {int(left) // 60}:{int(left) % 60:02d} left"
        if self._terminal:
            sys.stderr.write(f"\r\x1b[K{line}")
        else:
            sys.stderr.write(f"{line}\n")
        sys.stderr.flush()

    def close(self):
        """Leave the line."""
        if self._terminal and self._shown != self._start:
            sys.stderr.write("\n")
