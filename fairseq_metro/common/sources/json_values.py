"""JSON over any number of lines: a list of rows, or objects one after the other."""

import json
import re

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.sources.decoding import decode
from fairseq_metro.common.sources.streams import readable

BUFFER = 1 << 16
LARGEST = 1 << 28  # characters of one row
TOKEN = 16  # characters of a literal or an escape, which may be cut off
_BETWEEN = re.compile(r"[\s,]*")
_OPEN = (b"{", b"[", b",", b":")


def over_several_lines(name, stream):
    """Whether a file of JSON is more than an object a line: a list, or objects cut into lines."""
    if name.endswith((".jsonl", ".ndjson")):
        return False
    head = stream.peek(BUFFER).lstrip()
    first = head.split(b"\n", 1)[0].rstrip()
    return head.startswith(b"[") or (head.startswith(b"{") and first.endswith(_OPEN))


def json_values(member, stream):
    """Yield the rows of a list, or the objects of a file, in flat memory. Raises :class:`UserError`."""
    reading = _Reading(member, stream)
    in_list = reading.skip("[")
    number = 0
    while not reading.at_end():
        if in_list and reading.skip("]"):
            return
        number += 1
        yield reading.value(number)
    if in_list:
        raise UserError(f"{member.place}: the list has no end; fetch the file again, or mend it")


class _Reading:
    """Text as it comes, from which values are taken one after the other."""

    def __init__(self, member, stream):
        self._place, self._member, self._stream = member.place, member, stream
        self._scan = json.JSONDecoder().raw_decode
        self._text, self._start, self._ended = "", 0, False
        self._rest, self._read, self._line = b"", 0, 1

    def at_end(self):
        """Whether nothing is left but white space and commas, which are passed over."""
        while True:
            self._start = _BETWEEN.match(self._text, self._start).end()
            if self._start < len(self._text):
                return False
            if self._ended:
                return True
            self._more()

    def skip(self, mark):
        """Pass over ``mark`` if it comes next; whether it did."""
        if self.at_end() or self._text[self._start] != mark:
            return False
        self._start += 1
        return True

    def value(self, number):
        """The next value. Raises :class:`UserError` for what is no JSON."""
        while True:
            try:
                row, end = self._scan(self._text, self._start)
                if end < len(self._text) or self._ended:
                    self._start = end
                    return row
                problem = None  # a number at the end might go on
            except RecursionError:
                raise UserError(f"{self._place}: row {number}: nested too deeply") from None
            except ValueError as error:
                problem = error
            if problem is not None and (self._ended or self._is_final(problem)):
                raise UserError(
                    f"{self._place}: row {number}: not JSON ({problem}); fetch the file again, or "
                    "mend it"
                ) from None
            self._more()

    def _is_final(self, problem):
        """Whether no text that follows could make JSON of a value."""
        size = len(self._text)
        cut_off = problem.msg.startswith("Unterminated string") or problem.pos > size - TOKEN
        return not cut_off or size - self._start > LARGEST

    def _more(self):
        """Read on: as much again as there is, so that long rows are not scanned too often."""
        self._text, self._start = self._text[self._start :], 0
        with readable(self._place):
            raw = self._stream.read(max(BUFFER, len(self._text)))
        self._ended = not raw
        raw = self._rest + raw
        whole = len(raw) if self._ended else ends_whole(raw)
        self._text += decode(raw[:whole], self._member, self._line, self._read)
        self._read += whole
        self._line += raw.count(b"\n", 0, whole)
        self._rest = raw[whole:]


def ends_whole(raw):
    """How many of the bytes are whole characters of UTF-8.

    >>> ends_whole("caf\u00e9".encode()), ends_whole("caf\u00e9".encode()[:-1])
    (5, 3)
    """
    for length in range(1, min(4, len(raw)) + 1):
        first = raw[-length]
        if first >= 0xC0:  # begins a character of so many bytes
            return len(raw) - length * (length < 2 + (first >= 0xE0) + (first >= 0xF0))
        if first < 0x80:
            break
    return len(raw)
