"""FLAN's pairs of texts to templates in promptsource's format, with our rows' fields in them."""

import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.yaml_files import load_yaml
from fairseq_metro.prompts.template import SEPARATOR

ANSWERS = ("answer", "answer_str")
OPTIONS = ("options_", "options_str")
_FIELD = re.compile(r"\{(\w+)\}")
_OWN_OPTIONS, _OWN_ANSWER = "options", "answer"  # of rows with FLAN's own fields


@dataclass(frozen=True)
class FlanSet:
    """How FLAN's fields of a set are made from a row of a data set.

    dataset: ours; fields: FLAN's name -> Jinja, an expression or statements; options: a Jinja
    expression for the list of answers, or None; fixed: these answers where no row changes them;
    index: an expression for the right one's place; answer: an expression for {answer}, or None: the
    right option. own: whether rows have FLAN's own fields, whatever they are.
    """

    dataset: str
    fields: dict = field(default_factory=dict)
    options: str | None = None
    fixed: tuple = ()
    index: str = "label"
    answer: str | None = None
    own: bool = False

    @property
    def choices(self):
        """``answer_choices`` of a template that lists them."""
        joined = f'{{{{ ({self.options}) | join("{SEPARATOR}") }}}}'
        return f" {SEPARATOR} ".join(self.fixed) if self.fixed else joined

    def expression(self, name, listed):
        """Jinja for a field of FLAN's: str, or None where rows do not have it.

        listed: whether the template has answer choices.
        """
        if name in self.fields:
            return self.fields[name]
        if self.options and name in OPTIONS:
            choices = "answer_choices" if listed else f"({self.options})"
            return f'"OPTIONS:\\n- " ~ ({choices} | join("\\n- "))'
        if name in ANSWERS and self.answer:
            return self.answer
        if name in ANSWERS and self.options:
            return f"answer_choices[{self.index}]" if listed else f"({self.options})[{self.index}]"
        return name if self.own else None


@cache
def _known_sets():
    return load_yaml(Path(__file__).with_name("sets.yaml"))


def sets_of(name):
    """The :class:`FlanSet` of each of our data sets that take the templates of FLAN's set: list.

    A set that is not known takes rows of its own name with FLAN's own fields.
    """
    entry = _known_sets().get(name)
    if entry is None:
        return [_own(name)]
    datasets = entry["datasets"]
    if "fields" not in entry:
        return [_own(dataset) for dataset in datasets]
    fields = entry["fields"]
    fields = fields if isinstance(fields, dict) else {name: name for name in fields}
    fixed = tuple(entry["options"].split(f" {SEPARATOR} ")) if "options" in entry else ()
    options = f"[{', '.join(map(quoted, fixed))}]" if fixed else entry.get("options_from")
    more = {key: entry[key] for key in ("index", "answer") if key in entry}
    own_fields = datasets if isinstance(datasets, dict) else {key: {} for key in datasets}
    return [
        FlanSet(dataset, fields | own, options, fixed, **more)
        for dataset, own in own_fields.items()
    ]


def _own(dataset):
    return FlanSet(dataset, options=_OWN_OPTIONS, answer=_OWN_ANSWER, own=True)


def is_known(name):
    """Whether a set of FLAN's belongs to a data set of ours."""
    return name in _known_sets()


def quoted(text):
    """A text as a Jinja string.

    >>> quoted('He said "no".')
    '"He said \\\\"no\\\\"."'
    """
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def converted(path, name, pairs, flan_set):
    """(file of templates as a dict, fields that rows lack and in how many templates: dict).

    path, name: of FLAN's file and set, for messages; pairs: of (input, target). A template that
    needs a field which the rows do not have is left out.
    """
    templates, lacking = {}, {}
    targets = [target for _, target in pairs]
    usual = max(targets, key=targets.count)  # of the task itself; others turn it around
    width = max(2, len(str(len(pairs))))
    for number, (source, target) in enumerate(pairs, 1):
        place = f"{path}: template {number} of set {name!r}"
        listed = any(option in _FIELD.findall(source) for option in OPTIONS)
        listed = listed and flan_set.options is not None and _FIELD.fullmatch(target) is not None
        listed = listed and _FIELD.fullmatch(target)[1] in ANSWERS
        parts = [_jinja(place, text, flan_set, listed) for text in (source, target)]
        missing = {field for _, fields in parts for field in fields}
        for option in missing:
            lacking[option] = lacking.get(option, 0) + 1
        if missing:
            continue
        title = f"flan {number:0{width}}"
        templates[title.replace(" ", "-")] = {
            "name": title,
            "jinja": f" {SEPARATOR} ".join(text for text, _ in parts),
            "answer_choices": flan_set.choices if listed else None,
            "metadata": {"original_task": target == usual, "choices_in_prompt": listed},
        }
    dataset, _, subset = flan_set.dataset.partition("/")
    head = {"dataset": dataset, **({"subset": subset} if subset else {}), "complete": True}
    return {**head, "templates": templates}, lacking


def _jinja(place, text, flan_set, listed):
    """(A text of FLAN's as Jinja, fields that rows do not have)."""
    if SEPARATOR in text:
        raise UserError(f"{place} holds {SEPARATOR!r}, which parts input and target; change it")
    parts, missing, end = [], [], 0
    for match in _FIELD.finditer(text):
        parts.append(_literal(text[end : match.start()]))
        expression = flan_set.expression(match[1], listed)
        if expression is None:
            missing.append(match[1])
        elif "{%" in expression:
            parts.append(expression)
        else:
            parts.append(f"{{{{ {expression} }}}}")
        end = match.end()
    return "".join([*parts, _literal(text[end:])]), missing


def _literal(text):
    """Text that Jinja prints as it is: a brace would begin an expression."""
    return text.replace("{", '{{ "{" }}')
