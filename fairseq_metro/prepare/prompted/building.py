"""Units to their files: rendered by the workers, written one unit after the other, kept when done.

``DEST/.building`` holds what is being made: ``<key>.json`` says what a finished unit's files are
made from and what is in them, ``<key>.npy`` what its rows say, ``<split>/<task>/`` its files.
"""

import contextlib
import logging
import os
import shutil
from collections import Counter
from itertools import chain

import numpy as np

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.files import atomic_write, read_json, write_json
from fairseq_metro.common.sources import BadRows
from fairseq_metro.prepare.progress import Progress
from fairseq_metro.prepare.prompted.reading import jobs
from fairseq_metro.prepare.prompted.rendering import Renderer, has_choices
from fairseq_metro.prepare.prompted.trial import refuse_idle
from fairseq_metro.prepare.prompted.writing import TaskWriter
from fairseq_metro.prepare.workers import Workers
from fairseq_metro.vocabulary.characters import Characters
from fairseq_metro.vocabulary.folder import Vocabulary

logger = logging.getLogger(__name__)

BUILDING = ".building"
UNFINISHED = "unfinished"
OTHERWISE = "give another --dest, or remove it"


class Building:
    """The folder of what is being made. settings: by split, what its units are made with."""

    def __init__(self, dest, settings):
        self.folder, self.settings = dest / BUILDING, settings

    def facts(self, work):
        """The facts of a finished unit: dict, or None if it is not finished."""
        path = self.folder / f"{work.key}.json"
        return read_json(path) if path.exists() else None

    def row_hashes(self, work):
        """Hashes of the text of a finished unit's rows: (rows,) uint64."""
        return np.load(self.folder / f"{work.key}.npy")

    def check(self, works, prints):
        """Raise :class:`UserError` if the source of a finished unit has changed."""
        for work in works:
            facts = self.facts(work)
            if facts is not None:
                where = f"{self.folder.parent}: {work.unit.split}"
                refuse_other(where, facts["settings"], self.settings[work.unit.split])
                refuse_other(f"{where}: {work.unit.name}", facts["made from"], prints[work.key])

    def keep(self, work, made_from, facts, hashes):
        """Put a unit's finished task folders in place; its facts last."""
        with atomic_write(self.folder / f"{work.key}.npy", "wb") as stream:
            np.save(stream, hashes)
        place = self.folder / work.unit.split
        place.mkdir(exist_ok=True)
        for task in work.unit.tasks:
            shutil.rmtree(place / task.name, ignore_errors=True)  # of a run killed right here
            os.replace(self.folder / UNFINISHED / task.name, place / task.name)
        whole = {"settings": self.settings[work.unit.split], "made from": made_from, **facts}
        write_json(self.folder / f"{work.key}.json", whole)


def refuse_other(where, was, expected):
    """Raise :class:`UserError` naming the first entry in which two dicts differ."""
    for key, value in expected.items():
        before = was.get(key)
        if before != value:
            if any(isinstance(x, (list, dict)) or len(str(x)) > 40 for x in (before, value)):
                raise UserError(f"{where} was made with other {key}; {OTHERWISE}")
            words = ["none" if x is None else x for x in (before, value)]
            raise UserError(f"{where} was made with {key} {words[0]}, not {words[1]}; {OTHERWISE}")


def build_units(plan, building, works, prints, avoid=None):
    """Make the units that are not finished. avoid: hashes of rows that training leaves out.

    works: list of Work; prints: their fingerprints by key. Raises :class:`UserError`.
    """
    todo = [work for work in works if building.facts(work) is None]
    for work in works:
        if work not in todo:
            logger.info("%s/%s: finished already, kept", work.unit.split, work.unit.name)
    if not todo:
        return
    units = [work.unit for work in todo]
    amounts = Amounts(todo, plan.max_bad_rows)
    progress = Progress(amounts)
    set_up = (units, str(plan.vocabulary.path), avoid)
    with Workers(min(plan.workers, len(units) * 64), _set_up, set_up, _render) as workers:
        rendered = workers.map(chain.from_iterable(map(amounts.jobs, range(len(todo)))))
        with contextlib.closing(rendered):
            current = None
            try:
                for result in rendered:
                    if current is None or result.unit != current.number:
                        if current is not None:
                            current.finish(building, prints, amounts)
                        current = UnitWriter(building, todo[result.unit], result.unit, plan)
                    current.write(result)
                    amounts.add(result)
                    progress.show(current.name, result.tokens)
                current.finish(building, prints, amounts)
            except BaseException:
                if current is not None:
                    current.abandon()
                raise
    progress.close()


_state: dict = {}


