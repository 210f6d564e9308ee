"""Run ``fairseq-train`` and show its progress: losses, speed, time left.

``python -m fairseq_metro.analysis.progress --log RUN/train.log -- fairseq-train DATA …`` keeps the
whole output in the log (appending), shows one line that is refreshed on a terminal and repeated
elsewhere, passes warnings and errors through, and ends with fairseq-train's own status. Ctrl-C is
handed on and waited for.
"""

import argparse
import contextlib
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import deque

from fairseq_metro.analysis import log as logs
from fairseq_metro.common.arguments import CommandParser
from fairseq_metro.common.errors import UserError, run_command

LOSSES = ("mlm_loss", "rtd_loss", "clm_loss")
_MAX_UPDATE = re.compile(r"'max_update': (\d+)")


def parser():
    """Build the command's argument parser."""
    parser = CommandParser(description=__doc__.split("\n")[0])
    parser.add_argument("--log", required=True, help="File to append the output to.")
    parser.add_argument(
        "--every",
        type=float,
        default=10.0,
        help="Seconds between progress lines when the output is not a terminal.",
    )
    parser.add_argument("command", nargs=argparse.REMAINDER, help="Command to run, after --.")
    return parser


def main(argv=None):
    args = parser().parse_args(argv)
    command = args.command[1:] if args.command[:1] == ["--"] else args.command
    if not command:
        raise UserError("no command to run; write it after --: --log FILE -- fairseq-train …")
    return run_and_show(command, args.log, Display(sys.stdout, every=args.every))


def run_and_show(command, log_path, display):
    """Run ``command``; every line goes to the file ``log_path`` and to ``display``. Its status.

    A process that a signal ended counts as 128 + signal, as shells count it. It never outlives us,
    unless we are killed outright; it inherits open locks, so that such an orphan still holds them.
    """
    with _opened_log(log_path) as log, _requests_to_end() as requests:
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                text=True, encoding="utf-8", errors="replace", bufsize=1, close_fds=False,
            )  # fmt: skip
        except OSError as error:
            raise UserError(f"{command[0]}: cannot be run ({error.strerror})") from None
        lock = threading.Lock()

        def pump(stream, show):
            for line in stream:
                with lock:
                    log.write(line)
                    show(line.rstrip("\n"))

        pumps = [
            threading.Thread(target=pump, args=(process.stdout, display.output), daemon=True),
            threading.Thread(target=pump, args=(process.stderr, display.error), daemon=True),
        ]
        for thread in pumps:
            thread.start()
        try:
            while process.poll() is None and not requests:
                with lock:
                    display.tick()
                time.sleep(0.1)
            display.quiet = bool(requests)
        finally:
            _end(process)
            for thread in pumps:
                thread.join(timeout=10)  # no longer: a grandchild may hold the pipes open
            display.close()
    if requests:
        return 128 + requests[0]
    return process.returncode if process.returncode >= 0 else 128 - process.returncode


def _opened_log(path):
    try:
        return open(path, "a", encoding="utf-8", buffering=1)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from None


def _end(process, patience=3.0):
    """Wait for a process that a terminal's Ctrl-C has reached too; end one that it has not."""
    for end in (lambda: None, process.terminate, process.kill):
        end()
        try:
            process.wait(patience)
            return
        except subprocess.TimeoutExpired:
            continue


@contextlib.contextmanager
def _requests_to_end():
    """Collect the numbers of signals that ask us to end: at no point do they cut into our work."""
    requests = []
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, lambda n, frame: requests.append(n)) for number in numbers]
    try:
        yield requests
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


