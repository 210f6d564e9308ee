"""Text normalisation before SentencePiece: none, or the METRO-T0 authors' ("guoke" in their code).

The authors' rules, as their released tokenizer applies them (METRO-T0, released code):

1. strip; two backticks or two single quotes become ``"``; typographic quotes and dashes become
   ASCII ones;
2. split on whitespace; of each token the leading run of punctuation and the trailing one become
   tokens of their own (inner punctuation stays where it is);
3. join with single spaces; then glue back English clitics, whole words: ``' s`` becomes ``'s``, and
   ``' relu`` stays.

Lower-casing, where a vocabulary has it, comes last.
"""

import re
import unicodedata
from functools import lru_cache

NORMALIZATIONS = ("none", "metro")

_QUOTE_PAIRS = re.compile("``|''")
_TYPOGRAPHIC = str.maketrans(
    {"\u2018": "'", "\u2019": "'", "\u00b4": "'", "\u201c": '"', "\u201d": '"'}
    | {"\u2014": "-", "\u2013": "-"}
)
_CLITICS = re.compile(r"' (?:([smdtSMDT]|ll|re|ve)|(LL|RE|VE))\b")


@lru_cache(maxsize=1 << 16)
def is_punctuation(character):
    """ASCII characters that are neither alphanumeric, space nor control; Unicode categories P*."""
    if "!" <= character <= "~":
        return not character.isalnum()
    return unicodedata.category(character).startswith("P")


def split_outer_punctuation(token):
    """The token's leading punctuation, its middle, its trailing punctuation; empty ones left out.

    >>> split_outer_punctuation('("don\\'t!')
    ['("', "don't", '!']
    >>> split_outer_punctuation("***")
    ['***']
    """
    if token.isalnum():
        return [token]
    start, end = 0, len(token)
    while start < end and is_punctuation(token[start]):
        start += 1
    while end > start and is_punctuation(token[end - 1]):
        end -= 1
    return [part for part in (token[:start], token[start:end], token[end:]) if part]


def ascii_quotes(text):
    """Rule 1: pairs of single quotes or backticks become one double quote; then the rest."""
    return _QUOTE_PAIRS.sub('"', text).translate(_TYPOGRAPHIC)


def glue_clitics(text):
    """Rule 3: an apostrophe and a clitic that were split from each other become one word again.

    >>> glue_clitics("' s and ' ll and ' VE but ' stop and ' very")
    "'s and 'll and 'VE but ' stop and ' very"
    """
    if "' " not in text:
        return text
    glued = _CLITICS.sub(lambda m: f"'{m[2]} " if m[2] else f"'{m[1]}", text)
    return " ".join(glued.split())


def normalize_metro(text):
    """The authors' normalisation of one line, without lower-casing.

    >>> normalize_metro("It's John's ``quoted'' word (isn't it?).")
    'It\\'s John\\'s " quoted " word ( isn\\'t it ?).'
    """
    tokens = ascii_quotes(text).split()
    return glue_clitics(" ".join(part for t in tokens for part in split_outer_punctuation(t)))


class Normalizer:
    """What a vocabulary does to a line before SentencePiece: a function from text to text.

    Same result as :func:`normalize_metro` (where asked for) and then lower-casing (where asked
    for). Tokens repeat, so each one's split is remembered, up to ``TOKENS_KEPT`` of them; clitics
    and case are settled on the whole line, since they look at neighbours.
    """

    def __init__(self, normalization="none", lowercase=False):
        assert normalization in NORMALIZATIONS, normalization
        self.normalization, self.lowercase = normalization, lowercase
        self._split = _SplitTokens()

    def __call__(self, text):
        if self.normalization == "metro":
            text = glue_clitics(" ".join(map(self._split.__getitem__, text.split())))
        return text.lower() if self.lowercase else text


TOKENS_KEPT = 500_000


class _SplitTokens(dict):
    """Token -> its parts joined by spaces; computed when missing, emptied when full."""

    def __missing__(self, token):
        if len(self) >= TOKENS_KEPT:
            self.clear()
        parts = " ".join(split_outer_punctuation(ascii_quotes(token)))
        # An exotic token as long as a page would not come again.
        if len(token) <= 100:
            self[token] = parts
        return parts
