"""Limits on the size of a template's operations, which otherwise could exhaust the memory."""

import re
from functools import wraps

from jinja2.exceptions import SecurityError

LONGEST = 1_000_000  # characters, items or bits
LONGEST_SEPARATOR = 1000  # between as many items as a range may have
_DIGITS = re.compile(r"\d{6,}")
_WIDTH_ELSEWHERE = re.compile(r"%[^a-zA-Z%]*\*|:[^}]*\{")  # `%*d`, `{:{}}`


def refuse_beyond(size, what):
    """Raise jinja2's SecurityError for a size above the limit."""
    if size > LONGEST:
        raise SecurityError(f"{what} of size {size} is too large (at most {LONGEST})")


def _length(value):
    return len(value) if hasattr(value, "__len__") else 0


def _check_integers(what, arguments):
    for value in arguments:
        if isinstance(value, int):
            refuse_beyond(value, what)


def check_format(text):
    """Refuse a format, of ``%`` or ``str.format``, with enormous widths or widths to be filled in."""
    for digits in _DIGITS.findall(text):
        refuse_beyond(int(digits[:9]), "a width")
    if _WIDTH_ELSEWHERE.search(text):
        raise SecurityError(f"the format {text[:40]!r} takes a width from its arguments")


def check_operator(operator, left, right):
    """Refuse a product, power or ``%`` format with an enormous result."""
    if operator == "**":
        if isinstance(left, int) and isinstance(right, int):
            refuse_beyond(left.bit_length() * right, "a power")
    elif operator == "*":
        for sequence, times in ((left, right), (right, left)):
            if isinstance(times, int):
                refuse_beyond(_length(sequence) * times, "a repetition")
        if isinstance(left, int) and isinstance(right, int):
            refuse_beyond(left.bit_length() + right.bit_length(), "a product")
    elif isinstance(left, (str, bytes)):
        check_format(left if isinstance(left, str) else left.decode("latin-1"))


def check_replacement(text, old, new):
    """Refuse to replace what occurs often by what is long."""
    refuse_beyond(text.count(old) * _length(new), "a replacement")


def check_separator(separator):
    """Refuse a separator of more than 1,000 characters."""
    if _length(separator) > LONGEST_SEPARATOR:
        raise SecurityError(f"a separator of {_length(separator)} characters is too long")


def check_method(owner, name, arguments):
    """Refuse a method of a text, number or list whose result would be enormous."""
    if name in ("ljust", "rjust", "center", "zfill", "to_bytes"):
        _check_integers(f"{name}()", arguments)
    elif name == "expandtabs":
        refuse_beyond(owner.count("\t") * next(iter(arguments), 8), "expandtabs()")
    elif name == "replace" and len(arguments) >= 2:
        check_replacement(owner, *arguments[:2])
    elif name == "join":
        check_separator(owner)
    elif name == "extend" and arguments:
        refuse_beyond(_length(owner) + _length(arguments[0]), "extend()")


def bounded(check, function):
    """A filter that calls ``check`` with its own arguments first.

    ``wraps`` keeps Jinja's mark of what the filter is given before the value.
    """

    @wraps(function)
    def bounded_filter(*args, **kwargs):
        check(*args, **kwargs)
        return function(*args, **kwargs)

    return bounded_filter


def check_counts(*args, **kwargs):
    """Refuse enormous numbers, for filters that take widths and counts."""
    _check_integers("a width or count", (*args, *kwargs.values()))