class Display:
    """Turns log lines into progress output on ``stream``."""

    def __init__(self, stream, every=10.0, clock=time.monotonic):
        self.stream, self.every, self.clock = stream, every, clock
        self.terminal = stream.isatty()
        self.quiet = False  # after Ctrl-C: what the dying command says is in the log only
        self.total = self.update = None
        self.latest = {}
        self.phase = "starting"
        self.began = self.shown = clock()
        self.marks = deque(maxlen=50)  # (time, update) of this process, for the time left

    def output(self, text):
        """A line of the command's standard output, where fairseq logs."""
        line = logs.parse_line(text)
        if line is None:
            if text.startswith("error: ") or text.startswith("Traceback "):
                self.pass_through(text)
            return
        if line.level not in ("INFO", "DEBUG"):
            self.pass_through(f"{line.level.lower()}: {line.message}")
        elif line.logger == "fairseq_cli.train" and line.message.startswith("{'_name'"):
            if match := _MAX_UPDATE.search(line.message):
                self.total = int(match.group(1)) or None
        elif "begin validation" in line.message:
            self.phase = "validating"
        elif "Start iterating over samples" in line.message:
            self.phase = "training"
        elif "begin dry-run validation" in line.message:
            self.phase = "reading the validation data"
        elif line.message.startswith("Loaded checkpoint"):
            self.pass_through(f"going on from {line.message.removeprefix('Loaded checkpoint ')}")
        else:
            self.numbers(line)

    def numbers(self, line):
        """Take over a line of numbers; a validation is worth a line of its own."""
        record = logs.parse_record(line)
        if record is None:
            return
        if line.logger in (logs.VALID, logs.START):
            self.phase = "training"
            where = f"update {record.update}" if line.logger == logs.VALID else "before update 1"
            self.pass_through("  ".join([f"valid, {where}", *_losses(record.values)]))
        elif line.logger == logs.TRAIN:
            self.phase = "training"
            self.update, self.latest = record.update, record.values
            self.marks.append((self.clock(), record.update))

    def error(self, text):
        """A line of the command's standard error: shown as it is."""
        if text.strip():
            self.pass_through(text)

    def pass_through(self, text):
        """Print a line that stays."""
        if self.quiet:
            return
        self.erase()
        print(text, file=self.stream, flush=True)

    def tick(self):
        """Refresh the line (terminal), or repeat it when it is due."""
        now = self.clock()
        if now - self.shown < (0.2 if self.terminal else self.every) or self.quiet:
            return
        self.shown = now
        if self.terminal:
            self.stream.write("\r\x1b[K" + self.line()[: self.width()])
            self.stream.flush()
        else:
            print(self.line(), file=self.stream, flush=True)

    def line(self):
        """The progress line, such as ``update 340/2000  mlm 5.21 …  19.8k tokens/s  3:12 left``."""
        if self.update is None:
            return f"{self.phase}, {clock_time(self.clock() - self.began)}"
        parts = [f"update {self.update}" + (f"/{self.total}" if self.total else "")]
        parts += _losses(self.latest)
        if "wps" in self.latest:
            parts.append(f"{self.latest['wps'] / 1000:.1f}k tokens/s")
        if (left := self.seconds_left()) is not None:
            parts.append(f"{clock_time(left)} left")
        if self.phase != "training":
            parts.append(self.phase)
        return "  ".join(parts)

    def seconds_left(self):
        """From the last 50 lines of this process, validations and saves within them included."""
        if not self.total or len(self.marks) < 2:
            return None
        (began, first), (ended, last) = self.marks[0], self.marks[-1]
        if last <= first:
            return None
        seconds_per_update = (ended - began) / (last - first)
        return max((self.total - last) * seconds_per_update - (self.clock() - ended), 0.0)

    def width(self):
        return shutil.get_terminal_size().columns - 1

    def erase(self):
        if self.terminal:
            self.stream.write("\r\x1b[K")

    def close(self):
        """Leave the last numbers on the screen."""
        if self.update is not None and not self.quiet:
            self.erase()
            print(self.line().removesuffix("  validating"), file=self.stream, flush=True)
        elif self.terminal:
            self.erase()
            self.stream.flush()


def _losses(values):
    names = [name for name in LOSSES if name in values] or ["loss"] * ("loss" in values)
    return [f"{name.removesuffix('_loss')} {values[name]:.3f}" for name in names]


def clock_time(seconds):
    """
    >>> clock_time(192), clock_time(3725)
    ('3:12', '1:02:05')
    """
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


if __name__ == "__main__":
    sys.exit(run_command(main))
