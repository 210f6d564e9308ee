"""The keys of a mixture file and the kind of value each requires."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from fairseq_metro.common.errors import UserError
from fairseq_metro.prompts.collection import nearest
from fairseq_metro.prompts.mixtures import flan
from fairseq_metro.prompts.mixtures.rules import RULES

VERSION = 1
# Which templates of a data set take part: all, those of the task that it was made for, of these the
# first by name.
SELECTIONS = ALL, ORIGINAL, FIRST_ORIGINAL = "all", "original", "first-original"
# What becomes of a data set that has no templates.
ERROR, LEAVE_OUT = "error", "leave out"


class Kind(NamedTuple):
    """A kind of value. expected: its name in messages; read: gives the value, or None if it is none."""

    expected: str
    read: Callable[[Any], Any]


def _is_whole(value, low=0, high=None):
    return type(value) is int and low <= value and (high is None or value <= high)


def whole(low):
    return Kind(
        f"a whole number from {low}", lambda value: value if _is_whole(value, low) else None
    )


def one_of(*words):
    read = {word: word for word in words}.get
    return Kind(
        f"one of {', '.join(map(str, words))}",
        lambda value: read(value) if isinstance(value, (str, int)) else None,
    )


def _is_text(value):
    return isinstance(value, str) and bool(value.strip())


def _read_texts(value):
    values = [value] if isinstance(value, str) else value
    return tuple(values) if isinstance(values, list) and all(map(_is_text, values)) else None


def _read_selection(value):
    return value if value in SELECTIONS else None


def _read_templates(value):
    return _read_selection(value) or _read_texts(value) or None


def _read_temperature(value):
    good = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < math.inf
    return float(value) if good else None


def _read_counts(value):
    good = isinstance(value, list) and len(value) == 3 and all(map(_is_whole, value))
    return tuple(value) if good else None


def _read_exemplars(value):
    """The fewest and the most."""
    low, high = value if isinstance(value, list) and len(value) == 2 else (value, value)
    good = _is_whole(low) and _is_whole(high, low, flan.MOST_EXEMPLARS)
    return (low, high) if good else None


def _read_pairs(value):
    good = isinstance(value, list) and all(
        isinstance(pair, list) and len(pair) == 2 and all(map(_is_text, pair)) for pair in value
    )
    return tuple(map(tuple, value)) if good else None


TEXT = Kind("a text", lambda value: value if _is_text(value) else None)
TEXTS = Kind("a text or a list of texts", _read_texts)
LIST = Kind("a list", lambda value: tuple(value) if isinstance(value, list) else None)

SET_KEYS = {
    "dataset": TEXT,
    "name": TEXT,
    "rows": whole(0),
    "counts": Kind("three numbers: templates, original-task, with choices", _read_counts),
    "templates": Kind(f"{', '.join(SELECTIONS)}, or a list of template names", _read_templates),
    "exclude": TEXTS,
    "cluster": TEXT,
    "split": TEXT,
    "jsonl": TEXTS,
    "first": whole(1),
    "keep_every": whole(1),
    "leave_every": whole(2),
    "cap": whole(1),
}
MIXTURE_KEYS = {
    "version": one_of(VERSION),
    "name": TEXT,
    "include": TEXTS,
    "rule": one_of(*RULES),
    "cap": whole(1),
    "max_rate": whole(1),
    "temperature": Kind("a number above 0", _read_temperature),
    "templates": Kind(f"one of {', '.join(SELECTIONS)}", _read_selection),
    "without_templates": one_of(ERROR, LEAVE_OUT),
    "seed": whole(0),
    "examples": whole(1),
    "options": Kind("true or false", lambda value: value if isinstance(value, bool) else None),
    "exemplars": Kind(
        f"a number from 0 to {flan.MOST_EXEMPLARS}, or the fewest and the most", _read_exemplars
    ),
    "mode": one_of(*flan.MODES),
    "exclude_tasks": TEXTS,
    "related": Kind("a list of pairs of clusters", _read_pairs),
    "hold_out": TEXTS,
    "clusters": TEXTS,
    "sets": LIST,
    "valid": LIST,
    "heldout": LIST,
}


def checked(place, values, keys):
    """``values`` with every key known and every value of its kind, as read: dict.

    place: where the values stand, for messages; keys: SET_KEYS or MIXTURE_KEYS.
    Raises :class:`UserError`.

    >>> checked("mine.yaml", {"rule": "t0", "exemplars": 5}, MIXTURE_KEYS)
    {'rule': 't0', 'exemplars': (5, 5)}
    """
    if not isinstance(values, dict):
        raise UserError(f"{place}: {values!r:.60} is not a mapping of keys to values")
    result = {}
    for key, value in values.items():
        if key not in keys:
            raise UserError(f"{place}: unknown key {key!r} ({nearest(str(key), list(keys))})")
        result[key] = keys[key].read(value)
        if result[key] is None:
            raise UserError(f"{place}: {key} is {value!r:.60}, must be {keys[key].expected}")
    return result
