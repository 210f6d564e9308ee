"""Task groups as data: how a group's intermediate examples are drawn, worded, filtered, sized.

A group is a YAML file: the package's own (``sentence_pair``, ``single_sentence``), or a user's with
the same keys. Source: SMASH, section 3.2 and appendix A.1.
"""

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.yaml_files import load_yaml
from fairseq_metro.prompts.collection import nearest
from fairseq_metro.prompts.mixtures.keys import Kind, checked
from fairseq_metro.smash.templates import CHARACTER, DROPS, PromptTemplate
from fairseq_metro.smash.truncation import BUDGET, TRUNCATIONS

VERSION = 1
SAMPLERS = PAIRS, SENTENCES = "pairs", "sentences"
SENTENCES_OF = {PAIRS: 2, SENTENCES: 1}
RULE_LABELS = (0, 1, 2)  # of pairs: two documents; one document, not adjacent; adjacent
NO_LABEL = -1  # of single sentences
DIRECTIONS = BOTH, NEXT = "both", "next"
_LEAST_SENTENCES = {PAIRS: 4, SENTENCES: 1}
_FOLDER = Path(__file__).parent / "groups"


@dataclass(frozen=True)
class Filter:
    """Keep an example if the likeliest of ``words`` is likelier, among them, than its threshold."""

    words: tuple[str, ...]
    above: tuple[float, ...]


@dataclass(frozen=True)
class TaskGroup:
    """One group. Lengths in tokens, of one sentence (least_tokens) or the whole prompt (max_length).

    drop: what ``sent-_`` leaves out (smash/templates.py); truncation: smash/truncation.py;
    verbalizer: rule label -> word, empty where the group has none; recipe: the paper's numbers.
    """

    name: str
    sampler: str
    template: str
    max_length: int
    truncation: str = BUDGET
    drop: str = CHARACTER
    verbalizer: dict[int, str] = field(default_factory=dict)
    filter: Filter | None = None
    least_tokens: int = 5
    least_sentences: int = 1
    direction: str = BOTH
    recipe: dict = field(default_factory=dict)

    @property
    def labels(self):
        """Rule labels of the group's examples, which come in equal numbers: tuple of int."""
        return RULE_LABELS if self.sampler == PAIRS else (NO_LABEL,)

    def settings(self):
        """What decides about the examples, for JSON: dict."""
        settings = {name: value for name, value in asdict(self).items() if name != "recipe"}
        settings["verbalizer"] = {str(label): word for label, word in self.verbalizer.items()}
        if self.filter is not None:
            settings["filter"] = {name: list(value) for name, value in settings["filter"].items()}
        return settings

    def epochs(self, examples):
        """How often the recipe's schedule visits each of ``examples``; None without a schedule.

        >>> group = load_group("sentence_pair")
        >>> [round(group.epochs(n), 1) for n in (1_300_000, 13_000_000)]
        [19.7, 2.0]
        """
        if not {"steps", "batch"} <= self.recipe.keys():
            return None
        return self.recipe["steps"] * self.recipe["batch"] / examples


def _text(value):
    return value if isinstance(value, str) and value.strip() else None


def _whole(low):
    return Kind(
        f"a whole number from {low}",
        lambda value: value if type(value) is int and value >= low else None,
    )


def _one_of(*words):
    return Kind(
        f"one of {', '.join(map(str, words))}",
        lambda value: value if isinstance(value, (str, int)) and value in words else None,
    )


def _positive(value):
    good = type(value) in (int, float) and math.isfinite(value) and value > 0
    return value if good else None


def _mapping(value):
    return value if isinstance(value, dict) else None


def _verbalizer(value):
    good = isinstance(value, dict) and all(
        type(label) is int and _text(word) for label, word in value.items()
    )
    return value if good and len(set(value.values())) == len(value) else None


def _words(value):
    good = isinstance(value, list) and len(value) > 1 and all(map(_text, value))
    return tuple(value) if good and len(set(value)) == len(value) else None


def _is_share(value):
    return type(value) in (int, float) and 0 <= value < 1


def _thresholds(value):
    values = list(value.values()) if isinstance(value, dict) else [value]
    return value if values and all(map(_is_share, values)) else None


