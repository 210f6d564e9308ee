"""A split of prompted pairs on disk: one folder per task, in the METRO-T0 authors' layout.

``DATA/<split>/data_cap.json``                         task -> cap; its order is the tasks' order
``DATA/<split>/mixture.json``                          rule, seed, and what is known of each task
``DATA/<split>/<task>/<split>.src-tgt.{src,tgt}``      fairseq's ``.bin`` and ``.idx``, one line of
                                                       tokens and ``</s>`` per example
``DATA/<split>/<task>/<split>.src-tgt.choices``        the same: every choice one line, all examples
                                                       in order
``DATA/<split>/<task>/<split>.src-tgt.gold.npy``       (rows, 2) int32: choices, index of the right one

The authors' own folders hold only the first and the third, and ``DATA/valid/valid_datasets.json``, a
data set -> its tasks, whose split ``valid_<data set>`` is those tasks of ``valid``.

A folder that plain fairseq-preprocess made of pairs is one task:
``DATA/<split>.<src>-<tgt>.{<src>,<tgt>}``, for any two names of the sides.
"""

import errno
import glob
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path

import numpy as np

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.files import read_json
from fairseq_metro.common.open_files import allow_open_files
from fairseq_metro.data import indexed
from fairseq_metro.data.indexed import IndexedTokens
from fairseq_metro.data.stock import AGAIN as STOCK_AGAIN
from fairseq_metro.data.stock import open_tokens

CAPS, MIXTURE, STAMP = "data_cap.json", "mixture.json", "prompted.json"
SUBSETS = "valid_datasets.json"  # of the authors: data set -> its tasks
VALID = "valid"
AGAIN = "build the data again with fairseq-metro prompts"
RULES = ("metro", "t0", "flan", "temperature")


@dataclass(frozen=True)
class PromptedTask:
    """One task's examples.

    ``source``, ``target``: :class:`IndexedTokens` of ``rows`` lines. ``choices``: lines of all
    examples' choices, or None; ``gold``: (rows, 2) int32, how many choices an example has and the
    index of the right one (-1 in training data whose target is none of them), or None. ``cap``:
    most examples per epoch. ``rate``: weight in a mixture that draws by rate.
    """

    name: str
    source: IndexedTokens
    target: IndexedTokens
    choices: IndexedTokens | None
    gold: np.ndarray | None
    cap: int
    rate: float
    rows: int
    dataset: str | None = None
    template: str | None = None
    cluster: str | None = None

    @cached_property
    def first_choice(self):
        """(rows + 1,) int64: the line in ``choices`` at which each example's choices begin."""
        return np.concatenate(([0], np.cumsum(self.gold[:, 0], dtype=np.int64)))


@dataclass(frozen=True)
class PromptedSplit:
    """The tasks of a split in their order, the rule that mixes them, the seed of the prompts.

    ``seed`` is None for folders of the authors. ``examples``: of an epoch under every rule but
    "metro", None for the sum of the rates.
    """

    tasks: list
    rule: str
    seed: int | None
    examples: int | None = None


def open_split(data, split):
    """The :class:`PromptedSplit` in ``data/split``, every file of it checked and memory-mapped.

    Raises :class:`UserError` where the split, a file or an entry is missing, damaged, or of
    another build than the rest.
    """
    folder, subset = Path(data) / split, None
    if not folder.is_dir() and (pairs := pairs_of(data, split)):
        return PromptedSplit([_pairs_task(pairs)], "metro", None)
    if not folder.is_dir() and split in (subsets := _subsets(data)):
        folder, subset = Path(data) / VALID, subsets[split]
    if not (folder / CAPS).is_file():
        raise UserError(f"{folder / CAPS}: no such file{_splits_there(data, split)}; {AGAIN}")
    caps = read_json(folder / CAPS)
    if not isinstance(caps, dict) or not caps:
        raise UserError(f"{folder / CAPS}: must name at least one task and its cap; {AGAIN}")
    for name, cap in caps.items():
        if not name or "/" in name or name.startswith("."):
            raise UserError(f"{folder / CAPS}: {name!r} is no task's name; {AGAIN}")
        if isinstance(cap, bool) or not isinstance(cap, int) or cap < 1:
            raise UserError(f"{folder / CAPS}: cap of {name!r} is {cap!r}, must be 1 or more")
    facts = _mixture(folder / MIXTURE, caps)
    for name in subset or ():
        if name not in caps:
            raise UserError(f"{folder / SUBSETS}: {split} has a task {name!r} that {CAPS} has not")
    names = [name for name in caps if subset is None or name in subset]
    limit = allow_open_files()
    try:
        tasks = [_open_task(folder, name, caps[name], facts["tasks"].get(name)) for name in names]
    except OSError as error:
        if error.errno != errno.EMFILE:
            raise
        raise UserError(
            f"{folder}: {len(names)} tasks need more open files than the {limit:,} allowed here; raise "
            "the limit (ulimit -Hn), or take a mixture of fewer tasks"
        ) from None
    return PromptedSplit(tasks, facts["rule"], facts["seed"], facts["examples"])


def pairs_of(data, split):
    """(prefix, source's name, target's name) of a split of pairs by fairseq-preprocess, or None."""
    for path in sorted(Path(data).glob(f"{glob.escape(split)}.*-*.*.idx")):
        prefix, side = path.name.removesuffix(".idx").rsplit(".", 1)
        target = prefix.removeprefix(f"{split}.{side}-")
        if target != prefix and (path.parent / f"{prefix}.{target}.idx").is_file():
            return path.parent / prefix, side, target
    return None


