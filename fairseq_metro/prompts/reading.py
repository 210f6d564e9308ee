"""Reading a file of templates in promptsource's YAML format."""

from itertools import pairwise
from pathlib import Path

import yaml

from fairseq_metro.errors import UserError
from fairseq_metro.prompts.template import Template


def _mapping(loader, node):
    seen = set()
    for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
        if key.value in seen:  # YAML's own loader would take the second
            what = f"{key.value!r} stands twice"
            raise yaml.constructor.ConstructorError(None, None, what, key.start_mark)
        seen.add(key.value)
    return loader.construct_mapping(node, deep=True)


def template_loader(base):
    """A subclass of a safe loader of PyYAML, for which promptsource's two tags are plain mappings."""
    loader = type("TemplateLoader", (base,), {})
    for tag in ("!Template", "!TemplateMetadata", "tag:yaml.org,2002:map"):
        loader.add_constructor(tag, _mapping)
    return loader


# libyaml's loader, where PyYAML was built with it, reads the files ten times faster.
_TemplateLoader = template_loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def load_yaml(path):
    """What a YAML file says, as plain values. Raises :class:`UserError`."""
    try:
        with open(path, encoding="utf-8") as stream:
            return yaml.load(stream, Loader=_TemplateLoader)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark else ""
        what = " ".join(str(getattr(error, "problem", None) or error).split())
        raise UserError(f"{path}: {where}not valid YAML ({what}); mend the file") from None


def _field(place, values, key, types, default=None):
    value = values.get(key, default)
    if not isinstance(value, types):
        wanted = " or ".join(kind.__name__ for kind in types if kind is not type(None))
        raise UserError(f"{place}: {key} is {value!r}, must be of type {wanted}")
    return value


def _template(path, dataset, key, values):
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

    dataset: its name where the folder says it; None: as the file says. Raises :class:`UserError`.
    """
    path = Path(path)
    content = load_yaml(path)
    said = dataset_of(path, content)
    dataset = dataset or said
    nodes = _field(path, content, "templates", (dict,))
    templates = [_template(path, dataset, key, values) for key, values in nodes.items()]
    templates.sort(key=lambda template: template.name)
    for first, second in pairwise(templates):
        if first.name == second.name:
            raise UserError(f"{path}: two templates have the name {first.name!r}; rename one")
    return dataset, templates
