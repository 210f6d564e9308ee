"""Hugging Face ``datasets``, where it is installed and reaches the hub; imported when first used."""

from functools import partial
from pathlib import Path

from fairseq_metro.common.errors import UserError
from fairseq_metro.prompts.task_data.bad_row import BadRow, good_rows
from fairseq_metro.prompts.task_data.dataset import Data
from fairseq_metro.prompts.task_data.rows import finished, renamed, reshaped

REMEDY = "put its files below the folder of task data, which needs no hub"


def open_on_hub(description):
    """A data set of the hub: :class:`HubData`. Raises :class:`UserError` that names the remedy.

    Its name is ``path/subset`` or ``path``; ``hub: [path, subset]`` in its YAML says otherwise.
    """
    try:
        from datasets import load_dataset
    except ImportError:
        raise UserError(
            f"{description.name}: `datasets` is not installed: pip install datasets, or {REMEDY}"
        ) from None
    path, subset = description.hub or [*description.name.split("/", 1), None][:2]
    try:
        loaded = load_dataset(path, subset)
    except Exception as error:  # the library raises its own, the network's, and plain ones
        first = (str(error).splitlines() or [""])[0][:200]
        raise UserError(
            f"{description.name}: not loaded from the hub ({type(error).__name__}: {first}); {REMEDY}"
        ) from None
    return HubData(description, dict(loaded))


class HubData(Data):
    """A data set of the hub, used as :class:`TaskData`; ``found``: dict of split -> its table."""

    def files(self, split):
        """Files in which the library keeps a split, for hashing: list of Path."""
        return [Path(file["filename"]) for file in self._split(split).cache_files]

    def count(self, split):
        """How many rows a split has."""
        return len(self._split(split))

    def rows(self, split, start=0, stop=None, bad_rows=None):
        """Iterate over rows ``start`` to ``stop`` of a split, as :class:`TaskData` does."""
        return good_rows(self._rows(self._split(split), split, start, stop), bad_rows)

    def _rows(self, table, split, start, stop):
        stop = len(table) if stop is None else min(stop, len(table))
        for index in range(start, stop):
            where = partial("{}, split {}: row {}".format, self.name, split, index)
            row = renamed(table[index], {})
            try:
                shaped = reshaped(row, self._description.hub_shape, None, where)
                yield from [
                    finished(shaped_row, self._description, {}, where) for shaped_row in shaped
                ]
            except BadRow as bad:
                yield bad
