"""Rows of each data set from docstrings, their labels balanced and their answers in the text alone.

A function takes the docstrings of one split and a random generator and yields groups of rows. In a
group every label comes equally often. Where a row brings options of its own, they cross: what is
right in one row of the group is wrong in another, in the same place of the list. So neither a
label's share, nor an option, nor its place says anything.
"""

import re
from collections import Counter, defaultdict
from itertools import chain

from fairseq_metro.prepare.docstrings import COMMON

NO, YES = 0, 1
BLANK = "_"
LONGEST = 25  # words of a text
AROUND = 5  # words on either side of a blank
# The answers of topics: each with the places, the beginnings of file names, that it stands for.
PACKAGES = {name: (f"{name}/",) for name in ("python", "torch", "numpy", "fairseq")}
AREAS = {
    "testing": ("python/unittest/", "python/doctest", "numpy/testing/", "torch/testing/"),
    "network": tuple(
        f"python/{name}"
        for name in ("email/", "http/", "urllib/", "xmlrpc/", "asyncio/", "imaplib", "smtplib",
                     "nntplib", "ftplib", "poplib", "ssl", "socket", "wsgiref/", "mailbox")
    ),
    "compiler": ("torch/_inductor/", "torch/_dynamo/", "torch/fx/", "torch/_functorch/"),
    "distributed": ("torch/distributed/",),
    "array": ("numpy/lib/", "numpy/_core/", "numpy/core/", "numpy/ma/", "numpy/linalg/",
              "numpy/polynomial/"),
}  # fmt: skip
PREPOSITIONS = ("of", "to", "in", "for")
VERBS = {
    "return": ("return", "returns"),
    "create": ("create", "creates"),
    "check": ("check", "checks"),
    "set": ("set", "sets"),
}
LEAST_COUNT = 20  # how often a word must occur to be asked for
ALIKE = 60  # words next to each other by frequency that are offered together
MISSPELT = 3  # words whose letters are put in disorder
MIDDLE = 5  # fewest words between the first and the last that can be put in disorder


def package(docstrings, rng):
    """Which package documents this: python, torch, numpy, fairseq."""
    return _topic(docstrings, rng, PACKAGES)


def area(docstrings, rng):
    """Which part of a library documents this: testing, network, compiler, distributed, array."""
    return _topic(docstrings, rng, AREAS)


def _topic(docstrings, rng, topics):
    names = re.compile("|".join(topics), re.IGNORECASE)  # the answer itself is no part of the text
    by_topic = {topic: [] for topic in topics}
    for docstring in docstrings:
        text = _cut(docstring.sentences)
        for topic, places in topics.items():
            if docstring.place.startswith(places) and not names.search(text):
                by_topic[topic].append({"text": text})
    return _by_label(by_topic.values(), rng)


def preposition(docstrings, rng):
    """Which preposition is missing: of, to, in, for."""
    by_word = {word: [] for word in PREPOSITIONS}
    for sentence in _sentences(docstrings):
        words = sentence.split()
        places = [i for i, word in enumerate(words) if word in by_word]
        if places:
            place = places[rng.integers(len(places))]
            near = slice(max(0, place - AROUND), place + AROUND + 1)
            blanked = _blanked(words[near], min(place, AROUND))
            by_word[words[place]].append({"sentence": blanked})
    return _by_label(by_word.values(), rng)


def verb(docstrings, rng):
    """With which verb does the summary begin: return, create, check, set."""
    by_verb = {verb: [] for verb in VERBS}
    for docstring in docstrings:
        words = docstring.sentences[0].split()
        for answer, forms in VERBS.items():
            if words[0].lower() in forms:
                by_verb[answer].append({"sentence": _blanked(words, 0)})
    return _by_label(by_verb.values(), rng)


def word(docstrings, rng):
    """Which of two words of like frequency is missing."""
    for (text, first), (other, second) in _pairs_of_words(docstrings, rng):
        options = [first, second]
        rows = [_with_blank(text, first), _with_blank(other, second)]
        yield _crossed([{"sentence": sentence} for sentence in rows], options)


def mention(docstrings, rng):
    """Does the sentence contain this word."""
    for (sentence, first), (other, second) in _pairs_of_words(docstrings, rng):
        yield _matched(("sentence", "word"), [(sentence, first), (other, second)])


def order(docstrings, rng):
    """Are the words in their order, or have all but the first and the last been mixed up."""
    for sentence in _shuffled(list(_sentences(docstrings)), rng):
        mixed = mixed_up(sentence.split(), rng)
        if mixed is not None:
            yield [{"sentence": sentence, "label": YES}, {"sentence": mixed, "label": NO}]


def mixed_up(words, rng):
    """The sentence with its words in another order, or None if it is too short.

    The first word and the last stay where they are: capital and full stop would tell.
    """
    middle = words[1:-1]
    if len(middle) < MIDDLE or len(set(middle)) == 1:
        return None
    moved = middle
    while moved == middle:
        moved = _shuffled(middle, rng)
    return " ".join([words[0], *moved, words[-1]])


