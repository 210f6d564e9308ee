"""What a data set's rows hold: ``features`` of its YAML, and values brought to their types.

A type is ``string``, ``int``, ``float``, ``bool`` or ``any``; ``[type]`` for a list; a mapping of
fields for a nested row; and for labels ``{classes: [names]}`` (an integer that counts the names, as
ClassLabel of Hugging Face), ``{strings: [values]}`` or ``{ints: [values]}``. A label may not be
missing: not absent, None, empty, nor -1.
"""

import json

from fairseq_metro.common.errors import shown_names
from fairseq_metro.prompts.task_data.bad_row import BadRow

LABEL_KINDS = ("classes", "strings", "ints")
_SCALARS = {"int": int, "float": float}
_WORDS = {"true": True, "false": False}


def is_label(feature):
    """Whether a feature is a label: one of listed values."""
    return isinstance(feature, dict) and len(feature) == 1 and next(iter(feature)) in LABEL_KINDS


def conform(row, features, labels, where):
    """The row with every feature's value in its type; other fields stay as they are.

    features: dict of field -> type. labels: dict of field -> {value in the file: label}.
    where: callable that names the row's place for an error. Raises :class:`BadRow`.
    """
    shaped = dict(row)
    for field, feature in features.items():
        if is_label(feature):
            shaped[field] = _label(row.get(field), field, feature, labels.get(field, {}), where)
        elif row.get(field) is None and feature != "any":
            raise _missing(row, field, where)
        else:
            shaped[field] = _value(row.get(field), feature, field, where)
    return shaped


def _missing(row, field, where):
    """The :class:`BadRow` of a field that is not there, or that is null."""
    if field in row:
        return BadRow(f"{where()}: field {field!r} is null", f"null in {field!r}")
    has = shown_names(sorted(map(str, row)))
    return BadRow(f"{where()} has no field {field!r} (it has: {has})", f"without {field!r}")


def _label(value, field, feature, mapping, where):
    kind, known = next(iter(feature.items()))
    if isinstance(value, bool):
        value = str(value).lower() if value not in mapping else value
    if value is None or value == "" or (value in (-1, "-1") and value not in mapping):
        raise BadRow(
            f"{where()} has no label (field {field!r}: {value!r}); use a split that has labels",
            "without a label",
        )
    if isinstance(value, str | int) and value in mapping:
        return mapping[value]
    label = _among(value, kind, known)
    if label is None:
        expected = ", ".join(map(str, [*mapping, *known]))
        raise BadRow(
            f"{where()}: label {value!r} of field {field!r} is none of {expected}; mend the row, "
            "or add the value to `labels:` in datasets.yaml beside the data",
            "with an unknown label",
        )
    return label


def _among(value, kind, known):
    """The label that a file's value means without a mapping, or None."""
    if kind == "strings":
        return str(value) if str(value) in known else None
    if kind == "classes" and value in known:
        return known.index(value)
    whole = _as_int(value)
    inside = whole in known if kind == "ints" else whole is not None and 0 <= whole < len(known)
    return whole if inside else None


def _as_int(value):
    if isinstance(value, int):
        return int(value)
    text = str(value).strip().lower()
    if text in _WORDS:
        return int(_WORDS[text])
    return int(text) if text.isdecimal() else None


def _value(value, feature, field, where):
    if feature == "any":
        return value
    if isinstance(feature, list):
        return _list(value, feature[0], field, where)
    if isinstance(feature, dict):
        value = _from_cell(value)
        if not isinstance(value, dict):
            raise _wrong(value, field, "an object", where)
        return conform(value, feature, {}, where)
    if feature == "string":
        if isinstance(value, str):
            return value
        if isinstance(value, int | float) and not isinstance(value, bool):
            return str(value)
        raise _wrong(value, field, "a text", where)
    if feature == "bool":
        return _bool(value, field, where)
    try:
        number = _SCALARS[feature](value)
        if isinstance(value, float) and number != value:
            raise ValueError
        return number
    except (TypeError, ValueError):
        raise _wrong(value, field, f"of type {feature}", where) from None


def _bool(value, field, where):
    known = {**_WORDS, "0": False, "1": True}
    if (text := str(value).lower()) not in known:
        raise _wrong(value, field, "true or false", where)
    return known[text]


def _from_cell(value):
    """A table's cell that holds JSON, read; any other value as it is."""
    try:
        return json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        return value


def _list(value, inner, field, where):
    value = _from_cell(value)
    if not isinstance(value, list | tuple):
        raise _wrong(value, field, "a list", where)
    return [_value(item, inner, field, where) for item in value]


def _wrong(value, field, expected, where):
    return BadRow(
        f"{where()}: field {field!r} ({str(value)[:40]!r}) is not {expected}",
        f"{field!r} not {expected}",
    )
