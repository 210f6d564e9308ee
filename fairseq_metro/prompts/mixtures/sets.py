"""One data set of a mixture, and the tasks that its templates or files make of it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fairseq_metro.common.errors import UserError
from fairseq_metro.prompts import Template, task_name
from fairseq_metro.prompts.collection import nearest
from fairseq_metro.prompts.mixtures.flan import NATURAL


@dataclass(frozen=True)
class MixtureSet:
    """One data set of a mixture, and which of its templates and rows take part.

    dataset: path[/subset]; name: what its tasks are called after (the data set's, unless a mixture
    has the data set twice); rows: published number of training rows, or None; counts: published
    numbers of templates, of original-task ones, of ones with answer choices (promptsource 0.2.3),
    or None; templates: "all", "original" (of the task that the data set was made for),
    "first-original" (of these the first by name) or a tuple of names; exclude: template names that do
    not take part; cluster: kind of task, or None; split: the data set's own name of the split; jsonl:
    files of ready-made {"inputs", "targets"} rows in place of data set and templates, a task each.
    first, keep_every, leave_every: which rows (``row_indices``). cap: the data set's own.
    """

    dataset: str
    name: str
    rows: int | None = None
    counts: tuple[int, int, int] | None = None
    templates: str | tuple[str, ...] = "all"
    exclude: tuple[str, ...] = ()
    cluster: str | None = None
    split: str = "train"
    jsonl: tuple[Path, ...] = ()
    first: int | None = None
    keep_every: int | None = None
    leave_every: int | None = None
    cap: int | None = None

    def row_indices(self, count):
        """Which of a split's ``count`` rows take part: ascending int64.

        The first ``first`` rows; of them rows 0, k, 2k, ... (keep_every) or all but these
        (leave_every): two parts of one file, in which every label is where the file is sorted.

        >>> MixtureSet("cr", "cr", first=7, keep_every=3).row_indices(100).tolist()
        [0, 3, 6]
        >>> MixtureSet("cr", "cr", first=7, leave_every=3).row_indices(100).tolist()
        [1, 2, 4, 5]
        """
        rows = np.arange(count if self.first is None else min(count, self.first), dtype=np.int64)
        if self.keep_every is not None:
            rows = rows[:: self.keep_every]
        if self.leave_every is not None:
            rows = rows[rows % self.leave_every != 0]
        return rows

    def chosen(self, templates):
        """The templates that take part, in the order given (list of Template).

        Raises :class:`UserError` where a name of the selection is no template, or none is left.
        """
        known = [template.name for template in templates]
        named = self.templates if isinstance(self.templates, tuple) else ()
        for name in (*named, *self.exclude):
            if name not in known:
                raise UserError(f"no template {name!r} of {self.dataset} ({nearest(name, known)})")
        if self.templates in ("original", "first-original"):
            templates = [template for template in templates if template.original_task]
        elif named:
            templates = [template for template in templates if template.name in named]
        templates = [template for template in templates if template.name not in self.exclude]
        if self.templates == "first-original":
            templates = templates[:1]
        if not templates:
            raise UserError(
                f"mixture: no template of {self.dataset} is left (templates: {self.templates!r}, "
                f"exclude: {list(self.exclude)}); choose others or leave the data set out"
            )
        return templates


@dataclass(frozen=True)
class MixtureTask:
    """A data set under one template, or a file of ready-made rows (template None, jsonl its path).

    index, of: its place among the tasks of its set, from 0, and how many these are; known: how many
    templates the data set has, chosen or not (0: as many); mode: what stands in place of the
    template's instruction (mixtures/flan.py).
    """

    name: str
    set: MixtureSet
    template: Template | None = None
    jsonl: Path | None = None
    index: int = 0
    of: int = 1
    known: int = 0
    mode: str = NATURAL

    @property
    def dataset(self):
        """The data set's name: path[/subset]."""
        return self.set.dataset

    @property
    def source(self):
        """What ``task_data.open_dataset`` opens for this task: the data set, or ``jsonl:PATH``."""
        return f"jsonl:{self.jsonl}" if self.jsonl else self.dataset


def jsonl_tasks(mixture_set):
    """A task per file of ready-made rows, named after set and file, or after the set alone."""
    names = (
        [mixture_set.name]
        if len(mixture_set.jsonl) == 1
        else [f"{mixture_set.name}_{path.stem}" for path in mixture_set.jsonl]
    )
    return [
        MixtureTask(
            task_name(name, "").rstrip("_"), mixture_set, jsonl=path, index=i, of=len(names)
        )
        for i, (name, path) in enumerate(zip(names, mixture_set.jsonl, strict=True))
    ]
