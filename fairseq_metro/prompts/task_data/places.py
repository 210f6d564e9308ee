"""Where a data set's files are: names tried below a folder, in any case, packed or not."""

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.sources.kinds import unpacked_name
from fairseq_metro.prompts.task_data.catalogue import Layout
from fairseq_metro.prompts.task_data.readers import format_inside, format_of

# Names of files for the usual splits; any other file's split is its name.
SPLITS = {"train": "train", "training": "train", "test": "test", "validation": "validation"}
SPLITS |= dict.fromkeys(("valid", "val", "dev"), "validation")
PACKED = ("", ".gz", ".bz2", ".xz", ".zst", ".zip")  # endings that a file may have besides
_SHARD = re.compile(r"-\d+-of-\d+$")


@dataclass(frozen=True)
class Place:
    """A split's files in order, and how they are laid out.

    label_file: a file with a label for each row, where labels lie apart.
    """

    files: tuple
    layout: Layout
    label_file: Path | None = None


def find_splits(description, folder):
    """Splits of a data set below a folder: dict of name -> Place, empty where there is nothing.

    The first layout of which a file is there counts; splits it lacks may lie beside it as
    ``<name>/<split>.{jsonl,json,csv,tsv,parquet}``, the way for every data set. Raises
    :class:`UserError` where a split lies there in two formats.
    """
    splits = {}
    for layout in description.layouts:
        if splits := _of_layout(layout, folder):
            break
    return _general(description, folder, splits) | splits


def looked_for(description, folder):
    """Words for an error: what was looked for, below which folder."""
    names = [
        f"{name}/{_patterns(files)[0]}"
        for layout in description.layouts
        for name in layout.folders[:1]
        for files in list(layout.splits.values())[:1]
    ]
    names.append(f"{description.name}/train.{{jsonl,json,csv,tsv,parquet}}")
    return f"{folder}: no file of any split, such as {' or '.join(names)}"


def match(folder, pattern):
    """Files or folders that a relative pattern names, sorted: exact names first, then any case."""
    matches = [folder]
    for part in Path(pattern).parts:
        matches = [entry for folder_above in matches for entry in _entries(folder_above, part)]
    return matches


def _entries(folder, part):
    if not folder.is_dir():
        return []
    if (folder / part).exists():
        return [folder / part]
    return sorted(
        entry for entry in folder.iterdir() if fnmatchcase(entry.name.lower(), part.lower())
    )


def _patterns(files):
    return [files] if isinstance(files, str) else files


def _of_layout(layout, folder):
    for name in layout.folders:
        for place in match(folder, name):
            if splits := _in_folder(layout, place):
                return splits
    return {}


def _in_folder(layout, folder):
    splits = {}
    for split, files in layout.splits.items():
        if paths := _first(folder, _patterns(files)):
            labels = _first(folder, _patterns(layout.label_files.get(split, ())))
            splits[split] = Place(tuple(paths), layout, labels[0] if labels else None)
    return splits


def _first(folder, patterns):
    for pattern in patterns:
        for ending in PACKED:
            if paths := [path for path in match(folder, pattern + ending) if path.is_file()]:
                return paths if "*" in pattern else paths[:1]
    return None


def _general(description, folder, others):
    """Files ``<name>/<split>.<format>``, and parquet's ``<split>-00000-of-00002.parquet``.

    Beside ``others``, splits of a layout, only what they lack of the usual or published splits.
    """
    needed = {*SPLITS.values(), *description.rows} - set(others) if others else None
    encoding = description.encoding or "utf-8"
    layout = Layout(shape=description.hub_shape, encoding=encoding)
    splits = {}
    for place in match(folder, description.name):
        for path in sorted(place.iterdir()) if place.is_dir() else ():
            if path.is_file() and not path.name.startswith(".") and _holds_rows(path):
                splits.setdefault(_split_of(path), []).append(path)
    splits = {split: paths for split, paths in splits.items() if needed is None or split in needed}
    for split, paths in splits.items():
        if len(paths) > 1 and not all(_SHARD.search(_stem(path)) for path in paths):
            names = ", ".join(path.name for path in paths)
            raise UserError(f"{paths[0].parent}: split {split} is there more than once: {names}")
    return {split: Place(tuple(paths), layout) for split, paths in splits.items()}


def _holds_rows(path):
    """Whether a file is one of rows: by its name, or, of a usual split's, by its content."""
    named = _split_of(path) in SPLITS.values()
    return format_of(path) is not None or (named and format_inside(path) is not None)


def _stem(path):
    return unpacked_name(path.name).rsplit(".", 1)[0]


def _split_of(path):
    name = _SHARD.sub("", _stem(path))
    return SPLITS.get(name.lower(), name)


def ready_made_splits(path):
    """Files of ready-made rows: dict of split -> file, of a folder or (as ``train``) of one file."""
    if path.is_file():
        return {"train": path}
    files = sorted(path.iterdir()) if path.is_dir() else ()
    return {_split_of(file): file for file in files if file.is_file() and _holds_rows(file)}
