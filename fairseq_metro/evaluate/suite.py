"""Suites: what is evaluated, as data. The package's own are ``suites/*.yaml``; users' look the same.

version: 1
name: mine
defaults: {kind: rank}                 # keys for every set that does not give them
sets:
  - super_glue/rte                     # validation split, all templates with choices
  - {dataset: super_glue/cb, rows: 56, templates: [can we infer, GPT-3 style]}
  - {dataset: my/set, jsonl: mine.jsonl}                   # ready-made inputs, targets, choices
  - dataset: my/other                                      # TASKS/my/other/validation.jsonl
    prompts:
      plain: {jinja: "{{text}} Is it? ||| {{answer_choices[label]}}", answer_choices: no ||| yes}
  - {dataset: samsum, kind: generate, metrics: [rougeL, f1]}

All keys stand in suite_keys.py; what they mean, at SuiteSet.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.yaml_files import load_yaml
from fairseq_metro.evaluate.suite_keys import GENERATE, RANK, SET_KEYS, SUITE_KEYS
from fairseq_metro.prompts import Template, task_name
from fairseq_metro.prompts.collection import nearest
from fairseq_metro.prompts.mixtures import flan
from fairseq_metro.prompts.mixtures.keys import checked

_FOLDER = Path(__file__).parent / "suites"
READY_MADE_SPLIT = "train"  # what task_data calls the rows of a single file


@dataclass(frozen=True)
class SuiteSet:
    """One data set of a suite.

    dataset: path[/subset]; name: what its runs are called after (the data set's, unless a suite has
    it twice); label: in reports; split; rows: how many the split must have, or None; jsonl: a file
    of ready-made rows instead; templates: "all" (with choices, where it is ranked), "original" or
    names; templates_of: the data set whose templates they are; prompts: templates of the suite's
    own, (name, jinja, answer_choices); cluster: kind of task; kind: "rank" or "generate", with
    metrics (the first is the main one), beam and max_length of generation; group: field of a row
    whose groups' mean accuracy is the main number, group_rows: the groups by position where rows
    lack the field; options: inputs end with their choices (FLAN); exemplars_from: split of k-shot
    exemplars, exemplars: their form; premise: the input of PMI's prior; answers: field of a row with
    a list of right answers, any of which counts (ReCoRD), where a template's target is but one;
    mode: inputs with the template's instruction, without any, or behind the data set's name
    (mixtures/flan.py).
    """

    dataset: str
    name: str
    label: str
    split: str = "validation"
    rows: int | None = None
    jsonl: Path | None = None
    templates: str | tuple[str, ...] = "all"
    templates_of: str | None = None
    prompts: tuple[tuple[str, str, str | None], ...] = ()
    cluster: str | None = None
    kind: str = RANK
    metrics: tuple[str, ...] = ()
    beam: int = 1
    max_length: int = 64
    group: str | None = None
    group_rows: tuple[tuple[str, int], ...] = ()
    options: bool = False
    exemplars_from: str = "train"
    exemplars: str = "plain"
    premise: str = "Answer:"
    answers: str | None = None
    mode: str = flan.NATURAL

    @property
    def source(self):
        """What ``task_data.open_dataset`` opens for this set."""
        return f"jsonl:{self.jsonl}" if self.jsonl else self.dataset


@dataclass(frozen=True)
class Run:
    """One set under one template (None: ready-made rows); name: of its task, and of its file."""

    name: str
    set: SuiteSet
    template: Template | None


@dataclass(frozen=True)
class Suite:
    """Sets to evaluate; runs: how many there must be, or None; shots: exemplars in each input."""

    name: str
    sets: tuple[SuiteSet, ...]
    title: str = ""
    runs: int | None = None
    shots: int = 0

    def with_sets(self, names):
        """The suite with some of its sets, by name or label. Raises :class:`UserError`."""
        known = {
            key: suite_set for suite_set in self.sets for key in (suite_set.name, suite_set.label)
        }
        for name in names:
            if name not in known:
                raise UserError(f"suite {self.name}: no set {name!r} ({nearest(name, known)})")
        chosen = {known[name].name for name in names}
        kept = tuple(suite_set for suite_set in self.sets if suite_set.name in chosen)
        return replace(self, sets=kept, runs=None)

    def of_clusters(self, names):
        """The suite with the sets of some clusters. Raises :class:`UserError` for an unknown one."""
        known = {suite_set.cluster for suite_set in self.sets if suite_set.cluster}
        for name in names:
            if name not in known:
                raise UserError(f"suite {self.name}: no cluster {name!r} ({nearest(name, known)})")
        kept = tuple(suite_set for suite_set in self.sets if suite_set.cluster in names)
        return replace(self, sets=kept, runs=None)

    def in_mode(self, mode):
        """The suite with inputs of another ``mode``."""
        sets = tuple(replace(suite_set, mode=mode) for suite_set in self.sets)
        return replace(self, sets=sets, runs=self.runs if mode == flan.NATURAL else None)

    def on_split(self, split):
        """The suite on another split, whose sizes are those of the data sets' descriptions."""
        return replace(
            self,
            sets=tuple(
                replace(suite_set, split=split, rows=None, group_rows=()) for suite_set in self.sets
            ),
        )

    def runs_of(self, suite_set, templates):
        """The :class:`Run` s of a set: list, in the suite's order of templates. UserError."""
        if suite_set.jsonl:
            return [Run(task_name(suite_set.name, "").rstrip("_"), suite_set, None)]
        if suite_set.prompts:
            templates_used = [
                Template(suite_set.dataset, *prompt, file=self.name) for prompt in suite_set.prompts
            ]
        else:
            templates_used = self._chosen(suite_set, templates)
        if suite_set.mode != flan.NATURAL:  # without its instruction a template is like any other
            templates_used = sorted(templates_used, key=flan.unfit_for_answers)[:1]
        return [
            Run(task_name(suite_set.name, template.name), suite_set, template)
            for template in templates_used
        ]

    def _chosen(self, suite_set, templates):
        dataset = suite_set.templates_of or suite_set.dataset
        named = isinstance(suite_set.templates, tuple)
        # Names are of promptsource's templates; of FLAN's own, those of the task are as good.
        if named and not all(template.complete for template in templates.of(dataset)):
            chosen = [templates.get(dataset, name) for name in suite_set.templates]
            for template in chosen:
                if suite_set.kind == RANK and template.answer_choices is None:
                    raise UserError(
                        f"suite {self.name}: template {template.name!r} of {dataset} has no "
                        "choices to rank; leave it out, or give the set kind: generate"
                    )
            return chosen
        chosen = [
            template
            for template in templates.of(dataset)
            if (suite_set.kind == GENERATE or template.answer_choices is not None)
            and (suite_set.templates == "all" or template.original_task)
        ]
        if not chosen:
            raise UserError(
                f"suite {self.name}: {dataset} has no template with choices of those that are "
                f"{suite_set.templates}; name some, or give the set kind: generate"
            )
        return chosen