KEYS = {
    "version": _one_of(VERSION),
    "name": Kind("a text", _text),
    "sampler": _one_of(*SAMPLERS),
    "template": Kind("a template in LM-BFF's language", _text),
    "verbalizer": Kind("a mapping of rule labels to different words", _verbalizer),
    "filter": Kind("a mapping with words and above", _mapping),
    "max_length": _whole(8),
    "truncation": _one_of(*TRUNCATIONS),
    "drop": _one_of(*DROPS),
    "least_tokens": _whole(1),
    "least_sentences": _whole(1),
    "direction": _one_of(*DIRECTIONS),
    "recipe": Kind("a mapping of numbers", _mapping),
}
FILTER_KEYS = {
    "words": Kind("a list of different words, two at least", _words),
    "above": Kind("a number from 0 to below 1, or one for each word", _thresholds),
}
RECIPE_KEYS = {
    **{name: _whole(1) for name in ("size", "printed_size", "steps", "batch")},
    **{name: Kind("a number above 0", _positive) for name in ("printed_epochs", "learning_rate")},
}
_NEEDED = ("version", "name", "sampler", "template", "max_length")


def group_names():
    """Names of the package's groups, sorted: list of str.

    >>> group_names()
    ['sentence_pair', 'single_sentence']
    """
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def load_group(name):
    """A group by its name or its YAML file: :class:`TaskGroup`.

    Raises :class:`UserError` with the nearest names, or with the place of what is wrong.

    >>> load_group("single_sentence").filter.words
    ('terrible', 'bad', 'okay', 'good', 'great')
    """
    path = _FOLDER / f"{name}.yaml"
    if str(name) not in group_names():
        path = Path(name)
        if not path.is_file():
            if path.suffix in (".yaml", ".yml"):
                raise UserError(f"{path}: no such file; name a group's YAML file")
            known = group_names()
            raise UserError(
                f"no task group {str(name)!r} ({nearest(str(name), known)}; all: "
                f"{', '.join(known)}); give one of them or a YAML file"
            )
    return read_group(path, load_yaml(path))


def read_group(path, values):
    """The :class:`TaskGroup` that a file's values describe. Raises :class:`UserError`."""
    values = checked(path, values, KEYS)
    for key in _NEEDED:
        if key not in values:
            raise UserError(f"{path}: no {key!r}; give {KEYS[key].expected}")
    del values["version"]
    sampler = values["sampler"]
    if "filter" in values:
        values["filter"] = _read_filter(f"{path}: filter", values["filter"])
    values["recipe"] = checked(f"{path}: recipe", values.get("recipe", {}), RECIPE_KEYS)
    if sampler != PAIRS:
        for key in ("direction", "verbalizer"):
            if key in values:
                raise UserError(f"{path}: {key} says nothing of single sentences; leave it out")
    elif "verbalizer" in values and set(values["verbalizer"]) != set(RULE_LABELS):
        raise UserError(
            f"{path}: verbalizer names the labels {sorted(values['verbalizer'])}, must name "
            f"{', '.join(map(str, RULE_LABELS))}"
        )
    _check_template(path, sampler, values["template"])
    least = _LEAST_SENTENCES[sampler]
    if values.setdefault("least_sentences", least) < least:
        raise UserError(
            f"{path}: least_sentences is {values['least_sentences']}, must be at least {least} for "
            f"{sampler}: every sentence needs one in its document that is not next to it"
        )
    return TaskGroup(**values)


def _check_template(path, sampler, template):
    try:
        sentences = PromptTemplate.parse(template).sentences
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    if sentences != SENTENCES_OF[sampler]:
        raise UserError(
            f"{path}: template {template!r} takes {sentences} sentences, but sampler {sampler} "
            f"draws {SENTENCES_OF[sampler]}"
        )


def _read_filter(place, values):
    values = checked(place, values, FILTER_KEYS)
    for key in FILTER_KEYS:
        if key not in values:
            raise UserError(f"{place}: no {key!r}; give {FILTER_KEYS[key].expected}")
    words, above = values["words"], values["above"]
    if not isinstance(above, dict):
        above = dict.fromkeys(words, above)
    if set(above) != set(words):
        odd = sorted(map(str, set(above) ^ set(words)))
        raise UserError(f"{place}: above and words differ in {', '.join(odd)}; name each word once")
    return Filter(words, tuple(float(above[word]) for word in words))
