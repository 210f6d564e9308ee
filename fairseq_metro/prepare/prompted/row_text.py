"""The text of a row, whatever its fields are called, to detect evaluation rows in training data.

Two rows are the same when their texts of at least three words are the same after normalisation:
Unicode NFKC, no case, words alone. So numbers, labels, ids and short answers do not count, nor do
names and order of fields, white space and punctuation.
"""

import hashlib
import re
import unicodedata

import numpy as np

LEAST_WORDS = 3
_WORD = re.compile(r"[^\W_]+")


def row_hashes(rows):
    """Hash of each of n rows (dicts), equal if the rows have the same text: (n,) uint64."""
    return np.array([row_hash(row) for row in rows], dtype=np.uint64)


def row_hash(row):
    """64 bits of BLAKE2b over the row's normalised texts, in alphabetical order.

    >>> one = {"sentence": "A fine film , indeed !", "label": 1}
    >>> row_hash(one) == row_hash({"text": "a FINE film, indeed", "label": 0, "id": "x-3"})
    True
    >>> row_hash(one) == row_hash({"text": "a fine film"})
    False
    """
    texts = [_WORD.findall(_plain(text)) for text in _strings(row)]
    long = [" ".join(words) for words in texts if len(words) >= LEAST_WORDS]
    content = "\n".join(sorted(long or map(" ".join, texts)))
    return int.from_bytes(
        hashlib.blake2b(content.encode("utf-8", "replace"), digest_size=8).digest()
    )


def _plain(text):
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    return text.casefold()


def _strings(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _strings(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _strings(inner)
