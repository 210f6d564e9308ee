"""The Jinja environment that templates are rendered in: promptsource's, in a sandbox.

Templates come from files that others wrote. They may use Python's methods and indexing, as many of
promptsource's do, but reach no code, and no single operation makes an enormous range, number or
text. What many small operations add up to is bounded only in the number of printed pieces.
"""

from collections import Counter
from functools import cached_property
from itertools import islice

from jinja2 import meta, nodes, pass_context
from jinja2.exceptions import SecurityError
from jinja2.sandbox import SandboxedEnvironment

from fairseq_metro.prompts import limits
from fairseq_metro.prompts.missing import NotedUndefined, inner_null, is_none
from fairseq_metro.prompts.randomness import drawing

MOST_PIECES = 1_000_000  # of one rendering


class TemplateEnvironment(SandboxedEnvironment):
    """Jinja's sandbox that also refuses single operations with enormous results."""

    intercepted_binops = frozenset(["*", "**", "%"])

    def call_binop(self, context, operator, left, right):
        limits.check_operator(operator, left, right)
        return super().call_binop(context, operator, left, right)

    def call(self, context, function, *args, **kwargs):
        owner = getattr(function, "__self__", None)
        if isinstance(owner, (str, bytes, int, list)):
            limits.check_method(owner, function.__name__, (*args, *kwargs.values()))
        return super().call(context, function, *args, **kwargs)

    def getattr(self, obj, attribute):
        return inner_null(super().getattr(obj, attribute), attribute)

    def getitem(self, obj, argument):
        return inner_null(super().getitem(obj, argument), argument)

    def unsafe_undefined(self, obj, attribute):
        kind = type(obj).__name__
        raise SecurityError(
            f"access to attribute {attribute!r} of a value of type {kind} is unsafe"
        )

    def wrap_str_format(self, value):
        formatting = super().wrap_str_format(value)
        if formatting is not None:
            limits.check_format(value.__self__)
        return formatting


# `pass_context` keeps Jinja from evaluating these once, when it compiles a template.
@pass_context
def choice(context, items):
    """A random item; IndexError where there is none."""
    return drawing().choice(items)


@pass_context
def random_item(context, items):
    """Jinja's own ``random``: an item, or nothing where there is none."""
    try:
        return drawing().choice(items)
    except IndexError:
        return context.environment.undefined("No random item, sequence was empty.")


def most_frequent(items):
    """All items that no other is more frequent than, in order of appearance; None for no items.

    >>> most_frequent(["b", "a", "b", "a", "c"])
    ['b', 'a']
    """
    if not items:
        return None
    counts = Counter(items)
    most = max(counts.values())
    return [item for item, count in counts.items() if count == most]


def highlight(text):
    """What promptsource's editor marks a variable with."""
    return "<span style='color: #F08080'>" + text + "</span>"


ENVIRONMENT = TemplateEnvironment(undefined=NotedUndefined)
ENVIRONMENT.tests["none"] = is_none
ENVIRONMENT.globals["zip"] = zip
del ENVIRONMENT.globals["lipsum"]  # random paragraphs, as many as one asks for
_FILTERS = ENVIRONMENT.filters
for _name in ("batch", "center", "indent", "slice", "tojson", "wordwrap"):
    _FILTERS[_name] = limits.bounded(limits.check_counts, _FILTERS[_name])
_FILTERS.update(
    choice=choice,
    random=random_item,
    most_frequent=most_frequent,
    highlight=highlight,
    format=limits.bounded(
        lambda text, *_, **__: limits.check_format(str(text)), _FILTERS["format"]
    ),
    join=limits.bounded(
        lambda _, items, d="", *__, **___: limits.check_separator(str(d)), _FILTERS["join"]
    ),
    replace=limits.bounded(
        lambda _, text, old, new, *__: limits.check_replacement(str(text), str(old), str(new)),
        _FILTERS["replace"],
    ),
)

_CHANGING = frozenset(
    "append clear extend insert pop popitem remove reverse setdefault sort update".split()
)


class Compiled:
    """A piece of Jinja, compiled once.

    random: whether it draws; changes: whether it calls a method that changes a list or dict, which
    may be the row's. Raises jinja2.TemplateSyntaxError.
    """

    def __init__(self, source):
        tree = ENVIRONMENT.parse(source)
        self._source = source
        self.random = any(f.name in ("choice", "random") for f in tree.find_all(nodes.Filter))
        self.changes = any(
            isinstance(call.node, nodes.Getattr) and call.node.attr in _CHANGING
            for call in tree.find_all(nodes.Call)
        )
        self._template = ENVIRONMENT.from_string(tree)
        # Jinja's chained dictionary takes most of a small template's time.
        self._template.globals = dict(self._template.globals)

    @cached_property
    def variables(self):
        """Names that it takes from the row: a frozenset of str."""
        return frozenset(meta.find_undeclared_variables(ENVIRONMENT.parse(self._source)))

    def render(self, variables):
        """The text for ``variables`` (dict by name). Raises whatever the template runs into."""
        pieces = self._template.root_render_func(self._template.new_context(variables))
        text = "".join(islice(pieces, MOST_PIECES))
        if next(pieces, None) is not None:
            raise SecurityError(f"it prints more than {MOST_PIECES} pieces")
        return text
