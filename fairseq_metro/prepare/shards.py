"""Where a corpus is cut into shards: at document ends, by positions in the text alone."""

import re

from fairseq_metro.prepare.inputs import Inputs

_BLANK_LINE = re.compile(rb"^[ \t\r\x0b\x0c]*\n", re.MULTILINE)


def numbered_chunks(inputs: Inputs, shard_bytes, blank_ends_document, most=None):
    """Yield (shard, chunk) for all chunks of ``inputs``; a chunk never crosses a cut.

    Shard i ends at the first document end at or after byte ``(i + 1) * shard_bytes`` of all the
    text, or at a line's end half a shard later where no document ends until then. ``most``: number
    of shards at which cutting stops. ``shard_bytes`` None: one shard.
    """
    shard, position = 0, 0
    for chunk in inputs:
        rest = chunk
        while rest is not None:
            cut = None
            if shard_bytes is not None and (most is None or shard + 1 < most):
                target = (shard + 1) * shard_bytes - position
                blank = blank_ends_document or chunk.rows
                cut = find_cut(rest, target, target + shard_bytes // 2, blank)
            if cut is None:
                yield shard, rest
                position += len(rest.data)
                break
            left, rest = rest.halves(cut)
            if left is not None:
                yield shard, left
                position += len(left.data)
            shard += 1


def find_cut(chunk, target, latest, blank_ends_document):
    """The byte of ``chunk`` before which a shard ends, or None.

    ``target`` and ``latest`` count from the chunk's first byte and may be negative.
    """
    if chunk.new_file and target <= 0:
        return 0
    if blank_ends_document and target < len(chunk.data):
        match = _BLANK_LINE.search(chunk.data, max(0, target))
        if match and match.end() <= max(latest, 0):
            return match.end()
    if latest <= len(chunk.data):
        end = chunk.data.find(b"\n", max(latest - 1, 0)) + 1
        return end or None
    return None
