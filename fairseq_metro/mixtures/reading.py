"""Reading a mixture's YAML file: the package's own (``t0``, ``flan``, ...), or a user's.

version: 1
name: mine
rule: metro                # metro, t0, flan
include: [t0]              # mixtures that come first; numbers not given here are the first one's
sets:
  - glue/cola              # all templates of all rows of the split train
  - {dataset: trec, templates: original, exclude: [what_category_best_describe], cluster: topic}
  - {dataset: my/set, jsonl: [one.jsonl, two.jsonl]}   # ready-made rows, paths as of this file
valid: [{dataset: trec, split: test}]
heldout: [{dataset: super_glue/rte, cluster: nli}]

All other keys stand in _MIXTURE_KEYS and _SET_KEYS below, each with what it must be.
"""

from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path

from fairseq_metro.errors import UserError
from fairseq_metro.mixtures import flan
from fairseq_metro.mixtures.mixture import HELDOUT, TRAIN, VALID, Mixture, MixtureSet
from fairseq_metro.mixtures.rules import RULES
from fairseq_metro.prompts.collection import nearest
from fairseq_metro.prompts.reading import load_yaml

VERSION = 1
_FOLDER = Path(__file__).parent


def _whole(low, high=None):
    def check(value):
        good = type(value) is int and low <= value and (high is None or value <= high)
        return value if good else None

    check.wanted = f"a whole number from {low}" + ("" if high is None else f" to {high}")
    return check


def _one_of(words):
    check = lambda value: value if value in words else None  # noqa: E731
    check.wanted = f"one of {', '.join(words)}"
    return check


def _text(value):
    return value if isinstance(value, str) and value.strip() else None


_text.wanted = "a text"


def _yes_no(value):
    return value if isinstance(value, bool) else None


_yes_no.wanted = "true or false"


def _texts(value):
    """One text or a list of them, as a tuple."""
    values = [value] if isinstance(value, str) else value
    good = isinstance(values, list) and all(map(_text, values))
    return tuple(values) if good else None


_texts.wanted = "a list of texts"


def _templates(value):
    return value if value in ("all", "original") else (_texts(value) or None)


_templates.wanted = "all, original, or a list of template names"


def _counts(value):
    good = isinstance(value, list) and len(value) == 3 and all(map(_is_count, value))
    return tuple(value) if good else None


def _is_count(value):
    return type(value) is int and value >= 0


_counts.wanted = "three whole numbers: templates, original-task ones, ones with choices"


def _exemplars(value):
    """A number of exemplars, or the fewest and the most of them, as a pair."""
    low, high = value if isinstance(value, list) and len(value) == 2 else (value, value)
    good = all(map(_is_count, (low, high))) and low <= high <= flan.MOST_EXEMPLARS
    return (low, high) if good else None


_exemplars.wanted = f"a number from 0 to {flan.MOST_EXEMPLARS}, or a list of the fewest and most"


def _pairs(value):
    good = isinstance(value, list) and all(_texts(one) and len(one) == 2 for one in value)
    return tuple(map(tuple, value)) if good else None


_pairs.wanted = "a list of pairs of clusters"


def _list(value):
    return tuple(value) if isinstance(value, list) else None


_list.wanted = "a list of data sets"

_SET_KEYS = {
    "dataset": _text,
    "name": _text,
    "rows": _whole(0),
    "counts": _counts,
    "templates": _templates,
    "exclude": _texts,
    "cluster": _text,
    "split": _text,
    "jsonl": _texts,
    "first": _whole(1),
    "keep_every": _whole(1),
    "leave_every": _whole(2),
    "cap": _whole(1),
}
_SPLITS = {"sets": TRAIN, VALID: "validation", HELDOUT: "validation"}
_MIXTURE_KEYS = {
    "version": _whole(VERSION, VERSION),
    "name": _text,
    "about": _text,
    "include": _texts,
    "rule": _one_of(RULES),
    "cap": _whole(1),
    "max_rate": _whole(1),
    "seed": _whole(0),
    "examples": _whole(1),
    "options": _yes_no,
    "exemplars": _exemplars,
    "mode": _one_of(flan.MODES),
    "exclude_tasks": _texts,
    "related": _pairs,
    "hold_out": _texts,
    **dict.fromkeys(_SPLITS, _list),
}


