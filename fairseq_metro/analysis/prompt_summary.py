"""Results of prompt fine-tuning: accuracy per data set before and after, held-in and held-out.

``python -m fairseq_metro.analysis.prompt_summary RUN`` reads ``RUN/train.log``, the scores that
fairseq-train left in ``RUN/scores`` or ``RUN/checkpoints/scores``, and the prompted pairs:
``RUN/data``, or the folder that the log names. It writes ``RUN/summary.json`` and ``RUN/bars.png``.
"""

import math
import re
import statistics
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from fairseq_metro.analysis.log import find_log, read_log
from fairseq_metro.analysis.prompt_bars import draw_bars
from fairseq_metro.common.arguments import CommandParser
from fairseq_metro.common.errors import UserError, run_command
from fairseq_metro.common.files import read_json, write_json
from fairseq_metro.common.stamp import make_stamp

TRAIN, VALID, HELDOUT = "train", "valid", "heldout"
SPLITS = (VALID, HELDOUT)
MIXTURE = "mixture.json"
HELD_IN, NEW_SET, NEW_KIND = "held-in", "held-out set", "held-out kind"
GROUPS = {
    HELD_IN: "held-in: other rows of the sets trained on",
    NEW_SET: "held-out: new sets, of kinds of task trained on",
    NEW_KIND: "held-out: kinds of task never trained on",
}
OWN_ROWS = "evaluated rows"
_SCORES = re.compile(r"(valid|heldout)_(\d+)\.json")


@dataclass(frozen=True)
class SetScore:
    """A data set's accuracy, a mean over its templates, all shares of 1.

    group: one of GROUPS; kind: the mixture's cluster; chance: of a guess; commonest: of the answer
    that is right most often in the set's training rows or, where commonest_of is OWN_ROWS, which a
    set without training rows has, in the evaluated rows; rows: evaluated under each template;
    templates: accuracy after fine-tuning by template name.
    """

    dataset: str
    group: str
    kind: str | None
    chance: float
    commonest: float
    before: float
    after: float
    rows: int
    templates: dict
    commonest_of: str = "train"

    @property
    def guess(self):
        """The accuracy of the majority baseline, or chance if that is higher."""
        return max(self.chance, self.commonest)

    @property
    def error(self):
        """Standard error of an accuracy over so many rows, were it a guess."""
        return math.sqrt(self.guess * (1 - self.guess) / self.rows)


def parser():
    """Build the command's argument parser."""
    parser = CommandParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path,
        help="Run directory with checkpoints, scores and train.log.")  # fmt: skip
    parser.add_argument(
        "--data",
        type=Path,
        help="Folder of prompted pairs (default: RUN/data, or the folder named in train.log).",
    )
    return parser


def main(argv=None):
    args = parser().parse_args(argv)
    log = read_log(find_log(args.run))
    sets, updates = read_scores(args.run, args.data or data_of(args.run, log))
    summary = summarize(sets, updates, log)
    write_json(args.run / "summary.json", summary)
    draw_bars(sets, GROUPS, args.run / "bars.png", f"{updates} updates")
    sys.stdout.write(describe(sets, summary))
    print(f"written: {args.run / 'summary.json'}, {args.run / 'bars.png'}")
    return 0


def data_of(run, log):
    """Folder of the pairs that a run was fine-tuned on; log: its :class:`~analysis.log.Log`."""
    own, named = run / "data", log.options.get("data")
    if own.is_dir():
        return own
    if named and (Path(named) / TRAIN / MIXTURE).is_file():
        return Path(named)
    where = f"nor in {named}, which its log names" if named else "and its log names no folder"
    raise UserError(f"{run}: no prompted pairs in {own}, {where}; give --data FOLDER")


def read_scores(run, data=None):
    """(list of :class:`SetScore`, number of updates) of a run's folder, held-in first.

    data: folder of the pairs (default: ``RUN/data``). Raises :class:`UserError` where the run has not
    been validated before and after.
    """
    data = data or run / "data"
    own = run / "scores"
    scores = own if own.is_dir() else run / "checkpoints" / "scores"
    files = {match[0]: match for match in map(_SCORES.fullmatch, names_in(scores)) if match}
    updates = max((int(match[2]) for match in files.values() if match[1] == VALID), default=0)
    if updates == 0 or f"{VALID}_0.json" not in files:
        raise UserError(
            f"{scores}: not both a validation before the first update and one after; let the run "
            "reach its first validation, then try again"
        )
    trained = {task["cluster"] for task in mixture_of(data, TRAIN)["tasks"]}
    splits = [split for split in SPLITS if f"{split}_{updates}.json" in files]
    sets = [
        task_set for split in splits for task_set in sets_of(scores, data, split, updates, trained)
    ]
    if not sets:
        raise UserError(f"{scores}: no data set with choices in it, hence no accuracy to tell of")
    return sorted(sets, key=lambda task_set: list(GROUPS).index(task_set.group)), updates


def names_in(folder):
    """Names of a folder's files, none where it does not exist."""
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def mixture_of(data, split):
    """``mixture.json`` of a split."""
    return read_json(data / split / MIXTURE)


