"""The reader of all YAML files, which may be untrusted: templates, mixtures, suites, tasks.

A small YAML file can demand much: aliases that multiply, nesting that overflows the stack, tags
that build objects, numbers in base 60, dates that do not exist. So the events of a file are counted
before anything is built, and plain values alone are made of it: mappings, lists, text, whole and
floating-point numbers, booleans and nulls.
"""

import re
from pathlib import Path

import yaml

from fairseq_metro.common.errors import UserError, shown

MOST_BYTES = 4 << 20
DEEPEST = 50
MOST_NODES = 200_000  # aliases counted as often as they stand for something
MOST_DIGITS = 18  # of a whole number: what 64 bits hold

_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f]")  # escapes of a terminal
_PLAIN = ("null", "bool", "int", "float", "str", "seq", "map", "merge")
_C_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's is ten times faster


def _mapping(loader, node):
    seen = set()
    for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
        if key.value in seen:  # YAML's own loader would take the second
            what = f"{key.value!r} stands twice"
            raise yaml.constructor.ConstructorError(None, None, what, key.start_mark)
        seen.add(key.value)
    return loader.construct_mapping(node, deep=True)


def _whole_number(loader, node):
    text = loader.construct_scalar(node).replace("_", "")
    try:
        if len(text.lstrip("+-")) > MOST_DIGITS:
            raise ValueError
        return int(text)
    except ValueError:
        what = f"{shown(text, 40)} is not a whole number of at most {MOST_DIGITS} digits"
        raise yaml.constructor.ConstructorError(None, None, what, node.start_mark) from None


def _number(loader, node):
    text = loader.construct_scalar(node).replace("_", "").lower()
    try:
        return float(re.sub(r"\.(?=inf$|nan$)", "", text))
    except ValueError:
        what = f"{shown(node.value, 40)} is not a number"
        raise yaml.constructor.ConstructorError(None, None, what, node.start_mark) from None


def plain_loader(base):
    """A subclass of a safe PyYAML loader that constructs only plain values.

    promptsource's two tags are plain mappings; a number in base 60 and a date are text.
    """
    loader = type("PlainLoader", (base,), {})
    tags = {f"tag:yaml.org,2002:{name}" for name in _PLAIN}
    loader.yaml_constructors = {
        tag: make for tag, make in base.yaml_constructors.items() if tag in tags or tag is None
    }
    loader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag in tags]
        for first, resolvers in base.yaml_implicit_resolvers.items()
    }
    for tag in ("!Template", "!TemplateMetadata", "tag:yaml.org,2002:map"):
        loader.add_constructor(tag, _mapping)
    loader.add_constructor("tag:yaml.org,2002:int", _whole_number)
    loader.add_constructor("tag:yaml.org,2002:float", _number)
    _without_base_60(loader)
    return loader


def _without_base_60(loader):
    """Resolve ``1:30`` as text: YAML 1.1's patterns of numbers end in a base-60 form."""
    patterns = {
        "tag:yaml.org,2002:int": re.compile(r"[-+]?(?:0|[1-9][0-9_]*)$"),
        "tag:yaml.org,2002:float": re.compile(
            r"[-+]?(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+][0-9]+)?$"
            r"|[-+]?\.(?:inf|Inf|INF)$|\.(?:nan|NaN|NAN)$"
        ),
    }
    loader.yaml_implicit_resolvers = {
        first: [(tag, patterns.get(tag, pattern)) for tag, pattern in resolvers]
        for first, resolvers in loader.yaml_implicit_resolvers.items()
    }


_Loader = plain_loader(_C_LOADER)


def load_yaml(path):
    """Load a YAML file as plain values.

    Raises :class:`UserError` with file and line for a file that cannot be read, is not YAML, gives a
    key twice, or is beyond :data:`MOST_BYTES`, :data:`DEEPEST` or :data:`MOST_NODES`.
    """
    path = Path(path)
    try:
        if not path.is_file() and path.exists():
            raise UserError(f"{path}: not a file; give a YAML file")
        with open(path, "rb") as stream:
            data = stream.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise UserError(f"{path}: larger than {MOST_BYTES >> 20} MiB; split the file")
        text = data.decode("utf-8")
        _refuse_excess(path, text)
        return yaml.load(text, Loader=_Loader)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark else ""
        what = " ".join(str(getattr(error, "problem", None) or error).split())
        raise UserError(f"{path}: {where}not valid YAML ({what}); mend the file") from None


def _refuse_excess(path, text):
    """Count the nodes of a file from its events alone, without building any of them."""
    sizes, totals, depth = {}, [0], 0  # of anchors; of the open collections
    anchors = []  # of the open collections

    def excess(event, what):
        return UserError(f"{path}: line {event.start_mark.line + 1}: {what}; mend the file")

    for event in yaml.parse(text, Loader=_C_LOADER):
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes:
                raise excess(
                    event, f"the alias {shown(event.anchor, 40)} is unknown, or inside itself"
                )
            totals[-1] += sizes[event.anchor]
        elif isinstance(event, yaml.ScalarEvent):
            if control := _CONTROL.search(event.value):
                raise excess(event, f"holds the control character {control[0]!a}")
            totals[-1] += 1
            if event.anchor:
                sizes[event.anchor] = 1
        elif isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > DEEPEST:
                raise excess(event, f"nested more than {DEEPEST} deep")
            totals.append(1)
            anchors.append(event.anchor)
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
            size, anchor = totals.pop(), anchors.pop()
            if anchor:
                sizes[anchor] = size
            totals[-1] += size
        if totals[-1] > MOST_NODES:
            raise excess(
                event, f"more than {MOST_NODES:,} values, aliases counted as they are used"
            )
