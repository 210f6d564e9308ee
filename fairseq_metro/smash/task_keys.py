"""The keys of a few-shot task file and the kind of value each requires."""

from fairseq_metro.prompts.mixtures.keys import Kind
from fairseq_metro.smash.metrics import METRICS


def _text(value):
    return value if isinstance(value, str) and value.strip() else None


def _texts(value):
    good = isinstance(value, list) and value and all(map(_text, value))
    return tuple(value) if good else None


def _whole(low):
    return Kind(
        f"a whole number from {low}",
        lambda value: value if type(value) is int and value >= low else None,
    )


def _words(value):
    good = isinstance(value, dict) and len(value) > 1 and all(map(_text, value.values()))
    return {str(label): word for label, word in value.items()} if good else None


def _interval(value):
    good = (
        isinstance(value, list) and len(value) == 2 and all(type(v) in (int, float) for v in value)
    )
    return tuple(map(float, value)) if good and value[0] < value[1] else None


def _columns(value):
    good = isinstance(value, list) and value and all(type(number) is int for number in value)
    return tuple(value) if good else None


_MAPPING = Kind("a mapping", lambda value: value if isinstance(value, dict) and value else None)
_TEXT = Kind("a text", _text)
_COLUMN = _whole(-1)
TASK_KEYS = {
    "title": _TEXT,
    "folder": _TEXT,
    "group": _TEXT,
    "splits_of": _TEXT,
    "metric": Kind(f"one of {', '.join(METRICS)}", lambda v: v if v in list(METRICS) else None),
    "template": _TEXT,
    "words": Kind("a mapping of two labels or more to words", _words),
    "interval": Kind("two numbers, the lower first", _interval),
    "max_length": _whole(8),
    "tests": _MAPPING,
    "lmbff": _MAPPING,
    "dataset": _MAPPING,
}
LMBFF_KEYS = {
    "format": Kind("tsv or csv", lambda value: value if value in ("tsv", "csv") else None),
    "text": Kind("a list of numbers of columns", _columns),
    "label": _COLUMN,
    "bucket": _COLUMN,
    "header": Kind("true or false", lambda value: value if isinstance(value, bool) else None),
    "short_rows": Kind("error or skip", lambda v: v if v in ("error", "skip") else None),
    "files": _MAPPING,
    "rows": _MAPPING,
    "lengths": _MAPPING,
}
LENGTH_KEYS = {
    "max_length": _whole(8),
    "sentences": Kind("a list of whole numbers", _columns),
}
DATASET_KEYS = {
    "name": _TEXT,
    "text": Kind("a list of fields", _texts),
    "label": _TEXT,
    "labels": Kind("a list of labels, in quotes", _texts),
    "splits": _MAPPING,
    "drawn_test": _whole(1),
}