def sets_of(scores, data, split, updates, trained):
    """The :class:`SetScore` of a split's data sets; trained: kinds of task that were trained on."""
    kinds = {task["dataset"]: task.get("cluster") for task in mixture_of(data, split)["tasks"]}
    before, after = (read_json(scores / f"{split}_{when}.json") for when in (0, updates))
    for name, end in after["datasets"].items():
        if end.get("accuracy") is None:
            continue  # no choices: nothing to be right about
        tasks = {
            key: task
            for key, task in after["tasks"].items()
            if task["dataset"] == name and task["accuracy"] is not None
        }
        group = HELD_IN if split == VALID else NEW_SET if kinds[name] in trained else NEW_KIND
        shares, sources = zip(*(commonest_share(data, split, key) for key in tasks), strict=True)
        yield SetScore(
            dataset=name, group=group, kind=kinds[name], chance=end["chance"],
            commonest=statistics.fmean(shares), commonest_of=OWN_ROWS if OWN_ROWS in sources else TRAIN,
            before=before["datasets"][name]["accuracy"], after=end["accuracy"],
            rows=max(task["examples"] for task in tasks.values()),
            templates={task["template"]: task["accuracy"] for task in tasks.values()},
        )  # fmt: skip


def commonest_share(data, split, task):
    """(Share of a task's rows whose right choice has the commonest place, whose commonest).

    The commonest place of the task's training rows, TRAIN, or where it has none of these very rows,
    OWN_ROWS.
    """
    gold, training = gold_places(data, split, task), gold_places(data, TRAIN, task)
    place = np.bincount(training if len(training) else gold).argmax()
    return float(np.mean(gold == place)), TRAIN if len(training) else OWN_ROWS


def gold_places(data, split, task):
    """Place of the right choice in each row of a task that has one: (rows,) int32, or (0,)."""
    path = data / split / task / f"{split}.src-tgt.gold.npy"
    gold = np.load(path)[:, 1] if path.is_file() else np.zeros(0, np.int32)
    return gold[gold >= 0]


def means(sets):
    """Unweighted means over data sets: dict of chance, before, after."""
    return {
        name: statistics.fmean(getattr(task_set, name) for task_set in sets)
        for name in ("chance", "commonest", "guess", "before", "after")
    }


def summarize(sets, updates, log):
    """The numbers of ``summary.json``; log: an ``analysis.log.Log``."""
    groups = {group: [task_set for task_set in sets if task_set.group == group] for group in GROUPS}
    held_out = groups[NEW_SET] + groups[NEW_KIND]
    return {
        "held_in": means(groups[HELD_IN]) if groups[HELD_IN] else None,
        "held_out": means(held_out) if held_out else None,
        "groups": {group: means(members) for group, members in groups.items() if members},
        "sets": [
            asdict(task_set) | {"guess": task_set.guess, "error": task_set.error}
            for task_set in sets
        ],
        "updates": updates,
        "updates_planned": log.max_update,
        "parameters": log.parameters,
        "seed": log.seed,
        "minutes": round(log.seconds / 60, 2),
        "stamp": make_stamp(),
    }


def describe(sets, summary):
    """The table and the verdict, as text."""
    width = max(map(len, [*GROUPS.values(), *map(_name, sets)]))
    lines = [f"{'accuracy':{width}}  chance  commonest  before   after"]
    for group, words in GROUPS.items():
        members = [task_set for task_set in sets if task_set.group == group]
        if not members:
            continue
        lines.append(_row(words, summary["groups"][group], width))
        lines += [_row(_name(task_set), asdict(task_set), width) for task_set in members]
    if any(task_set.commonest_of == OWN_ROWS for task_set in sets):
        lines += [
            "",
            "* commonest of the evaluated rows: the set has no training rows in the data.",
        ]
    return "\n".join([*lines, "", *verdict(sets, summary)]) + "\n"


def _name(task_set):
    return f"  {task_set.dataset}{' *' if task_set.commonest_of == OWN_ROWS else ''}"


def _row(words, values, width):
    chance, commonest, before, after = (
        f"{values[name]:6.1%}" for name in ("chance", "commonest", "before", "after")
    )
    return f"{words:{width}}  {chance}  {commonest:>9}  {before}  {after}"


def verdict(sets, summary):
    """The conclusions as sentences; nothing is said about what was not measured."""
    done = f"{summary['updates']} updates, {summary['minutes']:.1f} minutes."
    planned = summary["updates_planned"]
    if planned and summary["updates"] < planned:
        done += f" NOT FINISHED: {planned} updates are planned."
    sentences = [done]
    for group, words in ((HELD_IN, "Held-in"), (NEW_SET, "Held-out sets"),
                         (NEW_KIND, "Held-out kinds")):  # fmt: skip
        members = [task_set for task_set in sets if task_set.group == group]
        if members:
            sentences.append(f"{words}: {_beyond_guessing(members)}")
    return sentences


def _beyond_guessing(sets):
    """Distance of a group's mean from the majority baseline, in standard errors of the mean."""
    mean = means(sets)
    gain = mean["after"] - mean["guess"]
    error = math.sqrt(sum(task_set.error**2 for task_set in sets)) / len(sets)
    clear = [task_set for task_set in sets if task_set.after - task_set.guess > 2 * task_set.error]
    far = "clearly above" if gain > 3 * error else "NOT clearly above"
    return (
        f"{mean['after']:.1%} after, {mean['before']:.1%} before, {far} the {mean['guess']:.1%} "
        f"of guessing; {len(clear)} of {len(sets)} sets are by more than two standard errors."
    )


if __name__ == "__main__":
    sys.exit(run_command(main))
