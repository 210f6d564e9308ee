"""n-grams of evaluation texts looked for in a corpus that is read once, in flat memory."""

import hashlib
import re

import numpy as np

_WORD = re.compile(r"\w+")
_FACTOR = np.uint64(0x9E3779B97F4A7C15)
_CHUNK = 1 << 16  # words of the corpus hashed at a time
UNKNOWN = np.uint64(0)


def words_of(text):
    """Lower-cased words without punctuation: list of str.

    >>> words_of("Don't stop, Bob!")
    ['don', 't', 'stop', 'bob']
    """
    return _WORD.findall(text.lower())


class Ngrams:
    """The n-grams of many texts. n: words of one. ``add`` texts, then ``read`` the corpus, then
    ``shares`` says of each text how many of its n-grams the corpus has."""

    def __init__(self, n):
        self.n, self._words, self._texts = n, {}, []
        self._known = self._found = None

    def add(self, segments):
        """A text as segments (str) that n-grams do not cross; returns its number."""
        hashes = [self._windows(self._ids(words_of(segment), learn=True)) for segment in segments]
        self._texts.append(np.unique(np.concatenate([*hashes, np.zeros(0, np.uint64)])))
        return len(self._texts) - 1

    def read(self, texts):
        """Look for the n-grams in an iterable of texts (str), which follow one another."""
        if self._known is None:
            self._known = np.unique(np.concatenate([*self._texts, np.zeros(0, np.uint64)]))
            self._found = np.zeros(len(self._known), bool)
        tail, waiting = np.zeros(0, np.uint64), []
        for text in texts:
            waiting += words_of(text)
            if len(waiting) >= _CHUNK:
                tail, waiting = self._look(tail, waiting), []
        self._look(tail, waiting)

    def shares(self):
        """For each text (its different n-grams, how many of them the corpus has): list of pairs."""
        return [
            (len(hashes), int(self._found[np.searchsorted(self._known, hashes)].sum()))
            for hashes in self._texts
        ]

    def _look(self, tail, words):
        ids = np.concatenate([tail, self._ids(words, learn=False)])
        hashes = self._windows(ids)
        if len(self._known) and len(hashes):
            places = np.minimum(np.searchsorted(self._known, hashes), len(self._known) - 1)
            self._found[places[self._known[places] == hashes]] = True
        return ids[max(0, len(ids) - self.n + 1) :]

    def _ids(self, words, learn):
        """64 random bits of each word; UNKNOWN for one that no evaluation text has."""
        if learn:
            for word in set(words) - self._words.keys():
                digest = hashlib.blake2b(word.encode(), digest_size=8).digest()
                self._words[word] = int.from_bytes(digest, "little") | 1  # never UNKNOWN
        return np.array([self._words.get(word, 0) for word in words], np.uint64)

    def _windows(self, ids):
        """Hashes of all windows of n words without an unknown one."""
        count = len(ids) - self.n + 1
        if count < 1:
            return np.zeros(0, np.uint64)
        total, whole = np.zeros(count, np.uint64), np.ones(count, bool)
        for place in range(self.n):
            part = ids[place : place + count]
            total = total * _FACTOR + part  # modulo 2 ** 64
            whole &= part != UNKNOWN
        return total[whole]
