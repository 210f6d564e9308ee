"""Rows for templates: from a data set's schema, or from what a template does with its variables."""

from functools import lru_cache
from pathlib import Path

import yaml
from jinja2 import Environment, meta, nodes

_READ = yaml.safe_load(Path(__file__).with_name("schemas.yaml").read_text("utf-8"))
MIXTURES = frozenset(_READ["mixtures"])
SCHEMAS = _READ["mixtures"] | _READ["others"]
WORDS = "the a cat 3 Zoë said “why?” {{x}} <b>&amp;</b> it's 1.5 \n no. 東京 \t - %s {a} \\n".split(
    " "
)
TEXT_METHODS = {"split", "lower", "upper", "replace", "capitalize", "strip", "startswith", "title"}
TEXT_METHODS |= {"endswith", "find", "rstrip", "lstrip", "splitlines", "isdigit", "format"}
NUMBER_FILTERS, TEXT_FILTERS = {"abs", "round", "int", "float"}, {"lower", "upper", "capitalize"}
LIST_FILTERS = {"join", "choice", "random", "first", "last", "map", "list", "selectattr", "unique"}
LIST_FILTERS |= {"most_frequent", "sort", "sum", "max", "min", "reject", "rejectattr", "select"}


def made_text(rng):
    """A text; now and then with the separator in it, very long, or empty."""
    kind = rng.random()
    count = 600 if kind < 0.06 else rng.randint(1, 9)
    words = [rng.choice(WORDS) for _ in range(count)]
    if kind < 0.06:  # 3,000 characters and more, with blanks or without any
        return rng.choice([" ", "xyz"]).join([*words, "long" * 150])
    if kind < 0.2:
        words.insert(rng.randint(0, len(words)), rng.choice(["|||", " ||| ", "a|||b"]))
    return " ".join(words) if kind < 0.98 else ""


def made_value(schema, rng, length):
    """A value of a schema's type; its lists have `length` items, as parallel fields need."""
    if isinstance(schema, dict):
        return {key: made_value(inner, rng, length) for key, inner in schema.items()}
    if isinstance(schema, list):
        return [made_value(schema[0], rng, length) for _ in range(length)]
    schema = str(schema)
    if schema == "letters":
        return list("ABCDEFGHIJ"[:length])
    if schema == "text" or schema.startswith("in "):
        return made_text(rng)
    if schema == "int":
        return rng.choice([0, 1, 2, 3, 17])
    if schema == "bool":
        return rng.random() < 0.5
    if ".." in schema:
        first, last = map(int, schema.split(".."))
        return rng.randint(first, last)
    if schema.replace(",", "").isdigit():
        return int(rng.choice(schema.split(",")))
    return rng.choice(schema.split("|"))


def row_of_schema(schema, rng):
    """A row; its lists are often of the usual lengths, at times empty."""
    if isinstance(schema, list):
        schema = rng.choice(schema)
    row = made_value(schema, rng, rng.choice([4, 4, 4, 4, 8, 8, 1, 5, 3, 0]))
    for key, kind in schema.items():
        if str(kind).startswith("in ") and row[kind[3:]]:
            row[key] = rng.choice(row[kind[3:]])
    return row


def with_separators(row, rng):
    """The row with ``|||`` inside its texts, one of which has 3,000 characters and more."""
    texts = [key for key, value in row.items() if isinstance(value, str) and " " in value]
    row = row | {key: row[key].replace(" ", "|||", 1) for key in texts}
    if texts:
        row[rng.choice(texts)] = "|||".join(rng.choice(WORDS) * 40 for _ in range(75)) + "x" * 3000
    return row


class Shape:
    """What a template does with one value: its fields, its items, what it is compared with."""

    def __init__(self):
        self.fields, self.items, self.constants, self.kinds = {}, None, [], set()
        self.least, self.separator = 0, None  # items that are asked for; what a text is split at

    def field(self, name):
        return self.fields.setdefault(name, Shape())

    def item(self):
        self.items = self.items or Shape()
        return self.items

    def made(self, rng, length, choices, flip):
        """A value; `flip`: the probability of another type than the uses suggest."""
        if rng.random() < flip:
            return rng.choice([made_text(rng), rng.randint(0, 2), [made_text(rng)] * 3, "1", None])
        if self.fields:
            return {key: s.made(rng, length, choices, flip) for key, s in self.fields.items()}
        if self.items is not None or "list" in self.kinds:
            item = self.items or Shape()
            count = max(length, self.least)
            return [item.made(rng, length, choices, flip) for _ in range(count)]
        if self.constants and (rng.random() < 0.9 or "index" not in self.kinds):
            return rng.choice(self.constants)
        if "index" in self.kinds:
            return rng.randint(0, max(min(length, choices) - 1, 0))
        if self.separator:
            return self.separator.join(rng.choice(WORDS) for _ in range(6))
        return rng.randint(0, 5) if "number" in self.kinds else made_text(rng)


