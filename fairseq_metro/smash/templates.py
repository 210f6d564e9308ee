"""Prompt templates in LM-BFF's language (Gao et al. 2020): variables and words between asterisks.

``*cls**sent_0*_It_was*mask*.*sep+*``: a piece between asterisks is a variable or, with ``_`` for a
blank, words. Each piece is tokenized by itself, so nothing merges across pieces; a piece of one
character is that character without a blank before it.

``cls``, ``mask``, ``sep``, ``sep+``   the special ids (``sep+`` also ended BERT's segment)
``sent_0``     the first sentence; ``+sent_0`` with a blank before it
``sentl_0``    its first character in lower case (``+sentl_0``); ``sentu_0`` in upper case
``sent-_0``    without its last character, whatever that is (``sentl-_0`` too); or, where asked
               for, without the punctuation at its end alone
"""

import re
import string
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from fairseq_metro.common.errors import UserError
from fairseq_metro.smash.truncation import BUDGET, cut

SPECIALS = CLS, MASK, SEP, SEP_PLUS = "cls", "mask", "sep", "sep+"
SENTENCES = "sent +sent sent- sentl +sentl sentl- sentu +sentu".split()
DROPS = CHARACTER, PUNCTUATION = "character", "punctuation"
_SENTENCE = re.compile(r"(\+?sent[lu]?-?)_(\d)")
# What is meant as a variable, and would become words of the prompt if it were let through.
_ALMOST = re.compile(
    r"[+-]*(?:sent\w{0,2}[+-]*_.*|sent\w*\d|labelx?_.*|\W?(?:cls|mask|sep)\W?|[a-z]+[+-]*_\d)", re.I
)
_SWAPPED = {"".join(sorted(name)) for name in (CLS, MASK, SEP)}  # `*maks*`


class Prompt(NamedTuple):
    """ids: list of int, with its special symbols; mask_position: int; trimmed: whether cut."""

    ids: list
    mask_position: int
    trimmed: bool


class Piece(NamedTuple):
    """What stands between asterisks. variable: a special, a form of SENTENCES, or None for words.

    text: the words; sentence: number of the sentence.
    """

    variable: str | None
    text: str = ""
    sentence: int = 0

    @property
    def is_sentence(self):
        """Whether a sentence of the example comes here."""
        return self.variable in SENTENCES


