"""Drawing sentences: single ones, or pairs with a rule label, by their number alone.

Candidate c has label c mod 3 (0: two documents; 1: one document, not adjacent; 2: adjacent), so
every run of three is balanced exactly. Each label goes through the sentences in an order of its
own: a sentence comes first in at most one pair of each label. Source: SMASH, section 3.2, with the
choices of PPT (Gu et al. 2021), from where the paper has the task.
"""

import numpy as np

from fairseq_metro.data.randomness import generator
from fairseq_metro.prepare.intermediate.permutation import Permutation
from fairseq_metro.prepare.intermediate.sides import SIDES
from fairseq_metro.smash.groups import BOTH, PAIRS

PARTNERS = 42  # a purpose of draws (data/randomness.py)
CHUNK = 3 * 1024  # candidates drawn together; the draws depend on it
ABSENT = -1


class Sampler:
    """Draws a group's examples from one side (:class:`~.sides.Side`) of the sentences."""

    def __init__(self, sentences, side, group, seed):
        self._sentences, self._side, self._group = sentences, side, group
        self._seed, self._number = seed, SIDES.index(side.name)
        self._first = {
            label: Permutation(len(self._rows_of(label)), seed, (self._number, label + 1))
            for label in group.labels
        }

    def _rows_of(self, label):
        return self._side.anchors if label == 2 else self._side.rows

    def chunks(self):
        """How many chunks of candidates there are at most."""
        longest = max(order.n for order in self._first.values())
        return -(-longest * len(self._group.labels) // CHUNK)

    def draw(self, chunk):
        """The candidates of a chunk: (k, 3) int64 of label, row, partner's row (ABSENT if single).

        In their order; a label whose sentences are used up has no candidates any more.
        """
        labels = np.array(self._group.labels)
        numbers = np.arange(chunk * CHUNK, (chunk + 1) * CHUNK)
        label, rank = labels[numbers % len(labels)], numbers // len(labels)
        luck = generator(self._seed, self._number, chunk, PARTNERS).random((CHUNK, 2))
        drawn = np.full((CHUNK, 3), ABSENT, dtype=np.int64)
        drawn[:, 0] = label
        there = np.zeros(CHUNK, dtype=bool)
        for value, order in self._first.items():
            selected = np.flatnonzero((label == value) & (rank < order.n))
            there[selected] = True
            rows = np.asarray(self._rows_of(value)[order(rank[selected])])
            drawn[selected, 1] = rows
            if self._group.sampler == PAIRS:
                drawn[selected, 2] = self._PARTNER[value](self, rows, luck[selected])
        return drawn[there]

    def _of_another_document(self, rows, luck):
        """A sentence of another document of this side, each as likely as any."""
        span = self._sentences.span_of(self._sentences.document_of(rows))
        begin, end = (np.searchsorted(self._side.rows, bound) for bound in span)
        others = len(self._side.rows) - (end - begin)
        drawn = (luck[:, 0] * others).astype(np.int64)
        return np.asarray(self._side.rows[np.where(drawn < begin, drawn, drawn + end - begin)])

    def _not_adjacent(self, rows, luck):
        """A sentence of the same document, neither this one nor next to it."""
        begin, end = self._sentences.span_of(self._sentences.document_of(rows))
        low, high = rows - self._has_before(rows), rows + self._has_after(rows)
        drawn = begin + (luck[:, 0] * (end - begin - (high - low + 1))).astype(np.int64)
        return np.where(drawn < low, drawn, drawn + high - low + 1)

    def _adjacent(self, rows, luck):
        """The sentence after this one or, where the group says both, before it, at even odds."""
        if self._group.direction != BOTH:
            return rows + 1
        before, after = self._has_before(rows), self._has_after(rows)
        go_back = before & (~after | (luck[:, 1] < 0.5))
        return np.where(go_back, rows - 1, rows + 1)

    _PARTNER = {0: _of_another_document, 1: _not_adjacent, 2: _adjacent}  # noqa: RUF012

    def _has_after(self, rows):
        """Whether the next row is next to each of ``rows`` in its document: bool."""
        sentences = self._sentences
        last = sentences.span_of(sentences.document_of(rows))[1] - 1
        after = np.minimum(rows + 1, len(sentences) - 1)
        return (rows < last) & (sentences.places[after] - sentences.places[rows] == 1)

    def _has_before(self, rows):
        sentences = self._sentences
        begin = sentences.span_of(sentences.document_of(rows))[0]
        before = np.maximum(rows - 1, 0)
        return (rows > begin) & (sentences.places[rows] - sentences.places[before] == 1)

    def meta(self, drawn):
        """(k, 5) int32 of rule label, document, sentence, partner's document, partner's sentence."""
        meta = np.full((len(drawn), 5), ABSENT, dtype=np.int32)
        meta[:, 0] = drawn[:, 0]
        numbers = self._sentences.documents["number"]
        for column, rows in ((1, drawn[:, 1]), (3, drawn[:, 2])):
            there = rows != ABSENT
            meta[there, column] = numbers[self._sentences.document_of(rows[there])]
            meta[there, column + 1] = self._sentences.places[rows[there]]
        return meta

    def texts(self, drawn):
        """The one or two sentences of each candidate: list of lists of str."""
        return [
            [self._sentences.text(int(row)) for row in rows if row != ABSENT]
            for rows in drawn[:, 1:]
        ]
