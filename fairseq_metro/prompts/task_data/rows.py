"""One record on its way to a row: names, shape, types; errors name the record's place."""

from fairseq_metro.common.errors import UserError, shown_names
from fairseq_metro.prompts.task_data.bad_row import BadRow
from fairseq_metro.prompts.task_data.schema import conform
from fairseq_metro.prompts.task_data.shapes import find_shape


def renamed(record, names):
    """Fields under their final names: hyphens become ``_``; a name that begins so is left out.

    >>> renamed({"a-b": 1, "x": 2, "_no": 3}, {"x": "y"})
    {'a_b': 1, 'y': 2}
    """
    row = {}
    for field, value in record.items():
        name = names.get(field, str(field).replace("-", "_"))
        if not name.startswith("_"):
            row[name] = value
    return row


def reshaped(row, shape, path, where):
    """Iterate over the rows a shape makes of one (the row itself for None).

    where: callable that names the row's place. Raises :class:`BadRow` for a row of another form.
    """
    if shape is None:
        yield row
        return
    try:
        yield from find_shape(shape)(row, path)
    except UserError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise BadRow(
            f"{where()}: a row is not as this data set is distributed ({type(error).__name__}: "
            f"{error}); its fields: {shown_names(row)}",
            "of another form",
        ) from None


def finished(row, description, labels, where):
    """The row in its schema; of a set that no YAML describes, a row whose label is one.

    labels: dict of field -> {value in the file: label}. Raises :class:`BadRow`.
    """
    if description.features:
        return conform(row, description.features, labels, where)
    label = row.get("label", 0)
    if label is None or (isinstance(label, int | str) and label in (-1, "-1", "")):
        raise BadRow(
            f"{where()} has no label (label: {label!r}); use a split that has labels",
            "without a label",
        )
    if isinstance(label, str) and label.isdecimal():
        row = {**row, "label": int(label)}
    return row