@dataclass(frozen=True)
class PromptTemplate:
    """A parsed template. drop: what ``sent-_`` drops, the last character or the punctuation."""

    source: str
    pieces: tuple[Piece, ...]
    drop: str = CHARACTER

    @classmethod
    def parse(cls, source, drop=CHARACTER):
        """Read a template.

        Raises :class:`UserError` for a combination the language lacks, and for no or two masks.

        >>> PromptTemplate.parse("*cls**sent_0*_It_was*mask*.*sep+*").sentences
        1
        >>> PromptTemplate.parse("*cls**+sent-_0**mask**sep+*")
        Traceback (most recent call last):
        ...
        fairseq_metro.common.errors.UserError: template '*cls**+sent-_0**mask**sep+*': unknown \
variable '+sent-_0'; known: cls, mask, sep, sep+, and with a number: sent_0, +sent_0, sent-_0, \
sentl_0, +sentl_0, sentl-_0, sentu_0, +sentu_0 (words begin with _ for a blank)
        """
        if drop not in DROPS:
            raise UserError(f"drop is {drop!r}, must be one of {', '.join(DROPS)}")
        pieces = tuple(_piece(source, part) for part in source.split("*") if part)
        masks = sum(piece.variable == MASK for piece in pieces)
        if masks != 1:
            raise UserError(f"template {source!r} has {masks} masks; write *mask* exactly once")
        numbers = {piece.sentence for piece in pieces if piece.is_sentence}
        if numbers != set(range(len(numbers))):
            raise UserError(f"template {source!r}: sentences are numbered from 0 without a gap")
        return cls(source, pieces, drop)

    @property
    def sentences(self):
        """Number of sentences in an example."""
        return len({piece.sentence for piece in self.pieces if piece.is_sentence})

    @property
    def words(self):
        """Words that stand in the prompt itself, without single characters: list of str."""
        literals = (piece.text for piece in self.pieces if piece.variable is None)
        return [word for text in literals if len(text) > 1 for word in text.split()]

    @property
    def characters(self):
        """Single characters that stand in the prompt itself, without a blank: list of str."""
        return [
            piece.text for piece in self.pieces if piece.variable is None and len(piece.text) == 1
        ]

    def texts(self, sentences):
        """What each sentence variable becomes, in the template's order: list of str."""
        return [_form(piece, sentences, self.drop) for piece in self.pieces if piece.is_sentence]

    def build(self, sentences, tok, max_length, truncation=BUDGET, limits=()):
        """A Prompt of an example's sentences (list of str) in the ids of a tokenizer.

        max_length: most ids; truncation: truncation.py; limits: most ids of each sentence, cut
        first (None: no limit). Raises :class:`UserError` for another number of sentences, a prompt
        that does not fit, and a mask that LM-BFF's truncation would lose.
        """
        if len(sentences) != self.sentences:
            raise UserError(
                f"template {self.source!r} takes {self.sentences} sentences, not {len(sentences)}"
            )
        ids = list(map(tok.encode, self.texts(sentences)))
        return self.assemble(ids, tok, max_length, truncation, limits)

    def assemble(self, encoded, tok, max_length, truncation=BUDGET, limits=()):
        """:meth:`build` from the ids of :meth:`texts`, for those who encode many at once."""
        parts = list(prompt_ids(self, tok))
        places = [i for i, piece in enumerate(self.pieces) if piece.is_sentence]
        limited = False
        for place, ids in zip(places, encoded, strict=True):
            number = self.pieces[place].sentence
            limit = limits[number] if number < len(limits) else None
            limited = limited or (limit is not None and len(ids) > limit)
            parts[place] = ids[:limit]
        fixed = [not piece.is_sentence for piece in self.pieces]
        parts, trimmed = cut(parts, fixed, max_length, truncation)
        mask = next(i for i, piece in enumerate(self.pieces) if piece.variable == MASK)
        if not parts[mask]:
            raise UserError(
                f"truncation {truncation!r} to {max_length} tokens would cut the mask off; "
                f"use {BUDGET!r}, which never does"
            )
        position = sum(map(len, parts[:mask]))
        return Prompt([i for part in parts for i in part], position, trimmed or limited)


@lru_cache(maxsize=64)
def prompt_ids(template, tok):
    """Ids of each piece that is no sentence; an empty list for those that are: tuple of lists."""
    return tuple([] if p.is_sentence else _fixed_ids(p, tok) for p in template.pieces)


def _fixed_ids(piece, tok):
    if piece.variable == CLS:
        return list(tok.cls)  # T5 has none
    if piece.variable == MASK:
        return [tok.mask]
    if piece.variable in (SEP, SEP_PLUS):
        return [tok.eos]
    return [tok.literal(piece.text)] if len(piece.text) == 1 else tok.encode(piece.text)


def _piece(source, part):
    if part in SPECIALS:
        return Piece(part)
    if (match := _SENTENCE.fullmatch(part)) and match[1] in SENTENCES:
        return Piece(match[1], sentence=int(match[2]))
    if _ALMOST.fullmatch(part) or "".join(sorted(part)) in _SWAPPED:
        known = ", ".join([*SPECIALS, f"and with a number: {SENTENCES[0]}_0"])
        more = ", ".join(f"{form}_0" for form in SENTENCES[1:])
        raise UserError(
            f"template {source!r}: unknown variable {part!r}; known: {known}, {more} (words begin "
            "with _ for a blank)"
        )
    return Piece(None, part.replace("_", " "))


def _form(piece, sentences, drop):
    text, form = sentences[piece.sentence], piece.variable
    if form.endswith("-"):
        text = text[:-1] if drop == CHARACTER else text.rstrip(string.punctuation)
    if "l" in form:
        text = text[:1].lower() + text[1:]
    if "u" in form:
        text = text[:1].upper() + text[1:]
    return " " + text if form.startswith("+") else text
