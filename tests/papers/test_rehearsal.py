"""Every distinct kind of command of the originals is run to its end on stand-ins.

A command's kind is the command without its paths, numbers and names of data sets. The override of
architecture, updates, processes and data paths is ``--rehearse``'s (:class:`Scale`), the place and the
variables; nothing else of a command is replaced.
"""

import re
from functools import cache
from pathlib import Path

import pytest

from fairseq_metro.papers.cells import Place, command
from fairseq_metro.papers.originals import original_steps
from fairseq_metro.papers.originals.scale import Scale
from fairseq_metro.papers.targets import find_target, target_names
from fairseq_metro.prompts.mixtures import load_mixture
from fairseq_metro.smash.tasks import task_names
from tests.papers import stand_ins

ORIGINALS = [name for name in target_names() if "paper_scale" in find_target(name).settings]
NAMES = {
    *load_mixture("flan").clusters(), *task_names(),
    *(entry.dataset for name in ("flan", "super_glue") for entry in load_mixture(name).sets),
}  # fmt: skip


def kind_of(words):
    """What is left of a command without its paths, numbers and names of data sets.

    Whether a path is a T5's, or a checkpoint, stays, and so does the number of a table or figure.
    """
    kind = []
    for word in words:
        name, equals, value = word.partition("=")
        checkpoint = "@" if "@" in word else ""
        if name == "ARCH" and equals:
            word = name
        elif equals and name.isupper():
            word = f"{name}={'$' if '$' in value else value}{checkpoint}"
        elif "$" in word:
            word = f"${'T5' if 'T5_MODELS' in word else ''}{checkpoint}"
        elif word in NAMES:
            word = "name"
        elif word[:1].isdigit() and words[0] != "fairseq-metro":
            word = "#"
        if kind[-1:] != [word]:
            kind.append(word)
    return tuple(kind)


def paths_written(step):
    """Paths that a step makes."""
    given, options = dict(step.command.environment), step.command.options
    paths = [given[name] for name in ("SAVE", "OUT") if name in given]
    return paths + [options[options.index(name) + 1] for name in ("--dest", "--out")
                    if name in options]  # fmt: skip


def paths_read(step):
    """Paths of other steps that a step reads."""
    paths = re.findall(r"\$WORK/[^ @/]+", " ".join(step.command.words()))
    return set(paths) - set(paths_written(step))


def cost(words):
    large = [word for word in words if word in NAMES and word not in stand_ins.DEMANDED]
    return len(large), len(words)


@cache
def all_steps():
    """(steps by key, {kind: (target, key)}, {path: key of its first writer}).

    The cheapest command stands for its kind: its data sets have few rows, and it names the fewest
    models and tasks.
    """
    steps, kinds, writers = {}, {}, {}
    for name in ORIGINALS:
        settings = find_target(name).settings["paper_scale"]
        for step in original_steps(name, settings, Scale("tiny", 40)):
            steps.setdefault(step.key, step)
            words = step.command.words()
            kind = kind_of(words)
            if kind not in kinds or cost(words) < cost(steps[kinds[kind][1]].command.words()):
                kinds[kind] = name, step.key
            for path in paths_written(step):
                writers.setdefault(path, step.key)
    return steps, kinds, writers


def steps_to_run(target):
    """The steps of a target that stand for their kinds, and those that they read, in their order."""
    steps, kinds, writers = all_steps()
    wanted, left = set(), {key for name, key in kinds.values() if name == target}
    while left:
        key = left.pop()
        wanted.add(key)
        left |= {writers[path] for path in paths_read(steps[key]) if path in writers} - wanted
    return [steps[key] for key in steps if key in wanted]


def test_commands_of_a_kind_differ_in_paths_numbers_and_names_alone():
    steps, kinds, _ = all_steps()
    assert len(kinds) > 60
    pairs = [
        ("grid fewshot-updates lines", "grid fewshot-updates ce"),
        ("grid fewshot-t5 models", "grid fewshot teacher"),
        ("smash-figure 3", "smash-figure 4"),
        ("distil ce-pair", "distil rule-pair"),
        ("pretrain base-metro-1", "pretrain base-copy-1"),
        ("finetune basepp-metro-t0pp", "finetune basepp-metro-500000-t0pp"),
    ]
    for key, other in pairs:
        assert kind_of(steps[key].command.words()) != kind_of(steps[other].command.words())
    key, other = "evaluate largepp-t5-flan-1-clusters-nli", "evaluate base-t5-flan-7-clusters-nli"
    assert kind_of(steps[key].command.words()) == kind_of(steps[other].command.words())


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    """(variables, work, keys of finished steps): what the targets share."""
    folder = tmp_path_factory.mktemp("rehearsal")
    return stand_ins.variables(folder / "stand-ins"), folder / "work", set()


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("target", [name for name in ORIGINALS if steps_to_run(name)])
def test_every_kind_of_command_runs_to_its_end(target, stage, monkeypatch):
    variables, work, finished = stage
    for name, value in variables.items():
        monkeypatch.setenv(name, str(value))
    for step in steps_to_run(target):
        if step.key not in finished:
            run(step, target, variables, work)
            finished.add(step.key)


def run(step, target, variables, work):
    """Run a step as the reproduction does. Raises UserError where its command does not end well."""
    tasks = {"smash": "FEWSHOT_TASKS", "flan": "FLAN_TASKS"}.get(target.split("_")[0], "TASKS")
    place = Place(work=work, out=work / "results.jsonl", tasks=Path(variables[tasks]))
    command(step.fields, place, step.command)
    if picture := step.fields.get("picture"):
        assert Path(picture.replace("$WORK", str(work))).stat().st_size > 0, step.key
