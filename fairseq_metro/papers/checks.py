"""Tables of numbers, prompts and examples: ours beside the papers', without any training."""

import dataclasses
import doctest
import re
from functools import cache
from importlib.resources import files
from pathlib import Path

import yaml

from fairseq_metro.common.errors import UserError
from fairseq_metro.evaluate.suite import load_suite
from fairseq_metro.models.metro_t5 import ARCHITECTURES, MetroT5Config
from fairseq_metro.recipes.finetuning_table import finetuning
from fairseq_metro.recipes.parameters import PAPER, VOCABULARY, count
from fairseq_metro.recipes.table import pretraining
from fairseq_metro.smash.groups import load_group
from fairseq_metro.smash.tasks import load_task

_BETWEEN = re.compile(r"\*sent-?_0\*(.*?)(?:\*\+sentl_1\*)?\*sep\+\*$")


@cache
def _numbers():
    text = files("fairseq_metro.papers").joinpath("numbers.yaml").read_text("utf-8")
    return yaml.safe_load(text)


def run_check(name, root):
    """Lines of a check: list of (what, ours, the paper's). root: the clone, for its documentation.

    Raises :class:`UserError` for a name that is none.
    """
    if name not in CHECKS:
        raise UserError(f"no check {name!r}; there are {', '.join(CHECKS)}")
    return CHECKS[name](Path(root))


def _examples(root):
    page = root / "docs" / "worked_examples.md"
    if not page.is_file():
        raise UserError(f"{page}: no such page; run this in a clone")
    result = doctest.testfile(str(page), module_relative=False, verbose=False)
    return [
        (f"lines of {page.name} that are true", result.attempted - result.failed, result.attempted)
    ]


def _pretraining(root):
    lines = []
    for size, paper in _numbers()["pretraining"].items():
        row = dataclasses.asdict(pretraining("metro_t5", size))
        model = dataclasses.asdict(MetroT5Config()) | ARCHITECTURES[size]
        values = model | row | {"sequences": row["update"] / row["length"]}
        lines += [(f"{size} {name}", values[name], value) for name, value in paper.items()]
    return lines


def _finetuning(root):
    lines = []
    for size, paper in _numbers()["finetuning"].items():
        values = dataclasses.asdict(finetuning("t0", size, "metro"))
        lines += [(f"{size} {name}", values[name], value) for name, value in paper.items()]
    return lines


def _sizes(root):
    sizes = {}
    for suite_set in load_suite("t0_eval").sets:
        name = "anli" if suite_set.name.startswith("anli") else suite_set.name
        sizes[name] = sizes.get(name, 0) + suite_set.rows
    return [(name, sizes.get(name), rows) for name, rows in _numbers()["sizes"].items()]


def _templates(root):
    """The text between the sentences of a template, and the label words in order."""
    lines = []
    for name, (between, words) in _numbers()["templates"].items():
        task = load_task(name)
        lines.append((f"{name} template", _BETWEEN.search(task.template).group(1), between))
        lines.append((f"{name} words", " ".join(task.words.values()), " ".join(words.values())))
    return lines


def _prompts(root):
    pair, single = load_group("sentence_pair"), load_group("single_sentence")
    return [
        ("sentence pairs", pair.template, "*cls**sent-_0*?*mask*,*+sentl_1**sep+*"),
        ("single sentences", single.template, "*cls**sent_0*_It_was*mask*.*sep+*"),
        ("filter's words", " ".join(single.filter.words), "terrible bad okay good great"),
    ]


def _parameters(root):
    """With the RTD head, as fine-tuning starts; base++'s 256M is no count of ours (parameters.py)."""
    lines = []
    for size, paper in PAPER.items():
        sizes = count(size, VOCABULARY[size])
        lines.append((size, f"{(sizes['main'] + sizes['rtd_head']) / 1e6:.0f}M", paper))
    return lines


CHECKS = {
    "examples": _examples,
    "pretraining": _pretraining,
    "finetuning": _finetuning,
    "sizes": _sizes,
    "templates": _templates,
    "prompts": _prompts,
    "parameters": _parameters,
}
