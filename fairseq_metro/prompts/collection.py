"""Where templates are found: an installed promptsource, folders, files, the package's own."""

import difflib
import importlib.util
import os
from functools import partial
from pathlib import Path

from fairseq_metro.common.errors import UserError, shown_names
from fairseq_metro.prompts.reading import read_templates

FILE_NAME = "templates.yaml"
OWN = "own"
PROMPTSOURCE = "promptsource"


class MissingTemplates(UserError):
    """No source of templates has any of a data set."""


def nearest(name, known):
    """Words for an error about an unknown name: the known ones most like it, in any case of letters,
    and never the name itself.

    >>> nearest("super_glue/rt", ["super_glue/rte", "imdb"]), nearest("SST2", ["sst2", "mr"])
    ('nearest: super_glue/rte', 'nearest: sst2')
    >>> nearest("x", ["imdb"]), nearest("x", ["x"])
    ('1 other is known', 'no other is known')
    """
    others = [other for other in dict.fromkeys(map(str, known)) if other != name]
    by_letters = {}
    for other in others:
        by_letters.setdefault(other.casefold(), []).append(other)
    alike = difflib.get_close_matches(name.casefold(), by_letters, n=3, cutoff=0.5)
    names = [other for letters in alike for other in by_letters[letters]][:3]
    if names:
        return f"nearest: {shown_names(names)}"
    if len(others) == 1:
        return "1 other is known"
    return f"{len(others)} others are known" if others else "no other is known"


def promptsource_folder():
    """Folder of an installed promptsource's templates, or None; found without importing it."""
    spec = importlib.util.find_spec(PROMPTSOURCE)
    for place in (spec.submodule_search_locations or ()) if spec else ():
        if (folder := Path(place) / "templates").is_dir():
            return folder
    return None


class Templates:
    """Templates by data set; a data set's file is read when it is first asked for.

    readers: a function without arguments for each data set, giving its templates sorted by name.
    """

    def __init__(self, readers):
        self._readers = dict(sorted(readers.items()))
        self._read = {}

    def dataset_names(self):
        """All data sets that have templates, sorted: list of str."""
        return list(self._readers)

    def of(self, dataset):
        """A data set's templates, sorted by name: list of Template.

        Raises :class:`MissingTemplates` where there are none.
        """
        if dataset not in self._read:
            if dataset not in self._readers:
                raise MissingTemplates(self._unknown(dataset))
            self._read[dataset] = self._readers[dataset]()
        return list(self._read[dataset])

    def get(self, dataset, name):
        """One template. Raises :class:`UserError` with the nearest names."""
        known = {template.name: template for template in self.of(dataset)}
        if name not in known:
            raise UserError(f"no template {name!r} of {dataset} ({nearest(name, known)})")
        return known[name]

    def _unknown(self, dataset):
        message = f"no templates of data set {dataset!r} ({nearest(dataset, self._readers)})"
        if promptsource_folder() is None:
            message += (
                "; promptsource is not installed: pip install --no-deps --ignore-requires-python "
                "promptsource==0.2.3, or name a folder of its templates"
            )
        return message


def _tree_readers(folder):
    """Readers of all data sets below a folder; their names are the paths of their files."""
    for inside in ("promptsource/templates", "templates"):
        if (folder / inside).is_dir():
            folder = folder / inside
            break
    readers = {}
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if FILE_NAME in files:
            path = Path(place) / FILE_NAME
            dataset = path.parent.relative_to(folder).as_posix()
            readers |= _file_reader(path) if dataset == "." else _reader(path, dataset)
    return readers


def _reader(path, dataset):
    return {dataset: partial(_templates_of, path, dataset)}


def _templates_of(path, dataset):
    return read_templates(path, dataset)[1]


def _file_reader(path):
    dataset, _ = read_templates(path)
    return _reader(path, dataset)


def _source_readers(source):
    if source == OWN:
        return _tree_readers(Path(__file__).parent / "own")
    if source == PROMPTSOURCE:
        folder = promptsource_folder()
        if folder is None:
            raise UserError(
                "promptsource is not installed: pip install --no-deps --ignore-requires-python "
                "promptsource==0.2.3, or name a folder of its templates"
            )
        return _tree_readers(folder)
    path = Path(source)
    readers = _tree_readers(path) if path.is_dir() else _file_reader(path)
    if not readers:
        raise UserError(
            f"{path}: no {FILE_NAME} in this folder or below; name a folder of templates"
        )
    return readers


def find_templates(source=None):
    """Templates from a source, or from several of which the last that has a data set gives it.

    source: None (an installed promptsource, and the package's own), a folder laid out as
    promptsource's, a YAML file, the words ``promptsource`` and ``own``, or a list of these.
    Raises :class:`UserError`.
    """
    if source is None:
        source = [PROMPTSOURCE, OWN] if promptsource_folder() else [OWN]
    sources = source if isinstance(source, (list, tuple)) else [source]
    readers = {}
    for entry in sources:
        readers |= _source_readers(entry)
    return Templates(readers)
