"""Paragraphs to sentences, by rules.

A sentence ends at ``.``, ``!``, ``?`` or ``…``, with what closes quotes and brackets, before white
space and something that can begin a sentence. Not after an initial, a word with dots inside, or a
known abbreviation. Nothing is lost or changed but white space. (The paper names no splitter.)
"""

import re

_OPENING = "\"'([\u201c\u2018\u00ab"
_END = re.compile(
    r"(?<![.!?\u2026])(?P<mark>[.!?\u2026]+)[\"'\u201d\u2019\u00bb)\]]*\s+"
    r"(?=[\"'(\[\u201c\u2018\u00ab]*(?P<next>[^\W_]))"
    r"|[\u3002\uff01\uff1f]+[\u300d\u300f\u201d\u2019]*\s*"  # Chinese and Japanese: no blank
)
_INITIAL = re.compile(r"[^\W\d_]")
_DOTTED = re.compile(r"[^\W\d_](?:\.[^\W\d_])+")
ABBREVIATIONS = frozenset(
    "mr mrs ms messrs mme mlle dr prof rev hon st sr jr fr gen col maj capt cmdr lt sgt adm gov "
    "sen rep pres supt insp det vs al cf ca approx nos vol vols fig figs eq eqs ch sec secs pp ed "
    "eds trans viz inc ltd corp bros dept univ assn est ave blvd rd mt ft jan feb apr jul aug sept "
    "sep oct nov dec".split()
)


def sentences_of(paragraph):
    """The sentences of a paragraph, white space collapsed: list of str, none empty.

    >>> sentences_of('Mr. J. Doe left the U.S. in 1990. "Why?"  He asked   twice!')
    ['Mr. J. Doe left the U.S. in 1990.', '"Why?"', 'He asked twice!']
    """
    text = " ".join(paragraph.split())
    sentences, start = [], 0
    for match in _END.finditer(text):
        if match["mark"] and not _ends(text[start : match.start()], match):
            continue
        sentences.append(text[start : match.end()].strip())
        start = match.end()
    if rest := text[start:].strip():
        sentences.append(rest)
    return sentences


def _ends(before, match):
    """Whether a mark after the text ``before`` ends a sentence."""
    if match["next"].islower():
        return False
    if match["mark"] != ".":
        return True
    word = before[before.rfind(" ") + 1 :].lstrip(_OPENING)
    if word == "I":
        return True
    return not (
        word.lower() in ABBREVIATIONS or _INITIAL.fullmatch(word) or _DOTTED.fullmatch(word)
    )
