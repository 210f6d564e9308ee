"""Which documents are held out, and the sentences each side may draw.

A side is ``train`` or ``valid``: whole documents, so that none is on both. ``<side>.rows`` holds its
sentences' rows, ``<side>.anchors`` those with a neighbour that may be their partner, both int64.
"""

import numpy as np

from fairseq_metro.common.errors import UserError
from fairseq_metro.smash.groups import BOTH, PAIRS

SIDES = TRAIN, VALID = "train", "valid"
BLOCK = 1 << 20  # sentences at a time


def held_out(draws, share):
    """Which documents are held out: bool, (documents,); ``share`` of them, those drawn lowest.

    draws: (documents,) uint64. At least two, where there are four. Documents of the same text have
    the same draw, so they stay together.

    >>> held_out(np.array([5, 9, 1, 7, 1, 8], np.uint64), 1 / 6).tolist()
    [False, False, True, False, True, False]
    """
    count = round(share * len(draws))
    if share and len(draws) >= 4:
        count = max(2, count)
    if not count:
        return np.zeros(len(draws), dtype=bool)
    return draws <= np.partition(draws, count - 1)[count - 1]


def write_sides(sentences, share, group):
    """Write the rows of both sides beside the sentences; return the documents of each: dict."""
    draws = np.asarray(sentences.documents["draw"])
    is_valid = held_out(draws, share)
    files = {}
    for side in SIDES:
        for kind in ("rows", "anchors"):
            files[side, kind] = open(sentences.folder / f"{side}.{kind}", "wb")  # noqa: SIM115
    try:
        for begin in range(0, len(sentences), BLOCK):
            end = min(begin + BLOCK, len(sentences))
            rows = np.arange(begin, end, dtype=np.int64)
            valid = is_valid[sentences.document_of(rows)]
            anchor = anchors(sentences, begin, end, group)
            for side, here in ((TRAIN, ~valid), (VALID, valid)):
                files[side, "rows"].write(rows[here])
                files[side, "anchors"].write(rows[here & anchor])
    finally:
        for stream in files.values():
            stream.close()
    return {TRAIN: int((~is_valid).sum()), VALID: int(is_valid.sum())}


def anchors(sentences, begin, end, group):
    """Which of the rows begin .. end have a neighbour in the group's direction: bool."""
    if group.sampler != PAIRS:
        return np.zeros(end - begin, dtype=bool)
    after = sentences.next_is_adjacent(begin, end)
    if group.direction != BOTH:
        return after
    first = max(begin - 1, 0)
    before = sentences.next_is_adjacent(first, end - 1)
    return after | (before if begin else np.append(False, before))


class Side:
    """The rows that one side draws from. ``rows``, ``anchors``: memory-mapped, (n,) int64."""

    def __init__(self, sentences, side):
        self.name = side
        self.rows = _rows(sentences.folder / f"{side}.rows")
        self.anchors = _rows(sentences.folder / f"{side}.anchors")

    def possible(self, group):
        """How many examples there can be: a sentence is drawn once, or once for each label."""
        if group.sampler != PAIRS:
            return len(self.rows)
        return len(group.labels) * min(len(self.rows), len(self.anchors))


def _rows(path):
    count = path.stat().st_size // 8
    return np.memmap(path, np.int64, mode="r", shape=(count,)) if count else np.zeros(0, np.int64)


def check_documents(counts, group, where):
    """Raise :class:`UserError` unless each side has the documents that its pairs need."""
    least = 2 if group.sampler == PAIRS else 1
    for side, count in counts.items():
        if count < least:
            raise UserError(
                f"{where}: too few documents: {count} for {side}, must be at least {least}; give "
                "more text, say what ends a document with --documents, or change --held-out"
            )
