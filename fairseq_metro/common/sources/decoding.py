"""Bytes to text: UTF-8, or UTF-16 and UTF-32 that say so by their byte order mark.

Anything else is an error with its place. The remedy names an encoding only if it is certain
enough: with a wrong one, the user would turn an error into unnoticed garbage.
"""

import codecs
import os
import re
import shlex

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.sources.encodings import likely_encoding
from fairseq_metro.common.sources.kinds import ARCHIVES, PACKED_ENDINGS, UNPACK
from fairseq_metro.common.sources.streams import Stream

REPLACEMENT = "\ufffd"
HEAD = 1 << 16  # bytes checked at the start of a file
SAMPLE = 1 << 17  # bytes checked around a bad one
_MARKS = (  # UTF-32's little-endian mark begins with UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_SURROGATE = re.compile("[\ud800-\udfff]")
_ENCODED_SURROGATE = re.compile(rb"\xed[\xa0-\xbf][\x80-\xbf]")
_CONTROLS = bytes(range(0x20))


def mended(text):
    """The text with U+FFFD for each lone surrogate, and their number.

    >>> mended("a\\ud83d b"), mended("as it is")
    (('a\ufffd b', 1), ('as it is', 0))
    """
    try:
        text.encode("utf-8")  # ten times faster than searching for them
    except UnicodeEncodeError:
        return _SURROGATE.subn(REPLACEMENT, text)
    return text, 0


def as_utf8(member, bad_rows=None):
    """A :class:`Stream` of the member's text in UTF-8 without a byte order mark.

    UTF-8 passes unchecked: who reads it decodes it, in another process perhaps. bad_rows: counts
    what had to become U+FFFD in UTF-16. Raises :class:`UserError` where the first bytes tell that
    this is no UTF-8, though each of them is valid.
    """
    head = member.stream.peek(4)
    if head.startswith(codecs.BOM_UTF8):
        member.stream.read(len(codecs.BOM_UTF8))
    else:
        for mark, encoding in _MARKS:
            if head.startswith(mark):
                member.stream.read(len(mark))
                return Stream(_Transcoded(member.stream, encoding, bad_rows))
    head = member.stream.peek(HEAD)
    if head and not head.strip(b"\0"):
        raise UserError(f"{member.place}: holds nothing but zero bytes; fetch it again")
    if encoding := unmarked_encoding(head):
        raise UserError(
            f"{member.place}: byte 0: is {encoding} without a byte order mark, not UTF-8; "
            f"{remedy(member, encoding)}"
        )
    return member.stream


class _Transcoded:
    """Text of another encoding as UTF-8 bytes; what cannot be decoded becomes U+FFFD, counted."""

    def __init__(self, source, encoding, bad_rows):
        self._source, self._bad_rows, self._ended = source, bad_rows, False
        self._decoder = codecs.getincrementaldecoder(encoding)("replace")

    def read(self, n=-1):
        block = b""
        while not self._ended and (n < 0 or not block):
            raw = self._source.read(n if n < 0 else max(n, 4))
            self._ended = not raw
            text = self._decoder.decode(raw, final=self._ended)
            if self._bad_rows is not None:
                self._bad_rows.replaced += text.count(REPLACEMENT)
            block += text.encode("utf-8")
        return block


def unmarked_encoding(head):
    """The name of an encoding whose text is valid UTF-8 as well and yet something else, or None.

    Text of an alphabet in UTF-16 is letters and, at every other byte, one of few control
    characters, zero among them; ISO-2022-JP is ASCII between escape sequences.

    >>> unmarked_encoding("plain".encode("utf-16-be")), unmarked_encoding(b"plain")
    ('UTF-16BE', None)
    """
    if b"\x1b$B" in head or b"\x1b$@" in head:
        return "ISO-2022-JP"
    if len(head) < 8 or b"\0" not in head:
        return None
    whole = head[: len(head) // 4 * 4]
    zeros = [whole[i::4].count(0) * 4 / len(whole) for i in range(4)]
    if min(zeros[2:]) > 0.9 and zeros[0] < 0.5:
        return "UTF-32LE"
    if min(zeros[:2]) > 0.9 and zeros[3] < 0.5:
        return "UTF-32BE"
    for high, name in ((0, "UTF-16BE"), (1, "UTF-16LE")):
        highs, lows = head[high::2], head[1 - high :: 2]
        controls = sum(map(highs.count, _CONTROLS)) / len(highs)
        if 0 in highs and controls > 0.9 and sum(map(lows.count, _CONTROLS)) < 0.5 * len(lows):
            return name
    return None


def decode(data, member, line=1, offset=0):
    """The text of UTF-8 bytes. Raises :class:`UserError` that names line, byte and a remedy.

    member: a :class:`~.opening.Member`, or what else has place, path and packing; line: number of
    the first line of ``data``; offset: bytes of text before it.
    """
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line += data.count(b"\n", 0, error.start)
        raise UserError(
            f"{member.place}: line {line}, byte {offset + error.start} is not UTF-8 "
            f"({error.reason}); {remedy_for(data, error.start, offset, member)}"
        ) from None


def remedy_for(data, position, offset, member):
    """The remedy for a file whose byte ``position`` of ``data`` is not UTF-8, with a command.

    offset: bytes of text before ``data``.
    """
    ending = os.path.splitext(member.path)[1]
    if not member.packing and ending.lower() in PACKED_ENDINGS:
        return f"nor is it compressed, as {ending} says: damaged; fetch it again"
    around = max(0, position - SAMPLE // 2)
    start = data.rfind(b"\n", 0, around) + 1
    sample = data[start : start + SAMPLE]
    if (bad := damage(sample)) is not None:
        return (
            f"the rest is UTF-8 ({bad} bad bytes near there), so mend the file, or leave such "
            f"bytes out: {command(member, 'iconv -c -f utf-8 -t utf-8')}"
        )
    even = around + (offset + around) % 2  # UTF-16 has two bytes a character, line ends or not
    length = min(SAMPLE, len(data) - even) // 2 * 2
    names = {likely_encoding(sample), likely_encoding(data[even : even + length])}
    names.discard(None)
    return remedy(member, names.pop() if len(names) == 1 else None)


def damage(sample):
    """How many bytes of ``sample`` spoil what otherwise is UTF-8, or None for other encodings."""
    rest, surrogates = _ENCODED_SURROGATE.subn(b"", sample)
    text = rest.decode("utf-8", "replace")
    if surrogates and REPLACEMENT not in text:
        return 3 * surrogates  # half a pair is three bytes
    text = sample.decode("utf-8", "replace")
    others = sum(ord(c) > 0x7F for c in text)
    bad = text.count(REPLACEMENT)
    return bad if others - bad > 4 * bad else None


def remedy(member, encoding=None):
    """Advice and a command that convert a file in ``encoding`` to UTF-8."""
    if encoding is None:
        words = "find out its encoding, and convert the file"
        return f"{words}: {command(member, 'iconv -f ENCODING -t utf-8')}"
    return f"convert the file: {command(member, f'iconv -f {encoding} -t utf-8')}"


def command(member, convert):
    """A shell command that decompresses a file if necessary and converts it."""
    if any(packing in ARCHIVES for packing in member.packing):
        return f"unpack the archive, then {convert} FILE > FILE.utf8"
    if member.path == "-":
        return f"... | {convert} | ..."
    path = shlex.quote(member.path)
    steps = [UNPACK[packing] for packing in member.packing]
    if not steps:
        return f"{convert} {path} > {shlex.quote(f'{member.path}.utf8')}"
    steps[0] += f" {path}"
    target = member.path.rsplit(".", 1)[0] + ".utf8"
    return f"{' | '.join([*steps, convert])} > {shlex.quote(target)}"
