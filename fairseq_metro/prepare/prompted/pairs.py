"""Prompted pairs as text to token ids, a chunk at a time.

All inputs of a chunk go through SentencePiece in one call. Targets and choices repeat (``Yes``,
``No``): each different one is encoded once per worker and remembered.
"""

from dataclasses import dataclass

import numpy as np

from fairseq_metro.data.indexed import token_type
from fairseq_metro.prepare.encoding import END
from fairseq_metro.vocabulary.characters import Characters

REMEMBERED = 100_000  # short texts
LONGEST_REMEMBERED = 200  # characters


@dataclass
class Lines:
    """Lines of tokens, each ended by ``</s>``: tokens (n,) end to end, sizes (lines,) int32."""

    tokens: np.ndarray
    sizes: np.ndarray


@dataclass
class EncodedPairs:
    """One task's pairs of a chunk. choices, gold: None for a task without choices; gold (rows, 2).

    characters: of the sources, and how many of them the vocabulary could not write.
    target_texts is not kept: what was text is tokens here.
    """

    source: Lines
    target: Lines
    choices: Lines | None
    gold: np.ndarray | None
    characters: Characters | None = None  # by PairEncoder


def one_line(text):
    """White space of any kind and length to one space, as METRO's data script does.

    >>> one_line(" Is this\\n\\nentailment?\\tYes or no ")
    'Is this entailment? Yes or no'
    """
    return " ".join(text.split())


class PairEncoder:
    """Encodes chunks of pairs with one vocabulary."""

    def __init__(self, vocabulary):
        self._vocabulary = vocabulary
        self._dtype = token_type(len(vocabulary))
        self._remembered = {}

    def __call__(self, tasks):
        """A list of :class:`EncodedPairs` for a list of (Prompted list, has choices), one a task.

        The texts must be :func:`one_line` already.
        """
        sources = [pair.input for pairs, _ in tasks for pair in pairs]
        short = dict.fromkeys(
            text for pairs, with_choices in tasks for pair in pairs
            for text in ((pair.target, *pair.choices) if with_choices else (pair.target,))
        )  # fmt: skip
        known = self._remembered
        new = [text for text in short if text not in known]
        tokens, sizes = self._vocabulary.encode_flat(sources + new)
        whole = self._ended(tokens, sizes)
        starts = np.concatenate(([0], np.cumsum(sizes + 1, dtype=np.int64)))
        here = {
            text: whole[starts[line] : starts[line + 1]]
            for line, text in enumerate(new, len(sources))
        }
        short = {text: known[text] if text in known else here[text] for text in short}
        encoded_pairs, first = [], 0
        for pairs, with_choices in tasks:
            last = first + len(pairs)
            source = Lines(whole[starts[first] : starts[last]], sizes[first:last] + np.int32(1))
            encoded = self._task(source, pairs, with_choices, short)
            encoded.characters = self._vocabulary.characters(
                sources[first:last], tokens[starts[first] - first : starts[last] - last],
                sizes[first:last],
            )  # fmt: skip
            encoded_pairs.append(encoded)
            first = last
        self._remember(here)
        return encoded_pairs

    def _task(self, source, pairs, with_choices, short):
        target = self._lines([short[pair.target] for pair in pairs])
        if not with_choices:
            return EncodedPairs(source, target, None, None)
        choices = self._lines([short[choice] for pair in pairs for choice in pair.choices])
        gold = [(len(pair.choices), pair.gold) for pair in pairs]
        return EncodedPairs(source, target, choices, np.array(gold, np.int32).reshape(-1, 2))

    def _ended(self, tokens, sizes):
        """Lines end to end, (n,) ids, with ``</s>`` after each."""
        whole = np.full(len(tokens) + len(sizes), END, dtype=self._dtype)
        is_text = np.ones(len(whole), dtype=bool)
        is_text[np.cumsum(sizes + 1, dtype=np.int64) - 1] = False
        whole[is_text] = tokens
        return whole

    def _lines(self, parts):
        sizes = np.fromiter(map(len, parts), dtype=np.int32, count=len(parts))
        return Lines(np.concatenate(parts) if parts else np.zeros(0, self._dtype), sizes)

    def _remember(self, here):
        if len(self._remembered) + len(here) > REMEMBERED:
            self._remembered.clear()
        for text, tokens in here.items():
            if len(text) <= LONGEST_REMEMBERED:
                self._remembered[text] = tokens.copy()  # a view would keep its whole chunk
