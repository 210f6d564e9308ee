"""Characters of a text that a vocabulary cannot encode and that become ``<unk>``.

A piece ``<unk>`` stands for any number of characters, so counting pieces says little. The other
pieces hold a known number of characters, and the remaining characters are unknown. White space is
not counted. With byte fallback every character can be written.
"""

import logging
from dataclasses import dataclass

import numpy as np

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.sources.decoding import mended

logger = logging.getLogger(__name__)

WARN, REFUSE = 0.01, 0.5
MOST_COUNTED = 300  # <unk> of a chunk of text: counting takes about 3 % of the time of encoding it
BOUNDARY = "\u2581"  # how SentencePiece spells a space
REMEDY = "train a vocabulary on such text, or one with --byte-fallback"


def letters(text):
    """Number of characters of a text but for white space.

    >>> letters(" a b\\u2581c ")
    3
    """
    return len("".join(text.replace(BOUNDARY, " ").split()))


@dataclass(frozen=True)
class Characters:
    """Number of characters, and of those that the vocabulary could not encode."""

    all: int = 0
    unknown: int = 0

    def __add__(self, other):
        return Characters(self.all + other.all, self.unknown + other.unknown)

    @property
    def share(self):
        """The unknown share, from 0 to 1."""
        return self.unknown / self.all if self.all else 0.0

    @property
    def too_many(self):
        """Whether so much is unknown that the text is probably in another script."""
        return self.share > REFUSE

    def sentence(self, place):
        """The message for the user.

        >>> Characters(2000, 1).sentence("train")
        'train: 0.05% of the characters are not in the vocabulary (1 of 2,000, without white space)'
        """
        percent = f"{self.share:.2%}" if self.unknown else "0%"
        return (
            f"{place}: {'less than 0.01%' if percent == '0.00%' else percent} of the characters are "
            f"not in the vocabulary ({self.unknown:,} of {self.all:,}, without white space)"
        )

    def refuse(self, place, allow=False):
        """Raise :class:`UserError` above 50 %, unless ``allow`` (``--allow-unknown``)."""
        if self.too_many and not allow:
            raise UserError(
                f"{self.sentence(place)}; {REMEDY}, or give --allow-unknown to take it as <unk>"
            )

    def report(self, place, log=logger):
        """Log the share, as a warning above 1 %."""
        if self.share > WARN:
            log.warning("%s; %s", self.sentence(place), REMEDY)
        else:
            log.info("%s", self.sentence(place))

    def judge(self, place, allow=False, log=logger):
        """:meth:`refuse`, then :meth:`report`."""
        self.refuse(place, allow)
        self.report(place, log)


def add_allow_unknown(add):
    """Add the option ``--allow-unknown``; add: a parser's ``add_argument``."""
    add("--allow-unknown", action="store_true",
        help=f"Go on where the vocabulary lacks more than {REFUSE:.0%} of the text's characters, "
             "which become <unk>.".replace("%", "%%"))  # fmt: skip


class CharacterCounter:
    """Counts the characters of encoded texts.

    Each known piece holds so many characters; what a text has beyond those of its pieces is unknown.
    Texts without ``<unk>`` cost no more than a look at their ids.
    """

    def __init__(self, processor, piece_indices, symbols, unknown):
        """processor: SentencePiece's; piece_indices: (pieces,) each one's id; symbols: number of ids;
        unknown: the id of ``<unk>``."""
        self._processor, self._unknown = processor, unknown
        self._letters = np.zeros(symbols, dtype=np.int32)  # of each id, without white space
        for piece, index in enumerate(piece_indices.tolist()):
            if index == unknown:
                continue
            symbol = processor.id_to_piece(piece)
            if processor.is_byte(piece):  # the first byte of a character stands for it
                self._letters[index] = int(not 0x80 <= int(symbol[3:-1], 16) < 0xC0)
            else:
                self._letters[index] = letters(symbol)

    def __call__(self, texts, tokens, sizes):
        """The :class:`Characters` of n texts, as SentencePiece was given them. tokens: their ids end
        to end, sizes: (n,) of each; symbols that are no text, ``</s>``, may be among them."""
        unknown = self.unknown(texts, tokens, sizes)
        return Characters(int(self._letters[tokens].sum(dtype=np.int64)) + unknown, unknown)

    def written(self, counts):
        """Characters that are written by so many of each symbol, (symbols,) int64: int."""
        return int(counts @ self._letters)

    def unknown(self, texts, tokens, sizes):
        """The unknown characters alone, of arguments as above: int.

        Exact up to MOST_COUNTED ``<unk>``. Of more, so many are looked at, evenly spaced: the mean
        over them of their text's unknown characters for each ``<unk>``, times how many there are.
        """
        is_unknown = np.asarray(tokens) == self._unknown
        places = np.flatnonzero(is_unknown)
        if not len(places):
            return 0
        sample = places
        if len(places) > MOST_COUNTED:
            sample = places[np.linspace(0, len(places) - 1, MOST_COUNTED).astype(np.int64)]
        ends = np.cumsum(sizes, dtype=np.int64)
        lines, sampled = np.unique(np.searchsorted(ends, sample, "right"), return_counts=True)
        wholes = self._processor.normalize([mended(texts[line])[0] for line in lines.tolist()])
        total = 0.0
        for line, count, whole in zip(lines.tolist(), sampled.tolist(), wholes, strict=True):
            part = slice(ends[line] - sizes[line], ends[line])
            missing = letters(whole) - int(self._letters[tokens[part]].sum())
            total += missing * count / np.count_nonzero(is_unknown[part])
        return round(total * len(places) / len(sample))