def suite_names():
    """Names of the package's suites: list of str, sorted."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def load_suite(name):
    """A suite by the name of one of the package's or by its YAML file. Raises :class:`UserError`.

    >>> suite = load_suite("t0_eval")
    >>> len(suite.sets), suite.runs
    (11, 112)
    """
    path, values = _read(name)
    for key in ("version", "name", "sets"):
        if not values.get(key):
            raise UserError(f"{path}: no {key!r}; give one ({SUITE_KEYS[key].expected})")
    values.pop("version")
    defaults = values.pop("defaults", {})
    if "defaults_of" in values:
        defaults = {**_read(values.pop("defaults_of"))[1].get("defaults", {}), **defaults}
    checked(f"{path}: defaults", defaults, SET_KEYS)
    sets = tuple(_set(path, entry, defaults) for entry in values.pop("sets"))
    names = [suite_set.name for suite_set in sets]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UserError(f"{path}: {twice} is there twice; give one of them another 'name'")
    return Suite(sets=sets, **{"title": values["name"], **values})


def _read(name):
    """(path, its checked values) of a suite's file."""
    path = _FOLDER / f"{name}.yaml"
    if str(name) not in suite_names():
        path = Path(name)
        if path.suffix not in (".yaml", ".yml"):
            known = suite_names()
            raise UserError(
                f"no suite {str(name)!r} ({nearest(str(name), known)}; all: {', '.join(known)}; or "
                "name a YAML file)"
            )
        if not path.is_file():
            raise UserError(f"{path}: no such file; name a suite's YAML file")
    return path, checked(path, load_yaml(path), SUITE_KEYS)


def _set(path, entry, defaults):
    entry = {"dataset": entry} if isinstance(entry, str) else entry
    named = entry.get("dataset", "an entry") if isinstance(entry, dict) else "an entry"
    place = f"{path}: {named}"
    own = checked(place, entry, SET_KEYS)
    values = {**checked(place, defaults, SET_KEYS), **own}
    if "dataset" not in values:
        raise UserError(f"{place}: no 'dataset' in {entry}; name one")
    if "jsonl" in values:
        values["jsonl"] = path.parent / values["jsonl"]
        values.setdefault("split", READY_MADE_SPLIT)
        if not values["jsonl"].is_file():
            raise UserError(f"{place}: no file {values['jsonl']}; its path is as of the suite's")
    if sum(key in own for key in ("jsonl", "templates", "prompts")) > 1:
        raise UserError(f"{place}: give one of jsonl, templates and prompts, not several")
    if values.get("kind", RANK) == GENERATE and not values.get("metrics"):
        raise UserError(f"{place}: kind generate needs metrics, such as [rougeL, f1]")
    if "answers" in own and ("jsonl" in values or values.get("kind", RANK) == GENERATE):
        raise UserError(f"{place}: answers belong to templates with choices; leave the key out")
    if values.get("kind", RANK) == RANK and "metrics" in own:
        raise UserError(f"{place}: metrics belong to kind: generate; leave them out")
    name = values.get("name", values["dataset"])
    return SuiteSet(**{"name": name, "label": name, **values})
