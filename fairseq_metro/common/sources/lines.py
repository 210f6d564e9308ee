"""Bytes of text in blocks of whole lines."""

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.sources.streams import readable

BLOCK_BYTES = 1 << 20
LONGEST_LINE = 1 << 26


def line_blocks(stream, place, block_bytes=BLOCK_BYTES):
    """Yield (number of the first line, bytes before it, whole lines as bytes) of a stream.

    Only ``\\n`` ends a line. Raises :class:`UserError` for a line that is longer than LONGEST_LINE.
    """
    rest, line, offset = [], 1, 0
    length = 0  # of the rest: parts of a line that has not ended yet
    while True:
        with readable(place):
            block = stream.read(block_bytes)
        end = block.rfind(b"\n") + 1
        if block and not end:
            rest.append(block)
            length += len(block)
            if length > LONGEST_LINE:
                raise UserError(
                    f"{place}: line {line} is longer than {LONGEST_LINE >> 20} MiB; cut the text "
                    "into lines, for example at paragraphs"
                )
            continue
        data = b"".join([*rest, block[:end]])
        rest = [block[end:]] if block else []
        length = sum(map(len, rest))
        if data:
            yield line, offset, data
            line += data.count(b"\n")
            offset += len(data)
        if not block:
            return


def byte_lines(stream, place):
    """Yield (number, bytes before it, line without its end) of a stream."""
    for number, offset, data in line_blocks(stream, place):
        for line in data.removesuffix(b"\n").split(b"\n"):
            yield number, offset, line
            number += 1
            offset += len(line) + 1
