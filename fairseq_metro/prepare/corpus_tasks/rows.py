"""Rows of each task from documents, labels balanced, the answer in the sentences alone.

As in ``prepare/docstring_tasks``, rows come in groups in which every label is equally often, and
nothing but how the parts belong together tells the rows of a group apart.
"""

from typing import NamedTuple

from fairseq_metro.prepare.corpus_tasks.topics import topic_of, unmentioned
from fairseq_metro.prepare.docstring_tasks.rows import mixed_up
from fairseq_metro.prepare.docstring_tasks.texts import FEWEST_WORDS, MOST_WORDS, normalised
from fairseq_metro.prepare.intermediate.splitting import sentences_of

APART, ADJACENT = "apart", "adjacent"
MIXED, INTACT = "mixed", "intact"
FIRST, LATER = "first", "later"
LONGEST = 40  # words of a passage
OF_DOCUMENT = 4  # most pairs of a document, where a long one would outweigh the others


class Document(NamedTuple):
    """text: all of it; sentences: tuple of str, those of 5 to 20 words; following: indices of the
    sentences that directly follow the one before them; openings: of those that open a paragraph."""

    text: str
    sentences: tuple
    following: tuple
    openings: tuple


def document_of(text, seen=frozenset()):
    """The :class:`Document` of a text, a paragraph a line, without sentences whose normalised form
    is ``seen``.

    >>> document_of("One sentence of five words. Too short. And here are again five.").following
    ()
    """
    kept, following, openings, before = [], [], [], False
    marked = [(s, not i) for line in text.split("\n") for i, s in enumerate(sentences_of(line))]
    for sentence, opens in marked:
        fits = FEWEST_WORDS <= len(sentence.split()) <= MOST_WORDS
        fits = fits and not (seen and normalised(sentence) in seen)
        if fits and before:
            following.append(len(kept))
        if fits and opens:
            openings.append(len(kept))
        if fits:
            kept.append(sentence)
        before = fits
    return Document(text, tuple(kept), tuple(following), tuple(openings))


def adjacent(documents, rng, topics=()):
    """Does the second sentence follow the first in their document, or come from another one."""
    pairs = []
    for document in documents:
        if document.following:
            place = document.following[int(rng.integers(len(document.following)))]
            pairs.append(document.sentences[place - 1 : place + 1])
    pairs = _shuffled(pairs, rng)
    for (a, b), (c, d) in zip(pairs[::2], pairs[1::2], strict=False):
        rows = ((a, b, ADJACENT), (c, d, ADJACENT), (a, d, APART), (c, b, APART))
        yield [{"first": x, "second": y, "label": label} for x, y, label in rows]


def opening(documents, rng, topics=()):
    """Does the sentence open a paragraph, or go on with one of the same document."""
    for document in _shuffled(documents, rng):
        later = [i for i in range(len(document.sentences)) if i not in document.openings]
        pairs = zip(_shuffled(document.openings, rng), _shuffled(later, rng), strict=False)
        for first, second in list(pairs)[:OF_DOCUMENT]:
            yield [{"sentence": document.sentences[first], "label": FIRST},
                   {"sentence": document.sentences[second], "label": LATER}]  # fmt: skip


def order(documents, rng, topics=()):
    """Are the words in their order, or have all but the first and the last been mixed up."""
    for sentence in _shuffled(_sentences(documents), rng):
        mixed = mixed_up(sentence.split(), rng)
        if mixed is not None:
            yield [{"sentence": sentence, "label": INTACT}, {"sentence": mixed, "label": MIXED}]


def topic(documents, rng, topics=()):
    """Which topic's document is this from, one sentence or a few; they mention none of them."""
    if not topics:
        return
    by_topic = {name: [] for name in topics}
    for document in documents:
        name = topic_of(document.text, topics)
        if name is not None:
            by_topic[name] += dict.fromkeys(passages(document, topics))
    shuffled = [_shuffled(sentences, rng) for sentences in by_topic.values()]
    for group in zip(*shuffled, strict=False):
        yield [{"sentence": s, "label": n} for n, s in zip(topics, group, strict=True)]


def passages(document, topics):
    """Sentences that follow each other and mention no topic, up to 40 words: str, each part of one.

    >>> one = document_of("One sentence of five words. And here are five more. See a file or so.")
    >>> list(passages(one, ("file",)))
    ['One sentence of five words. And here are five more.']
    """
    part = []
    for place, sentence in enumerate(document.sentences):
        fits = len(" ".join([*part, sentence]).split()) <= LONGEST and place in document.following
        mentions = not unmentioned(sentence, topics)
        if part and (mentions or not fits):
            yield " ".join(part)
            part = []
        part += [] if mentions else [sentence]
    if part:
        yield " ".join(part)


def _sentences(documents):
    """All sentences, each once."""
    return list(dict.fromkeys(s for document in documents for s in document.sentences))


def _shuffled(items, rng):
    return [items[i] for i in rng.permutation(len(items))]
