"""Refuse templates that cannot work: unknown fields, or no pair for any row."""

from collections.abc import Mapping

from fairseq_metro.common.errors import UserError, shown_names
from fairseq_metro.prompts.collection import nearest
from fairseq_metro.prompts.template import SEPARATOR

# Rows that are looked at for a field before it counts as missing.
ROWS_SEARCHED = 100_000


def refuse_unusable(template):
    """Raise :class:`UserError` for a template that gives no pair whatever the row."""
    if SEPARATOR not in template.jinja:
        raise UserError(
            f"{template}: no '{SEPARATOR}' in it, so no row gives a target; write the input, "
            f"'{SEPARATOR}', and the target"
        )
    if template.fixed_choices is not None and len(template.fixed_choices) < 2:
        raise UserError(
            f"{template}: answer_choices is {template.answer_choices!r}, a single choice; separate "
            f"the choices by '{SEPARATOR}'"
        )


def refuse_missing_fields(templates, rows, place):
    """Raise :class:`UserError` for the first field that no row has. place: of the rows, in words."""
    search = FieldSearch(templates)
    for row in rows:
        if search.satisfied:
            break
        search.look(row)
    search.check(place)


def has_path(row, path):
    """Whether a row has a field: True, False, or None where a value on its way is null.

    >>> row = {"question": {"stem": "Why?"}, "answer": None}
    >>> has_path(row, ("question", "stem")), has_path(row, ("question", "stemm"))
    (True, False)
    >>> has_path(row, ("answer", "text")) is None
    True
    """
    value = row
    for key in path:
        if value is None:
            return None
        if isinstance(value, Mapping) and key in value:
            value = value[key]
        elif value is row:
            return False
        else:
            return hasattr(value, key)  # a method, such as `items`
    return True


class FieldSearch:
    """Searches rows for the fields that templates read, until all have been seen.

    templates: list of Template. Call :meth:`look` with rows until ``satisfied``, then :meth:`check`.
    """

    def __init__(self, templates):
        self._wanted = {
            (template, path): False for template in templates for path in template.fields
        }  # False: not found; None: met as null alone
        self._rows, self._fields = 0, {}

    @property
    def satisfied(self):
        """Whether all fields have been seen."""
        return not self._wanted or self._rows >= ROWS_SEARCHED

    def look(self, row):
        """Record the fields of a row."""
        self._rows += 1
        row = {key.replace("-", "_"): value for key, value in row.items()}
        self._fields |= dict.fromkeys(row)
        for field in list(self._wanted):
            present = has_path(row, field[1])
            if present:
                del self._wanted[field]
            elif present is None:
                self._wanted[field] = None
            else:
                self._note_inner_fields(row, field[1])

    def _note_inner_fields(self, row, path):
        """Remember what stands beside a missing inner field."""
        value = row
        for length, key in enumerate(path):
            if not isinstance(value, Mapping):
                return
            if length:
                inner = ((".".join((*path[:length], str(name)))) for name in value)
                self._fields |= dict.fromkeys(inner)
            value = value.get(key)

    def check(self, place):
        """Raise :class:`UserError` for the first field that no row has. place: of the rows."""
        for (template, path), present in self._wanted.items():
            if present is None or not self._rows:
                continue
            name = ".".join(path)
            known = [field for field in self._fields if field != name]
            fields = shown_names(field for field in sorted(known) if "." not in field)
            raise UserError(
                f"{place}: row 1: {template}: {name!r} is no field of this row, nor of any other "
                f"({nearest(name, known)}; the fields: {fields}); correct the name, or write "
                f"{{% if {name} is defined %}} where rows may lack it"
            )
