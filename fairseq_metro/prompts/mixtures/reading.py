"""Reading a mixture's YAML file: the package's own (``t0``, ``flan``, ...), or a user's.

version: 1
name: mine
rule: metro                # metro, t0, flan, temperature
include: [t0]              # mixtures that come first; numbers not given here are the last one's
sets:
  - glue/cola              # all templates, all rows of the split train
  - {dataset: trec, templates: original, exclude: [what_category_best_describe], cluster: topic}
  - {dataset: my/set, jsonl: [one.jsonl, two.jsonl]}   # ready-made rows, paths as of this file
valid: [{dataset: trec, split: test}]                  # the split is validation unless given
heldout: [{dataset: super_glue/rte, cluster: nli}]

All keys stand in mixtures/keys.py, what they mean at Mixture and MixtureSet. ``hold_out`` names
clusters that leave training (``Mixture.without_clusters``), ``clusters`` those that alone stay in it.
"""

from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.yaml_files import load_yaml
from fairseq_metro.prompts.collection import nearest
from fairseq_metro.prompts.mixtures.keys import ALL, MIXTURE_KEYS, SET_KEYS, checked
from fairseq_metro.prompts.mixtures.mixture import HELDOUT, TRAIN, VALID, Mixture
from fairseq_metro.prompts.mixtures.rules import RULES, TEMPERATURE
from fairseq_metro.prompts.mixtures.sets import MixtureSet

_FOLDER = Path(__file__).parent
_SPLITS = {"sets": TRAIN, VALID: "validation", HELDOUT: "validation"}
_JOINED = (*_SPLITS, "exclude_tasks", "related", "left_out", "held_out")


def load_mixture(name):
    """A mixture by the name of a ready-made one or by its YAML file.

    Raises :class:`UserError` with the nearest names, or with the place of what is wrong.

    >>> len(load_mixture("t0++").sets), load_mixture("t0++").rule
    (54, 'metro')
    """
    return _read(_file_of(name))


def mixture_names():
    """Names of the mixtures of the package, sorted: list of str."""
    return sorted(_ready_made())


@lru_cache(maxsize=1)
def _ready_made():
    """File of each mixture of the package, under its own name and the file's: dict."""
    files = {}
    for path in sorted(_FOLDER.glob("*.yaml")):
        files |= {path.stem: path, load_yaml(path)["name"]: path}
    return files


def _file_of(name, folder=Path()):
    if str(name) in _ready_made():
        return _ready_made()[str(name)]
    path = folder / name
    if path.is_file():
        return path
    if path.suffix in (".yaml", ".yml"):
        raise UserError(f"{path}: no such file; name a mixture's YAML file")
    known = mixture_names()
    raise UserError(
        f"no mixture {str(name)!r} ({nearest(str(name), known)}; all: {', '.join(known)})"
    )


def _read(path, above=()):
    """The Mixture that a file describes; above: files that include it, outermost first."""
    path = Path(path)
    if path.resolve() in above:
        raise UserError(f"{path}: includes itself by way of {above[-1]}; leave one include out")
    values = checked(path, load_yaml(path), MIXTURE_KEYS)
    for key in ("version", "name"):
        if key not in values:
            raise UserError(f"{path}: no {key!r}; give one ({MIXTURE_KEYS[key].expected})")
    values.pop("version")
    base = _included(path, values.pop("include", ()), (*above, path.resolve()))
    if "rule" in values:  # another rule's numbers are not this one's
        base = replace(base, cap=None, max_rate=None, temperature=None, examples=None)
    held_out, clusters = values.pop("hold_out", ()), values.pop("clusters", ())
    for part, split in _SPLITS.items():
        values[part] = tuple(map(partial(_set, path, part, split), values.get(part, ())))
    for key in _JOINED:
        values[key] = (*getattr(base, key), *values.get(key, ()))
    for part in _SPLITS:
        _no_name_twice(f"{path}: {part}", values[part])
    mixture = replace(base, **values)
    if "templates" in values:  # of the sets that do not say
        sets = tuple(
            replace(each, templates=mixture.templates) if each.templates == ALL else each
            for each in mixture.sets
        )
        mixture = replace(mixture, sets=sets)
    if not any(getattr(mixture, part) for part in _SPLITS):
        raise UserError(f"{path}: no data sets; name some under 'sets'")
    _no_idle_number(path, mixture)
    mixture = mixture.without_clusters(*held_out)
    return mixture.only_clusters(*clusters) if clusters else mixture


def _included(path, names, above):
    """The included mixtures as one, with the last one's rule and numbers."""
    base = Mixture(name="", rule=RULES[0], sets=())
    for name in names:
        included = _read(_file_of(name, path.parent), above)
        base = replace(
            included, **{key: (*getattr(base, key), *getattr(included, key)) for key in _JOINED}
        )
    return base


def _set(path, part, split, values):
    """A MixtureSet from an entry of a file; a text stands for the data set's name alone."""
    values = {"dataset": values} if isinstance(values, str) else values
    named = values.get("dataset", values.get("name")) if isinstance(values, dict) else None
    place = f"{path}: {part}: {named or 'an entry'}"
    values = checked(place, values, SET_KEYS)
    files = tuple(Path(path).parent / name for name in values.pop("jsonl", ()))
    if files:
        values.setdefault("dataset", values.get("name", files[0].stem))
        missing = next((file for file in files if not file.is_file()), None)
        if missing:
            raise UserError(f"{place}: no file {missing}; paths are as of the mixture's file")
    if "dataset" not in values:
        raise UserError(f"{place}: no 'dataset' in {values}; name one")
    for first, other in (
        ("jsonl", "templates"),
        ("jsonl", "exclude"),
        ("keep_every", "leave_every"),
    ):
        if (first in values or (first == "jsonl" and files)) and other in values:
            raise UserError(f"{place}: {other} beside {first}; give one of them")
    return MixtureSet(jsonl=files, **{"split": split, "name": values["dataset"], **values})


def _no_name_twice(place, sets):
    names = [mixture_set.name for mixture_set in sets]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"{place}: {name} is there twice; leave one out or give it a 'name'")


def _no_idle_number(path, mixture):
    """Raises :class:`UserError` for a number that the mixture's rule does not use."""
    drawn = tuple(rule for rule in RULES if rule != "metro")
    numbers = {"max_rate": ("flan",), "temperature": (TEMPERATURE,), "examples": drawn}
    for key, rules in numbers.items():
        if getattr(mixture, key) is not None and mixture.rule not in rules:
            raise UserError(
                f"{path}: {key} says nothing under rule {mixture.rule}; leave it out, or choose "
                f"rule {' or '.join(rules)}"
            )
