"""Whether two names of data sets mean the same data: one that was trained on is not held out."""

from functools import cache
from pathlib import Path

from fairseq_metro.common.yaml_files import load_yaml

_FILE = Path(__file__).with_name("same_sets.yaml")
_COLLECTIONS = ("glue/", "super_glue/")


def same_set(first, second):
    """Whether two names stand for the same data set, or for parts of it.

    >>> same_set("glue/rte", "super_glue/rte"), same_set("race/high", "race/middle")
    (True, True)
    >>> same_set("glue/rte", "glue/sst2"), same_set("my/set", "my/other")
    (False, False)
    """
    return _identity(first) == _identity(second)


def _identity(name):
    """A name that all names of a data set share."""
    for collection in _COLLECTIONS:
        name = name.removeprefix(collection)
    family = f"{name.split('/')[0]}/*"
    groups = _groups()
    return groups.get(name) or groups.get(family) or name


@cache
def _groups():
    """The first name of each name's group."""
    groups = {}
    for names in load_yaml(_FILE):
        groups |= dict.fromkeys(names, names[0])
    return groups
