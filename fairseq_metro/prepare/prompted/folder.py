"""Finished units to a data folder: each split renamed into place as a whole, the stamp last."""

import hashlib
import os
import shutil
from collections import Counter
from dataclasses import replace

import numpy as np

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.files import atomic_write, read_json, write_json
from fairseq_metro.common.stamp import make_stamp
from fairseq_metro.data.prompted_files import CAPS, MIXTURE, STAMP, open_split
from fairseq_metro.prepare.prompted import overlap
from fairseq_metro.prepare.prompted.building import OTHERWISE, refuse_other
from fairseq_metro.prompts.mixtures.mixture import HELDOUT, TRAIN, VALID
from fairseq_metro.vocabulary.folder import DICTIONARY, VOCAB_FOLDER

ORDER = (TRAIN, VALID, HELDOUT)


def read_folder_stamp(dest):
    """The stamp's splits (dict), empty where there is none yet. Raises :class:`UserError`."""
    path = dest / STAMP
    if not path.exists():
        return {}
    stamp = read_json(path)
    if not isinstance(stamp, dict) or not isinstance(stamp.get("splits"), dict):
        raise UserError(f"{path}: not a stamp of fairseq-metro prompts; {OTHERWISE}")
    return stamp["splits"]


def recognised(dest, split, stamp, settings, made_from):
    """Whether a split is there as it would be made now; its files are opened and checked.

    Raises :class:`UserError` where it was made from something else, or is damaged.
    """
    if split not in stamp:
        return False
    refuse_other(f"{dest}: {split}", stamp[split]["settings"], settings)
    was = stamp[split]["made from"]
    for name, value in made_from.items():
        if name not in was:
            raise UserError(f"{dest}: {split} was made without {name}; {OTHERWISE}")
        refuse_other(f"{dest}: {split}: {name}", was[name], value)
    if list(was) != list(made_from):
        raise UserError(f"{dest}: {split} was made with more data sets, or in another order")
    open_split(dest, split)
    return True


def complete_split(plan, building, split, works):
    """Write what concerns a split's tasks together, next to their folders."""
    folder = building.folder / split
    if not folder.is_dir():
        return  # a run killed after the renaming below left the rest done
    facts = [building.facts(work) for work in works]
    mixture, tasks = works[0].unit.mixture, [task for work in works for task in work.unit.tasks]
    known = {name: fact for entry in facts for name, fact in entry["tasks"].items()}
    if split == TRAIN:
        rows = {
            work.unit.tasks[0].name if work.unit.tasks[0].jsonl else work.unit.tasks[0].set.name:
            fact["rows"] for work, fact in zip(works, facts, strict=True)
        }  # fmt: skip
        caps, rates = mixture.caps_and_rates(rows, list(map(_whole_set, tasks)))
    else:
        caps = {name: max(1, fact["rows"]) for name, fact in known.items()}
        rates = {name: float(fact["rows"]) for name, fact in known.items()}
    entries = [_entry(task, known[task.name], caps, rates) for task in tasks]
    whole = {"rule": mixture.rule, "mixture": mixture.name, "seed": plan.seed,
             "examples": mixture.examples, "drop_rules": works[0].unit.rules.name,
             "sets": [_set_entry(work, fact) for work, fact in zip(works, facts, strict=True)],
             "tasks": entries}  # fmt: skip
    hashes = np.concatenate([building.row_hashes(work) for work in works])
    with atomic_write(folder / overlap.HASHES, "wb") as stream:
        np.save(stream, hashes)
    write_json(folder / MIXTURE, whole)
    write_json(folder / CAPS, {task.name: caps[task.name] for task in tasks})


def _whole_set(task):
    """The task with all rows of its set taking part: those that do were counted."""
    return replace(task, set=replace(task.set, first=None, keep_every=None, leave_every=None))


def _set_entry(work, fact):
    entry = {"name": work.unit.name, "rows": fact["rows"], "tasks": len(work.unit.tasks)}
    return entry | ({"bad_rows": fact["bad_rows"]} if fact["bad_rows"] else {})


def _entry(task, fact, caps, rates):
    return {
        "name": task.name,
        "dataset": task.dataset,
        "template": None if task.template is None else task.template.name,
        "rows": fact["rows"],
        "cap": caps[task.name],
        "rate": rates[task.name],
        "dropped": fact["dropped"],
        "choices": fact["choices"],
        "cluster": task.set.cluster,
        "target_not_a_choice": fact["target_not_a_choice"],
        "source_tokens": fact["source_tokens"],
        "target_tokens": fact["target_tokens"],
        "sha256": fact["sha256"],
    }


def put_in_place(plan, building, splits):
    """Rename the splits into ``DEST``, count overlaps, write the stamp, remove what was for making.

    splits: dict of split -> (works, what they were made from by name). Returns the stamp.
    """
    dest, stamp = plan.dest, read_folder_stamp(plan.dest)
    for split, (_, made_from) in splits.items():
        if (building.folder / split).is_dir():
            shutil.rmtree(dest / split, ignore_errors=True)  # not stamped: nobody's
            os.replace(building.folder / split, dest / split)
        facts = read_json(dest / split / MIXTURE)
        stamp[split] = split_facts(facts)
        stamp[split] |= {"settings": building.settings[split], "made from": made_from}
    stamp = {split: stamp[split] for split in ORDER if split in stamp}
    report_overlap(dest, stamp)
    plan.vocabulary.copy_to(dest / VOCAB_FOLDER)
    shutil.copyfile(plan.vocabulary.path / DICTIONARY, building.folder / DICTIONARY)
    os.replace(building.folder / DICTIONARY, dest / DICTIONARY)
    whole = make_stamp(vocabulary=plan.vocabulary.hash, mixture=plan.mixture.name, splits=stamp)
    write_json(dest / STAMP, whole)
    shutil.rmtree(building.folder)
    return whole


def split_facts(facts):
    """A split's numbers for the stamp, from its mixture.json."""
    total, dropped, digest = Counter(), Counter(), hashlib.sha256()
    for task in facts["tasks"]:
        total.update({key: task[key] for key in ("rows", "source_tokens", "target_tokens")})
        dropped.update(task["dropped"])
        digest.update(f"{task['name']} {task['sha256']}\n".encode())
    return {"sha256": digest.hexdigest(), "tasks": len(facts["tasks"]), **total,
            "dropped": dict(sorted(dropped.items()))}  # fmt: skip


def report_overlap(dest, splits):
    """Write into each evaluation split's mixture.json how many of its rows are training rows."""
    if TRAIN not in splits:
        return
    training = overlap.load_hashes(dest / TRAIN)
    for split in splits:
        if split == TRAIN:
            continue
        path = dest / split / MIXTURE
        facts = read_json(path)
        rows = overlap.load_hashes(dest / split)
        sizes = [entry["rows"] for entry in facts["sets"]]
        counts = overlap.counts(rows, sizes, training)
        tasks = iter(facts["tasks"])
        for entry, number in zip(facts["sets"], counts, strict=True):
            entry["in_training"] = number
            for _ in range(entry["tasks"]):
                next(tasks)["in_training"] = number
        write_json(path, facts)
