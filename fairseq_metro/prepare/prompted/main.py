"""The command ``fairseq-metro prompts``."""

import contextlib
import logging
import shutil
import sys
import time

import numpy as np

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.files import read_json, writing
from fairseq_metro.common.logs import messages_on_stderr
from fairseq_metro.data.prompted_files import MIXTURE
from fairseq_metro.prepare.folder_lock import locked, terminated_as_interrupted
from fairseq_metro.prepare.prompted import overlap
from fairseq_metro.prepare.prompted.building import Building, build_units
from fairseq_metro.prepare.prompted.folder import (
    complete_split,
    put_in_place,
    read_folder_stamp,
    recognised,
)
from fairseq_metro.prepare.prompted.plan import DROP, parser
from fairseq_metro.prepare.prompted.plan import plan as make_plan
from fairseq_metro.prepare.prompted.show import show
from fairseq_metro.prepare.prompted.trial import try_tasks
from fairseq_metro.prepare.prompted.units import all_work, file_hashes
from fairseq_metro.prompts.mixtures.mixture import TRAIN

logger = logging.getLogger(__name__)


@messages_on_stderr()
def main(argv=None):
    args = parser().parse_args(argv)
    plan = make_plan(args)
    with terminated_as_interrupted():
        if args.show is not None:
            show(plan, args.show, sys.stdout)
        else:
            build(plan)
    return 0


def build(plan):
    """Write, or complete, the data folder of a Plan; return its stamp.

    Raises :class:`UserError` for input that cannot be used, and for a ``DEST`` that cannot be
    written or was made otherwise. Until everything is there, ``DEST`` shows nothing of a split.
    """
    started = time.monotonic()
    works = all_work(plan)
    try_tasks(works)
    hashes = file_hashes(works, plan.workers)
    prints = {work.key: work.fingerprint(hashes) for work in works}
    with writing(plan.dest), locked(plan.dest):
        stamp = build_locked(plan, works, prints)
    report(plan, stamp, time.monotonic() - started)
    return stamp


def build_locked(plan, works, prints):
    """:func:`build` in a folder that no other run writes to."""
    stamp = read_folder_stamp(plan.dest)
    settings = {split: plan.settings(split) for split in plan.splits}
    if plan.overlap == DROP:
        evaluation = sorted({*plan.splits, *stamp} - {TRAIN})
        refuse_unavoided(plan, stamp, evaluation)
        settings.get(TRAIN, {})["avoids"] = ", ".join(evaluation)
    building = Building(plan.dest, settings)
    plan.vocabulary.refuse_another_in(plan.dest / "vocab")
    splits = {}
    for split in plan.splits:
        here = [work for work in works if work.unit.split == split]
        made_from = {work.unit.name: prints[work.key] for work in here}
        if recognised(plan.dest, split, stamp, settings[split], made_from):
            logger.info("%s/%s: finished already, kept", plan.dest, split)
        else:
            splits[split] = here, made_from
    building.check([work for here, _ in splits.values() for work in here], prints)
    building.folder.mkdir(exist_ok=True)
    try:
        make(plan, building, splits, prints)
        return put_in_place(plan, building, splits)
    except BaseException:
        leave_nothing_unfinished(plan, building)
        raise


def refuse_unavoided(plan, stamp, evaluation):
    """Raise :class:`UserError` where train is there already and did not avoid a new split's rows."""
    avoided = (
        stamp[TRAIN]["settings"].get("avoids", "").split(", ") if TRAIN in stamp else evaluation
    )
    for split in evaluation:
        if split not in avoided:
            raise UserError(
                f"{plan.dest}: train is there and was made without regard to the rows of {split}; "
                "build both together in another --dest, or leave out --evaluation-overlap"
            )


def make(plan, building, splits, prints):
    """Build the splits' units: evaluation first where training must know its rows."""
    works = [work for here, _ in splits.values() for work in here]
    if plan.overlap == DROP:
        evaluation = [work for work in works if work.unit.split != TRAIN]
        works = [work for work in works if work.unit.split == TRAIN]
        build_units(plan, building, evaluation, prints)
        build_units(plan, building, works, prints, evaluation_rows(plan, building, evaluation))
    else:
        build_units(plan, building, works, prints)
    for split, (here, _) in splits.items():
        complete_split(plan, building, split, here)


def evaluation_rows(plan, building, works):
    """Hashes of all evaluation rows, of this run's units and of splits that are there already."""
    there = [split for split in read_folder_stamp(plan.dest) if split != TRAIN]
    hashes = [overlap.load_hashes(plan.dest / split) for split in there]
    hashes += [building.row_hashes(work) for work in works]
    return np.unique(np.concatenate(hashes)) if hashes else np.zeros(0, np.uint64)


def leave_nothing_unfinished(plan, building):
    """After an error: finished units stay for the next run; where there are none, nothing does."""
    with contextlib.suppress(OSError):
        if not any(building.folder.glob("*.json")):
            shutil.rmtree(building.folder)
            plan.dest.rmdir()  # if nothing else is there


def report(plan, stamp, seconds):
    """Log each split's size, what each task left out, and evaluation rows found in training."""
    for split in plan.splits:
        facts = read_json(plan.dest / split / MIXTURE)
        for task in facts["tasks"]:
            lost = ", ".join(f"{n} {reason}" for reason, n in task["dropped"].items())
            if lost:
                logger.info(
                    "%s/%s: %d pairs; left out: %s", split, task["name"], task["rows"], lost
                )
        for entry in facts["sets"]:
            for sentence in entry.get("bad_rows", ()):
                logger.warning("%s/%s: %s", split, entry["name"], sentence)
            if entry.get("in_training"):
                logger.warning(
                    "%s/%s: %d of %d rows say the same as a training row",
                    split, entry["name"], entry["in_training"], entry["rows"],
                )  # fmt: skip
        known = stamp["splits"][split]
        logger.info(
            "%s/%s: %d tasks, %d pairs, %d source tokens, %d target tokens",
            plan.dest, split, known["tasks"], known["rows"], known["source_tokens"],
            known["target_tokens"],
        )  # fmt: skip
    logger.info("%s: %.1f s", plan.dest, seconds)