def spelling(docstrings, rng):
    """Are all words spelt right, or have the letters inside three of them been mixed up."""
    for sentence in _shuffled(list(_sentences(docstrings)), rng):
        wrong = misspelt(sentence.split(), rng)
        if wrong is not None:
            yield [{"sentence": sentence, "label": YES}, {"sentence": wrong, "label": NO}]


def misspelt(words, rng):
    """The sentence with ``MISSPELT`` words' inner letters in another order, or None without such."""
    fit = [i for i, word in enumerate(words)
           if word.isalpha() and word.islower() and len(set(word[1:-1])) > 3]  # fmt: skip
    if len(fit) < MISSPELT:
        return None
    wrong = list(words)
    for i in rng.permutation(fit)[:MISSPELT]:
        inner = list(words[i][1:-1])
        moved = inner
        while moved == inner:
            moved = _shuffled(inner, rng)
        wrong[i] = "".join([words[i][0], *moved, words[i][-1]])
    return " ".join(wrong)


def place(docstrings, rng):
    """Is a sentence the docstring's first, its summary, or a later one."""
    for docstring in _shuffled(docstrings, rng):
        if len(docstring.sentences) > 1:
            later = docstring.sentences[int(rng.integers(1, len(docstring.sentences)))]
            yield [
                {"sentence": docstring.sentences[0], "label": YES},
                {"sentence": later, "label": NO},
            ]


def summary(docstrings, rng):
    """Does this summary, a docstring's first sentence, belong to these sentences."""
    pairs = [(docstring.sentences[0], _cut(docstring.sentences[1:])) for docstring in docstrings
            if len(docstring.sentences) > 2]  # fmt: skip
    for pair in _couples(_shuffled(pairs, rng)):
        yield _matched(("summary", "text"), pair)


def following(docstrings, rng):
    """Which of two sentences comes next."""
    for pair in _couples(_shuffled(list(_neighbours(docstrings)), rng)):
        (sentence, after_one), (other, after_other) = pair
        yield _crossed([{"text": sentence}, {"text": other}], [after_one, after_other])


# How groups are put together.


def _by_label(rows_of_labels, rng):
    """Groups of one row of each label, as many as the rarest label has rows."""
    shuffled = [_shuffled(rows, rng) for rows in rows_of_labels]
    for group in zip(*shuffled, strict=False):
        yield [{**row, "label": label} for label, row in enumerate(group)]


def _crossed(rows, options):
    """Row i is answered by option i; all rows list the same options in the same order."""
    return [{**row, "options": options, "label": i} for i, row in enumerate(rows)]


def _matched(fields, pairs):
    """Rows of two matching pairs (yes) and of the same pairs crossed (no)."""
    (a, b), (c, d) = pairs
    labelled = ((a, b, YES), (c, d, YES), (a, d, NO), (c, b, NO))
    return [{fields[0]: left, fields[1]: right, "label": label} for left, right, label in labelled]


def _pairs_of_words(docstrings, rng):
    """Two (sentence, word in it) each: words of like frequency, neither in the other's sentence."""
    sentences = list(_sentences(docstrings))
    words = [
        [w for w in _bare(sentence) if len(w) > 3 and w not in COMMON] for sentence in sentences
    ]
    counts = Counter(chain.from_iterable(map(set, words)))
    common = [w for w, n in sorted(counts.items(), key=lambda c: (-c[1], c[0])) if n >= LEAST_COUNT]
    band = {w: rank // ALIKE for rank, w in enumerate(common)}
    by_word = defaultdict(list)
    for sentence, sentence_words in zip(sentences, words, strict=True):
        known = sorted({w for w in sentence_words if w in band})
        if known:
            chosen = known[rng.integers(len(known))]
            by_word[band[chosen]].append((sentence, chosen))
    for _, occurrences in sorted(by_word.items()):
        for first, other in _couples(_shuffled(occurrences, rng)):
            if other[1] not in _bare(first[0]) and first[1] not in _bare(other[0]):
                yield first, other


def _neighbours(docstrings):
    """(sentence, the next one) of each docstring, the summary left out where there are others."""
    for docstring in docstrings:
        sentences = docstring.sentences[1:] if len(docstring.sentences) > 2 else docstring.sentences
        if len(sentences) > 1:
            yield sentences[0], sentences[1]


def _sentences(docstrings):
    """All sentences, each once."""
    return dict.fromkeys(chain.from_iterable(docstring.sentences for docstring in docstrings))


def _couples(items):
    """Items 0 and 1, 2 and 3, ...; one left over is left out."""
    return zip(items[::2], items[1::2], strict=False)


def _shuffled(items, rng):
    return [items[i] for i in rng.permutation(len(items))]


def _bare(sentence):
    """Words of letters alone, in lower case: list of str."""
    return re.findall(r"(?<!\w)[a-z]+(?!\w)", sentence.lower())


def _with_blank(sentence, word):
    """The sentence with a blank where the word first stands, in whatever case."""
    return re.sub(rf"(?i)(?<!\w){word}(?!\w)", BLANK, sentence, count=1)


def _blanked(words, place):
    return " ".join([*words[:place], BLANK, *words[place + 1 :]])


def _cut(sentences):
    """Sentences in a row, at most ``LONGEST`` words of them."""
    return " ".join(" ".join(sentences).split()[:LONGEST])
