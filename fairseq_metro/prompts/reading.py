"""Reading a file of templates in promptsource's YAML format."""

from itertools import pairwise
from pathlib import Path

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.yaml_files import load_yaml
from fairseq_metro.prompts.template import Template


def _field(place, values, key, types, default=None):
    value = values.get(key, default)
    if not isinstance(value, types):
        expected = " or ".join(kind.__name__ for kind in types if kind is not type(None))
        raise UserError(f"{place}: {key} is {value!r}, must be of type {expected}")
    return value


def _template(path, dataset, key, values, complete):
    place = f"{path}: template {key!r}"
    if not isinstance(values, dict):
        raise UserError(f"{place} is {values!r}, must be a mapping with a name and jinja")
    none = type(None)
    metadata = _field(place, values, "metadata", (dict, none)) or {}
    name = _field(place, values, "name", (str,))
    place = f"{path}: template {name!r}"
    return Template(
        dataset,
        name,
        _field(place, values, "jinja", (str,)),
        _field(place, values, "answer_choices", (str, none)),
        original_task=bool(_field(place, metadata, "original_task", (bool, none))),
        choices_in_prompt=_field(place, metadata, "choices_in_prompt", (bool, none)),
        metrics=_field(place, metadata, "metrics", (list, none)),
        id=str(key),
        file=str(path),
        complete=complete,
    )


def dataset_of(path, content):
    """The data set that a file says it is for: path[/subset]."""
    if not isinstance(content, dict):
        raise UserError(f"{path}: not a file of templates (no mapping at its top)")
    dataset = _field(path, content, "dataset", (str,))
    subset = _field(path, content, "subset", (str, type(None)))
    return f"{dataset}/{subset}" if subset else dataset


def read_templates(path, dataset=None):
    """(data set, its templates sorted by name) of a file.

    dataset: its name where the folder says it; None: as the file says. ``complete: true`` at the
    top of the file is of all its templates (Template.complete). Raises :class:`UserError`.
    """
    path = Path(path)
    content = load_yaml(path)
    named = dataset_of(path, content)
    dataset = dataset or named
    nodes = _field(path, content, "templates", (dict,))
    complete = bool(_field(path, content, "complete", (bool, type(None))))
    templates = [_template(path, dataset, key, value, complete) for key, value in nodes.items()]
    templates.sort(key=lambda template: template.name)
    for first, second in pairwise(templates):
        if first.name == second.name:
            raise UserError(f"{path}: two templates have the name {first.name!r}; rename one")
    return dataset, templates
