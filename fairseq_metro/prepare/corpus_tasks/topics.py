"""Topics of a text: words that some documents keep coming back to and others hardly use."""

import math
import re
from collections import Counter

from fairseq_metro.common.errors import UserError
from fairseq_metro.prepare.docstrings import COMMON

TOPICS = 4
OFTEN = 4  # times a document says the word that it is about
LEAST_DOCUMENTS, LEAST_SHARE = 6, 0.01  # of the documents, about a topic
TOGETHER = 0.25  # most documents about one topic that are about a second
_WORD = re.compile(r"(?<!\w)[a-z]{4,12}(?!\w)")


def words_of(text):
    """How often each word of 4 to 12 letters comes in a text, in lower case: Counter.

    >>> words_of("Files, files and the file_name.")
    Counter({'files': 2})
    """
    return Counter(word for word in _WORD.findall(text.lower()) if word not in COMMON)


def choose_topics(texts):
    """The ``TOPICS`` words of documents (str) that divide them best: sorted tuple of str.

    A document is about a word that it says ``OFTEN`` times. Words are tried by the number of such
    documents, times the square of their share of those that say the word at all, times the word's
    rarity (log of documents over those that say it); one that begins like another, or shares too
    many documents, is left out. Raises :class:`UserError`.

    >>> texts = [f"{word} " * 4 for word in ("corn", "rice", "oats", "rye bread", "beans")] * 6
    >>> choose_topics(texts)
    ('beans', 'bread', 'corn', 'oats')
    """
    about, mentions = {}, Counter()
    for number, text in enumerate(texts):
        counts = words_of(text)
        mentions.update(counts.keys())
        for word, count in counts.items():
            if count >= OFTEN:
                about.setdefault(word, set()).add(number)
    least = max(LEAST_DOCUMENTS, LEAST_SHARE * len(texts))
    worth = {
        word: len(places) ** 3 / mentions[word] ** 2 * math.log(len(texts) / mentions[word])
        for word, places in about.items()
        if len(places) >= least
    }
    chosen = []
    for word in sorted(worth, key=lambda word: (-worth[word], word)):
        if len(chosen) < TOPICS and all(_apart(word, other, about) for other in chosen):
            chosen.append(word)
    if len(chosen) < TOPICS:
        raise UserError(
            f"only {len(chosen)} words are topics of {math.ceil(least)} documents or more; give more "
            "text, documents apart by blank lines"
        )
    return tuple(sorted(chosen))


def _apart(word, other, about):
    if word.startswith(other[:4]) or other.startswith(word[:4]):
        return False
    shared = len(about[word] & about[other])
    return shared <= TOGETHER * min(len(about[word]), len(about[other]))


def topic_of(text, topics):
    """The topic a document is about; None where there is none, or more than one is spoken of much.

    >>> topic_of("file " * 4 + "graph", ("file", "graph"))
    'file'
    >>> topic_of("file " * 4 + "graph " * 3, ("file", "graph")) is None
    True
    """
    counts = words_of(text)
    ranked = sorted(topics, key=lambda topic: -counts[topic])
    first, second = counts[ranked[0]], counts[ranked[1]]
    return ranked[0] if first >= OFTEN and 2 * second <= first else None


def unmentioned(sentence, topics):
    """Whether no word of a sentence begins like a topic.

    >>> unmentioned("It reads a profile.", ["file"]), unmentioned("It reads files.", ["file"])
    (True, False)
    """
    words = re.findall(r"\w+", sentence.lower())
    return not any(word.startswith(topic) for word in words for topic in topics)
