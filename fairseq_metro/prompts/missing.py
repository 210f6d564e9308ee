"""Detect missing values that a template prints while it is rendered.

Jinja prints a null as ``None`` and a missing field as nothing, so a damaged row becomes a prompt that
looks whole. Inside :func:`watching`, printing a field that is null or missing is noted. A missing item
of a list is not: data sets have questions without an answer, and templates print nothing for them.
"""

from contextlib import contextmanager
from contextvars import ContextVar

from jinja2 import Undefined
from jinja2.utils import missing as _MISSING

_WATCH = ContextVar("what is watched in the rendering in progress", default=None)


class Watch:
    """The missing values that a rendering printed. fields: names of the row's fields that count;
    reason: why the row is unfit, None while it is not."""

    def __init__(self, fields):
        self.fields, self.reason = fields, None

    def note(self, reason):
        """Keep the first reason."""
        self.reason = self.reason or reason


@contextmanager
def watching(watch):
    """Note in ``watch`` what is printed within the block; None: nothing is noted."""
    token = _WATCH.set(watch)
    try:
        yield
    finally:
        _WATCH.reset(token)


class Null:
    """Stands for None in a template's variables: the same in tests and comparisons, noted in print."""

    def __init__(self, field):
        self.field = field

    def __str__(self):
        if watch := _WATCH.get():
            watch.note(f"no value in field {self.field!r}")
        return "None"

    __repr__ = __str__

    def __bool__(self):
        return False

    def __eq__(self, other):
        return other is None or isinstance(other, Null)

    def __hash__(self):
        return hash(None)


def is_none(value):
    """Jinja's test ``none``."""
    return value is None or isinstance(value, Null)


def with_nulls(row):
    """The row with a :class:`Null` for each None at its top: dict."""
    return {key: Null(key) if value is None else value for key, value in row.items()}


def inner_null(value, key):
    """A value read from inside a field, or a :class:`Null` where it is None and that is watched."""
    return Null(key) if value is None and _WATCH.get() else value


class NotedUndefined(Undefined):
    """Jinja's undefined value, noted when it is printed."""

    __slots__ = ()

    def __str__(self):
        if watch := _WATCH.get():
            owner, name = self._undefined_obj, self._undefined_name
            if isinstance(name, (Null, Undefined)):  # what a list or dict was asked for
                str(name)
            elif owner is _MISSING and name in watch.fields:
                watch.note(f"no field {name!r}")
            elif isinstance(owner, Null):
                watch.note(f"no value in field {owner.field!r}")
        return super().__str__()
