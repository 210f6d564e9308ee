"""What a teacher said of every prompt of a data folder, kept on disk and mapped into memory.

FOLDER/cache.json            tags: teachers, vocabulary, kind, template, data, stored, splits
FOLDER/table.npy bias.npy    (V, C) and (V,) float32: the output layer, where vectors are stored
FOLDER/<split>.vectors.npy   (N, C) float16: what the output layer is applied to at the mask
FOLDER/<split>.ids.npy       (N, k) uint16 or int32: or the k likeliest symbols, likeliest first
FOLDER/<split>.logp.npy      (N, k + 1) float16: their log probabilities, and that of all others

Vectors give the full distribution back, to rounding, at any temperature.
"""

from pathlib import Path

import numpy as np

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.files import read_json

TAGS = "cache.json"
MAKER = "fairseq-metro cache-teacher"
KINDS = VECTORS, TOP_K = "vectors", "top-k"
FILES = {VECTORS: ("vectors",), TOP_K: ("ids", "logp")}
TABLE, BIAS = "table.npy", "bias.npy"


def tags_of(stored, k, teachers, stamp):
    """What a cache is made of: dict. teachers: their hashes; stamp: the data's."""
    return {
        "stored": stored,
        "k": k,
        "teachers": list(teachers),
        **{name: stamp[name] for name in ("vocabulary", "kind", "template", "data")},
    }


class TargetRows:
    """One split's arrays, mapped; :meth:`rows` of some prompts."""

    def __init__(self, folder, split, stored):
        self._from = folder, split, stored
        self.arrays = {}
        for name in FILES[stored]:
            path = Path(folder) / f"{split}.{name}.npy"
            try:
                self.arrays[name] = np.load(path, mmap_mode="r")
            except (OSError, ValueError):
                raise UserError(f"{path}: missing or damaged; run {MAKER} again") from None

    def __reduce__(self):
        return TargetRows, self._from

    def __len__(self):
        return min(map(len, self.arrays.values()))

    def rows(self, indices):
        """Arrays by name of prompts ``indices`` (B,), copied: ids as int64, others as stored."""
        rows = {name: np.array(array[indices]) for name, array in self.arrays.items()}
        return rows | ({"ids": rows["ids"].astype(np.int64)} if "ids" in rows else {})


class TeacherCache:
    """A finished cache folder. ``stored``: "vectors" or "top-k"; ``teachers``: their hashes.

    stamp: of the data folder it is to be used with. Raises :class:`UserError` where there is none,
    or it belongs to other data, template or vocabulary.
    """

    def __init__(self, folder, stamp):
        self.folder = Path(folder)
        path = self.folder / TAGS
        if not path.is_file():
            raise UserError(f"{path}: no such file, so no finished cache; make one with {MAKER}")
        self.tags = read_json(path)
        if not isinstance(self.tags, dict) or self.tags.get("stored") not in KINDS:
            raise UserError(f"{path}: not written by {MAKER}; remove the folder")
        self.stored, self.teachers = self.tags["stored"], self.tags["teachers"]
        for name in ("vocabulary", "kind", "template", "data"):
            if self.tags[name] != stamp[name]:
                raise UserError(
                    f"{folder}: made with {name} {self.tags[name][:24]!r}, but the data has "
                    f"{stamp[name][:24]!r}; run {MAKER} for this data"
                )

    def refuse_other_teachers(self, teachers):
        """Raise :class:`UserError` unless the cache is of these, by their hashes."""
        if sorted(self.teachers) != sorted(teachers):
            given, cached = (
                ", ".join(each[:12] for each in hashes) for hashes in (teachers, self.teachers)
            )
            raise UserError(
                f"{self.folder}: a cache of teacher {cached}, but --teacher is {given}; give its "
                f"own cache, or run {MAKER} for this teacher"
            )

    def split(self, name, count):
        """The :class:`TargetRows` of a split of ``count`` prompts. Raises :class:`UserError`."""
        rows = TargetRows(self.folder, name, self.stored)
        if len(rows) != count:
            raise UserError(
                f"{self.folder}: {len(rows)} rows of {name}, but the data has {count}; run {MAKER} "
                "for this data"
            )
        return rows

    def output_layer(self):
        """(table (V, C), bias (V,)) float32 arrays, for vectors."""
        try:
            return np.load(self.folder / TABLE), np.load(self.folder / BIAS)
        except (OSError, ValueError):
            raise UserError(f"{self.folder}: {TABLE} missing or damaged; run {MAKER}") from None