class Uses:
    """The shapes of a template's variables, found by walking its syntax tree."""

    def __init__(self):
        self.row, self.local = {}, {}

    def shape(self, node):
        """The shape that an expression's value belongs to; a fresh one where it is computed."""
        found = getattr(self, f"_{type(node).__name__.lower()}", None)
        if found is not None:
            return found(node) or Shape()
        for child in node.iter_child_nodes():
            self.shape(child)
        return Shape()

    def _name(self, node):
        return self.local.get(node.name) or self.row.setdefault(node.name, Shape())

    def _getattr(self, node):
        return self.shape(node.node).field(node.attr)

    def _getitem(self, node):
        owner, arg = self.shape(node.node), node.arg
        if isinstance(arg, nodes.Const) and isinstance(arg.value, str):
            return owner.field(arg.value)
        if isinstance(arg, nodes.Const) and isinstance(arg.value, int):
            owner.least = max(owner.least, arg.value + 1)
        else:
            index = self.shape(arg)
            if isinstance(arg, nodes.Slice):
                return owner
            if isinstance(node.node, nodes.Dict):
                index.constants += [i.key.value for i in node.node.items if hasattr(i.key, "value")]
                return None
            index.kinds.add("index")
        return owner.item()

    def _call(self, node):
        arguments = [self.shape(arg) for arg in node.args]
        if isinstance(node.node, nodes.Getattr):
            method, owner = node.node.attr, self.shape(node.node.node)
            if method in TEXT_METHODS:
                owner.kinds.add("text")
                if method == "split":
                    owner.separator = getattr(node.args[0], "value", " ") if node.args else " "
            elif method == "index" and isinstance(node.node.node, nodes.List) and arguments:
                arguments[0].constants += [i.value for i in node.node.node.items]
            elif method == "join" and arguments:
                arguments[0].kinds.add("list")
            elif method in ("items", "keys", "values"):
                owner.field("some")
        elif isinstance(node.node, nodes.Name) and node.node.name == "range":
            for argument in arguments:
                argument.kinds.add("number")
        return None

    def _filter(self, node):
        value = self.shape(node.node) if node.node is not None else Shape()
        for child in (*node.args, *node.kwargs):
            self.shape(child)
        if node.name in NUMBER_FILTERS:
            value.kinds.add("number")
        elif node.name in TEXT_FILTERS:
            value.kinds.add("text")
        elif node.name in LIST_FILTERS:
            value.kinds.add("list")
            attribute = [k.value.value for k in node.kwargs if k.key == "attribute"]
            if node.name == "selectattr" and isinstance(node.args[0], nodes.Const):
                attribute = [node.args[0].value]
            if attribute and isinstance(attribute[0], str):
                inner = value.item().field(attribute[0])
                if node.name == "map":
                    mapped = Shape()
                    mapped.items = inner
                    return mapped
            if node.name in ("choice", "random", "first", "last", "max", "min"):
                return value.item()
            return value
        return value if node.name in ("default", "string", "truncate", "replace", "trim") else None

    def _compare(self, node):
        left = self.shape(node.expr)
        for operand in node.ops:
            right = self.shape(operand.expr)
            for side, other in ((left, operand.expr), (right, node.expr)):
                if isinstance(other, nodes.Const):
                    side.constants.append(other.value)
                    if isinstance(other.value, (int, float)) and operand.op not in ("eq", "ne"):
                        side.constants += [other.value + 1, other.value - 1]
                elif isinstance(other, (nodes.List, nodes.Tuple)) and operand.op in ("in", "notin"):
                    side.constants += [i.value for i in other.items if hasattr(i, "value")]
                    side.constants.append("else")
        return None

    def _binary(self, node):
        for side, other in ((node.left, node.right), (node.right, node.left)):
            shape = self.shape(side)
            if isinstance(other, nodes.Const):
                shape.kinds.add("text" if isinstance(other.value, str) else "number")
        return None

    _add = _sub = _mul = _div = _mod = _floordiv = _binary

    def _for(self, node):
        value = self.shape(node.iter)
        value.kinds.add("list")
        self._bind(node.target, value.item(), node.iter)
        for child in (*node.body, *node.else_, *([node.test] if node.test else [])):
            self.shape(child)

    def _bind(self, target, item, source):
        if isinstance(target, nodes.Name):
            self.local[target.name] = item
            return
        zipped = isinstance(source, nodes.Call) and getattr(source.node, "name", "") == "zip"
        for i, name in enumerate(target.items):
            self.local[name.name] = Shape()
            if zipped and i < len(source.args):
                owner = self.shape(source.args[i])
                self.local[name.name] = owner.item()

    def _assign(self, node):
        value = self.shape(node.node)
        if isinstance(node.target, nodes.Name):
            self.local[node.target.name] = value


@lru_cache(maxsize=4)
def uses_of(jinja, answer_choices):
    """Shapes by name of the variables that a template takes from its row."""
    environment, uses, names = Environment(), Uses(), set()
    environment.filters.update(choice=len, most_frequent=len)
    for source in (jinja, answer_choices or ""):
        tree = environment.parse(source)
        names |= meta.find_undeclared_variables(tree)
        uses.shape(tree)
        uses.local = {}
    names -= {"answer_choices", "zip", "range", "namespace"}
    return {name: uses.row.get(name) or Shape() for name in sorted(names)}


def row_from_uses(jinja, answer_choices, rng, flip=0.0):
    """A row with values for the variables of a template, of the types its uses suggest."""
    length, choices = rng.choice([2, 3, 4, 5]), (answer_choices or "|||").count("|||") + 1
    shapes = uses_of(jinja, answer_choices)
    return {name: shape.made(rng, length, choices, flip) for name, shape in shapes.items()}