def _checked(place, values, keys):
    """``values`` with every key known and every value of its kind: dict."""
    if not isinstance(values, dict):
        raise UserError(f"{place}: {values!r:.60} is not a mapping of keys to values")
    checked = {}
    for key, value in values.items():
        if key not in keys:
            raise UserError(f"{place}: unknown key {key!r} ({nearest(str(key), list(keys))})")
        checked[key] = keys[key](value)
        if checked[key] is None:
            raise UserError(f"{place}: {key} is {value!r:.60}, must be {keys[key].wanted}")
    return checked


def _set(path, part, split, values):
    """A MixtureSet from an entry of a file; a text stands for the data set's name alone."""
    values = {"dataset": values} if isinstance(values, str) else values
    named = values.get("dataset") if isinstance(values, dict) else None
    values = _checked(f"{path}: {part}: {named or 'an entry'}", values, _SET_KEYS)
    files = tuple(Path(path).parent / name for name in values.pop("jsonl", ()))
    if files:
        values.setdefault("dataset", values.get("name", files[0].stem))
        missing = next((file for file in files if not file.is_file()), None)
        if missing:
            raise UserError(f"{path}: {part}: {values['dataset']}: no file {missing}")
    if "dataset" not in values:
        raise UserError(f"{path}: {part}: an entry without 'dataset': {values}; name one")
    values = {"split": split, "name": values["dataset"], **values}
    return MixtureSet(jsonl=files, **values)


def _no_name_twice(path, part, sets):
    names = set()
    for one in sets:
        if one.name in names:
            raise UserError(f"{path}: {part}: {one.name} is there twice; give one of them a 'name'")
        names.add(one.name)
    return sets


def _read(path, above=()):
    """The Mixture that a file describes; above: files that include it."""
    path = Path(path)
    values = load_yaml(path)
    if path.resolve() in above:
        raise UserError(f"{path}: includes itself by way of {above[-1]}; leave one include out")
    values = _checked(path, values, _MIXTURE_KEYS)
    for key in ("version", "name"):
        if key not in values:
            raise UserError(f"{path}: no {key!r}; give one ({_MIXTURE_KEYS[key].wanted})")
    base = _base(path, values.pop("include", ()), (*above, path.resolve()))
    parts = {
        part: (*getattr(base, part), *map(partial(_set, path, part, split), values.pop(part, ())))
        for part, split in _SPLITS.items()
    }
    parts = {part: _no_name_twice(path, part, sets) for part, sets in parts.items()}
    if not any(parts.values()):
        raise UserError(f"{path}: no data sets; name some under 'sets'")
    held_out = values.pop("hold_out", ())
    for key in ("version", "about"):
        values.pop(key, None)
    if "rule" in values:  # another rule's numbers are not this one's
        base = replace(base, cap=None, max_rate=None)
    for key in ("exclude_tasks", "related"):
        values[key] = (*getattr(base, key), *values.get(key, ()))
    return replace(base, **values, **parts).without_clusters(*held_out)


def _base(path, included, above):
    """The included mixtures as one, with the first one's rule and numbers."""
    base = None
    for name in included:
        one = _read(_file_of(name, path.parent), above)
        if base is not None:
            joined = (*_SPLITS, "exclude_tasks", "related")
            both = {key: (*getattr(base, key), *getattr(one, key)) for key in joined}
            one = replace(base, **both)
        base = one
    return base or Mixture(name="", rule=RULES[0], sets=())


@lru_cache(maxsize=1)
def _ready_made():
    """File of each mixture of the package, under its own name and the file's: dict."""
    files = {}
    for path in sorted(_FOLDER.glob("*.yaml")):
        files |= {path.stem: path, load_yaml(path)["name"]: path}
    return files


def mixture_names():
    """Names of the mixtures of the package, sorted: list of str."""
    return sorted(_ready_made())


def _file_of(name, folder=Path()):
    if str(name) in _ready_made():
        return _ready_made()[str(name)]
    path = folder / name
    if path.is_file():
        return path
    if path.suffix in (".yaml", ".yml"):
        raise UserError(f"{path}: no such file; name a mixture's YAML file")
    known = mixture_names()
    raise UserError(f"no mixture {str(name)!r} ({nearest(str(name), known)}), nor a file")


def load_mixture(name):
    """A mixture by the name of a ready-made one or by its YAML file.

    Raises :class:`UserError` with the nearest names, or with the place of what is wrong.

    >>> len(load_mixture("t0++").sets), load_mixture("t0++").rule
    (54, 'metro')
    """
    return _read(_file_of(name))
