"""Data sets as data: the package's ``datasets/*.yaml``, and a ``datasets.yaml`` beside the files.

A file maps names of data sets to: ``features`` (schema.py), ``rows`` (how many a split has),
``unlabelled`` (splits without labels), ``encoding``, ``hub`` (name there, where it differs),
``hub_shape``, and ``layouts``, the ways its files are distributed. A layout: ``folders`` and
``splits`` (places.py), ``format`` (readers.py), ``encoding``, ``columns`` (of a table without
header), ``delimiter``, ``short_rows: skip`` (rows that lack columns are known to be corrupt),
``rename`` (field -> field; one that begins with ``_`` is left out), ``labels`` (field -> value in
the file -> label), ``shape`` (shapes.py), ``label_files`` (split -> file of labels alone) with
``label_field``, and ``rows`` where they differ.
"""

from dataclasses import dataclass, field, fields, replace
from functools import cache
from pathlib import Path

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.yaml_files import load_yaml
from fairseq_metro.prompts.collection import nearest

OWN = Path(__file__).parent / "datasets"
BESIDE = "datasets.yaml"


@dataclass(frozen=True)
class Layout:
    """One way in which a data set's files are distributed; the fields are the module's words."""

    folders: tuple = ()
    splits: dict = field(default_factory=dict)
    format: str | None = None
    encoding: str = "utf-8"
    columns: tuple | None = None
    delimiter: str | None = None
    short_rows: str = "error"
    rename: dict = field(default_factory=dict)
    labels: dict = field(default_factory=dict)
    shape: str | None = None
    label_files: dict = field(default_factory=dict)
    label_field: str = "label"
    rows: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Description:
    """A data set as its YAML has it; ``known`` is False for one that no YAML describes."""

    name: str
    features: dict = field(default_factory=dict)
    rows: dict = field(default_factory=dict)
    unlabelled: tuple = ()
    encoding: str | None = None
    hub: str | None = None
    hub_shape: str | None = None
    layouts: tuple = ()
    known: bool = True


def descriptions(folder=None):
    """All described data sets: dict of name -> Description, those beside the data last.

    An entry of ``folder/datasets.yaml`` for a name of the package's changes the keys it gives.
    Raises :class:`UserError` for a YAML file that is not what it should be.
    """
    entries = dict(_own_entries())
    beside = Path(folder) / BESIDE if folder else None
    if beside is not None and beside.is_file():
        for name, entry in _entries(beside).items():
            entries[name] = {**entries.get(name, {}), **entry}
    return {name: _description(name, entry) for name, entry in sorted(entries.items())}


@cache
def _own_entries():
    return {
        name: entry for path in sorted(OWN.glob("*.yaml")) for name, entry in _entries(path).items()
    }


def _entries(path):
    content = load_yaml(path)
    if not isinstance(content, dict) or not all(isinstance(e, dict) for e in content.values()):
        raise UserError(f"{path}: expected names of data sets, each with its keys")
    # A name that begins with _ is a piece the others share.
    content = {name: entry for name, entry in content.items() if not str(name).startswith("_")}
    for name, entry in content.items():
        _check_keys(path, name, entry, Description, {"name", "known"})
        layouts = entry.get("layouts", [])
        if not isinstance(layouts, list) or not all(isinstance(each, dict) for each in layouts):
            raise UserError(f"{path}: {name}: layouts is {layouts!r}, must be a list of mappings")
        for layout in layouts:
            _check_keys(path, f"{name}, layouts", layout, Layout, set())
    return content


def _check_keys(path, where, entry, kind, hidden):
    known = [field.name for field in fields(kind) if field.name not in hidden]
    for key in entry:
        if key not in known:
            raise UserError(f"{path}: {where}: unknown key {key!r} ({nearest(str(key), known)})")


def _description(name, entry):
    description = Description(name, **{**entry, "layouts": ()})
    layouts = tuple(_layout(layout, description.encoding) for layout in entry.get("layouts", ()))
    return replace(description, layouts=layouts, unlabelled=tuple(description.unlabelled))


def _layout(entry, encoding):
    return Layout(**{**entry, "encoding": encoding or entry.get("encoding", "utf-8")})