def _pairs_task(pairs):
    prefix, *sides = pairs
    source, target = (open_tokens(f"{prefix}.{side}") for side in sides)
    rows = len(source)
    if len(target) != rows:
        raise UserError(
            f"{target.prefix}.idx: {len(target)} lines for {rows} sources; {STOCK_AGAIN}"
        )
    if not rows:
        raise UserError(f"{source.prefix}.idx: no pairs in it; {STOCK_AGAIN}")
    return PromptedTask("-".join(sides), source, target, None, None, rows, float(rows), rows)


def _subsets(data):
    """The authors' splits ``valid_<data set>``: name -> list of tasks."""
    path = Path(data) / VALID / SUBSETS
    if not path.is_file():
        return {}
    subsets = read_json(path)
    if not isinstance(subsets, dict) or not all(
        isinstance(names, list) and names for names in subsets.values()
    ):
        raise UserError(f"{path}: must have a list of tasks for each data set; {AGAIN}")
    return {f"{VALID}_{name}": names for name, names in subsets.items()}


def splits_of(data):
    """Names of the splits in a data folder, sorted."""
    names = {path.parent.name for path in Path(data).glob(f"*/{CAPS}")} | _subsets(data).keys()
    plain = {path.name.split(".")[0] for path in Path(data).glob("*.*-*.*.idx")}
    return sorted(names | {name for name in plain if pairs_of(data, name)})


def _splits_there(data, split):
    there = splits_of(data)
    if not there:
        return ""
    near = get_close_matches(split, there, n=1, cutoff=0.4)
    return f" (splits there: {', '.join(near or there)})"


def _mixture(path, caps):
    """Rule, seed and task entries of ``mixture.json``; of an authors' folder, their rule."""
    if not path.is_file():
        stamp = path.parent.parent / STAMP  # which the authors' folders have not
        if stamp.is_file():
            raise UserError(f"{path}: no such file, though {stamp.name} is there; {AGAIN}")
    if not path.exists():
        return {"rule": "metro", "seed": None, "examples": None, "tasks": {}}
    facts = read_json(path)
    if not isinstance(facts, dict) or facts.get("rule") not in RULES:
        raise UserError(f"{path}: rule must be one of {', '.join(RULES)}; {AGAIN}")
    tasks = facts.get("tasks")
    if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
        raise UserError(f"{path}: no list of tasks; {AGAIN}")
    if [task.get("name") for task in tasks] != list(caps):
        raise UserError(f"{path}: other tasks, or in another order, than {CAPS}; {AGAIN}")
    for task in tasks:
        if task.get("cap") != caps[task["name"]]:
            raise UserError(
                f"{path}: cap of {task['name']!r} is {task.get('cap')!r}, but "
                f"{caps[task['name']]!r} in {CAPS}; {AGAIN}"
            )
        if not isinstance(task.get("rate"), int | float) or not task["rate"] >= 0:
            raise UserError(
                f"{path}: rate of {task['name']!r} is {task.get('rate')!r}, must be 0 or more"
            )
    examples = facts.get("examples")
    if examples is not None and (type(examples) is not int or examples < 1):
        raise UserError(f"{path}: examples is {examples!r}, must be 1 or more, or null")
    return {
        "rule": facts["rule"],
        "seed": facts.get("seed"),
        "examples": examples,
        "tasks": {task["name"]: task for task in tasks},
    }


def _open_task(folder, name, cap, facts):
    prefix = folder / name / f"{folder.name}.src-tgt"
    source, target = _tokens(f"{prefix}.src"), _tokens(f"{prefix}.tgt")
    rows = len(source)
    if len(target) != rows:
        raise UserError(f"{prefix}.tgt.idx: {len(target)} lines for {rows} sources; {AGAIN}")
    facts = facts or {"rate": float(min(rows, cap))}
    if facts.get("rows", rows) != rows:
        raise UserError(
            f"{prefix}.src.idx: {rows} lines, but {facts['rows']} rows in {MIXTURE}; {AGAIN}"
        )
    choices = gold = None
    if facts.get("choices"):
        choices, gold = _tokens(f"{prefix}.choices"), _gold(Path(f"{prefix}.gold.npy"), rows)
        if len(choices) != gold[:, 0].sum(dtype=np.int64):
            raise UserError(
                f"{prefix}.choices.idx: not as many lines as {prefix}.gold.npy; {AGAIN}"
            )
    return PromptedTask(
        name, source, target, choices, gold, cap, float(facts["rate"]), rows,
        facts.get("dataset"), facts.get("template"), facts.get("cluster"),
    )  # fmt: skip


def _tokens(prefix):
    try:
        return IndexedTokens(prefix)
    except UserError as error:
        raise UserError(str(error).replace(indexed.AGAIN, AGAIN)) from None


def _gold(path, rows):
    if not path.is_file():
        raise UserError(f"{path}: no such file; {AGAIN}")
    try:
        gold = np.load(path, mmap_mode="r" if rows else None, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise UserError(f"{path}: not an array of NumPy ({error}); {AGAIN}") from None
    if gold.shape != (rows, 2) or gold.dtype != np.int32:
        raise UserError(
            f"{path}: {gold.dtype} of shape {gold.shape}, must be int32 of ({rows}, 2); {AGAIN}"
        )
    wrong = np.flatnonzero((gold[:, 0] < 1) | (gold[:, 1] < -1) | (gold[:, 1] >= gold[:, 0]))
    if len(wrong):
        raise UserError(
            f"{path}: row {wrong[0]} has {gold[wrong[0], 0]} choices and the right one is "
            f"{gold[wrong[0], 1]}; {AGAIN}"
        )
    return gold