def _set_up(units, vocabulary_folder, avoid):
    _state["render"] = Renderer(units, Vocabulary.load(vocabulary_folder), avoid)


def _render(job):
    return _state["render"](job)


class Amounts:
    """How much there is to read and how much has been read, for the progress line.

    bad_rows: the BadRows of each unit's files.
    """

    def __init__(self, works, max_bad_rows):
        self._works = works
        self.bad_rows = [BadRows(max_bad_rows) for _ in works]
        self._sizes = [sum(os.path.getsize(p) for p in work.source.files()) for work in works]
        self._rows = [None] * len(works)  # that take part, where that had to be counted
        self.finished, self._here = 0, 0.0

    def jobs(self, number):
        """The jobs of a unit; what it reads is settled when its turn comes."""
        work = self._works[number]
        self._rows[number], positions = work.selected_rows()
        bad_rows = self.bad_rows[number]
        yield from jobs(number, work.source, positions, len(work.unit.tasks), bad_rows)
        bad_rows.end_of_file()  # of rows drawn, the file's end was not met

    def rows(self, number, seen):
        """How many rows of a unit take part: counted before, or all that were seen."""
        return seen if self._rows[number] is None else self._rows[number]

    def add(self, result):
        """Count a result's rows."""
        if total := self._rows[result.unit] or self._works[result.unit].unit.tasks[0].set.rows:
            self._here += result.rows / total * self._sizes[result.unit]

    def finish(self, number):
        """Count a unit as read."""
        self.finished += self._sizes[number]
        self._here = 0.0

    @property
    def bytes(self):
        """Bytes of files read, about."""
        return self.finished + self._here

    @property
    def done(self):
        """Share of all bytes, or None where there are no files."""
        return min(1.0, self.bytes / sum(self._sizes)) if sum(self._sizes) else None


class UnitWriter:
    """Writes a unit's task folders into ``unfinished`` and hands them over when all is there."""

    def __init__(self, building, work, number, plan):
        self.work, self.number = work, number
        self.name = f"{work.unit.split}/{work.unit.name}"
        self._folder = building.folder / UNFINISHED
        shutil.rmtree(self._folder, ignore_errors=True)
        self._writers = []
        for task in work.unit.tasks:
            folder, size = self._folder / task.name, len(plan.vocabulary)
            self._writers.append(
                TaskWriter(folder, work.unit.split, size, has_choices(work.unit, task))
            )
        self._bad_rows = [BadRows(plan.max_bad_rows) for _ in work.unit.tasks]
        self._hashes, self._rows = [], 0
        self._characters, self._allow_unknown = Characters(), plan.allow_unknown

    def write(self, result):
        """Add what became of a job. Raises :class:`UserError` for too many bad rows."""
        for writer, pairs, dropped, unmatched, bad, counts in zip(
            self._writers, result.pairs, result.dropped, result.unmatched, result.bad,
            self._bad_rows, strict=True,
        ):  # fmt: skip
            counts.good(len(pairs.source.sizes) + sum(dropped.values()))
            for problem in bad:
                counts.add(problem.reason, str(problem), of_file=problem.of_file)
            self._characters += pairs.characters
            writer.write(pairs, dropped + Counter(problem.reason for problem in bad), unmatched)
        self._hashes.append(result.hashes)
        self._rows += result.rows

    def finish(self, building, prints, amounts):
        """Close the files, put them in place, log what was left out."""
        for counts in self._bad_rows:
            counts.end_of_file()
        self._characters.refuse(self.name, self._allow_unknown)
        facts = [writer.close() for writer in self._writers]
        rows = amounts.rows(self.number, self._rows)
        tasks = self.work.unit.tasks
        for task, fact in zip(tasks, facts, strict=True):
            if not fact["rows"]:
                refuse_idle(self.work, task, fact["dropped"])
        known = {"rows": rows, "tasks": {t.name: f for t, f in zip(tasks, facts, strict=True)}}
        counted = (amounts.bad_rows[self.number], *self._bad_rows)
        known["bad_rows"] = [sentence for counts in counted for sentence in counts.summary()]
        made_from = prints[self.work.key]
        building.keep(self.work, made_from, known, np.concatenate(self._hashes))
        amounts.finish(self.number)
        pairs = sum(fact["rows"] for fact in facts)
        logger.info("%s: %d rows, %d tasks, %d pairs", self.name, rows, len(tasks), pairs)
        self._characters.report(self.name, logger)

    def abandon(self):
        """Leave nothing of an unfinished unit."""
        for writer in self._writers:
            with contextlib.suppress(OSError, ValueError):
                writer.abandon()
        shutil.rmtree(self._folder, ignore_errors=True)
