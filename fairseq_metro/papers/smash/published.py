"""The paper's tables and the published numbers of its figures, from ``published/*.yaml``."""

from functools import cache
from importlib.resources import files

import yaml

from fairseq_metro.common.errors import UserError


@cache
def _read(name):
    text = files("fairseq_metro.papers.smash").joinpath("published", name).read_text("utf-8")
    return {str(key): value for key, value in yaml.safe_load(text).items()}


def names(kind):
    """Of "tables" or "figures" what there is, as the paper numbers it: list of str.

    >>> names("tables"), names("figures")
    (['1', '2', '3'], ['2a', '2b', '3', '4'])
    """
    return list(_read(f"{kind}.yaml"))


def published(kind, number):
    """One table's or figure's entry: dict. Raises :class:`UserError` for a number there is not."""
    entries = _read(f"{kind}.yaml")
    if str(number) not in entries:
        raise UserError(
            f"the paper has no such {kind[:-1]}: {number}; there are {', '.join(entries)}"
        )
    return entries[str(number)]


def paper_values(number):
    """{(row's name, test): (mean, standard deviation or None)} of a table; a number that the paper
    does not give is left out.

    >>> paper_values(3)["SMASH", "QQP"]
    (58.0, 4.7)
    """
    entry, values = published("tables", number), {}
    for row in entry["rows"]:
        for test, value in zip(entry["tests"], row["paper"], strict=True):
            if value is not None:
                mean, *std = value if isinstance(value, list) else [value]
                values[row["name"], test] = (float(mean), float(std[0]) if std else None)
    return values
