"""The Jinja environment that templates are rendered in: promptsource's, in a sandbox.

Templates come from files that others wrote. They may use Python's methods and indexing, as many of
promptsource's do, but reach no code, and ask for no enormous range, number or text.
"""

from collections import Counter
from itertools import islice

from jinja2 import meta, nodes, pass_context
from jinja2.exceptions import SecurityError
from jinja2.sandbox import SandboxedEnvironment

from fairseq_metro.prompts.randomness import drawing

LONGEST = 1_000_000  # characters, items or bits that one operation may make
MOST_PIECES = 1_000_000  # printed pieces of one rendering


def _refuse_beyond(size, what):
    if size > LONGEST:
        raise SecurityError(f"{what} of size {size} is too large (at most {LONGEST})")


def _size(value):
    return len(value) if isinstance(value, (str, bytes, list, tuple)) else None


class TemplateEnvironment(SandboxedEnvironment):
    """Jinja's sandbox that also refuses multiplications and powers with enormous results."""

    intercepted_binops = frozenset(["*", "**"])

    def call_binop(self, context, operator, left, right):
        if operator == "**" and isinstance(left, int) and isinstance(right, int):
            _refuse_beyond(left.bit_length() * max(right, 0), "a power")
        elif operator == "*":
            for sequence, times in ((left, right), (right, left)):
                if _size(sequence) is not None and isinstance(times, int):
                    _refuse_beyond(_size(sequence) * times, "a repetition")
            if isinstance(left, int) and isinstance(right, int):
                _refuse_beyond(left.bit_length() + right.bit_length(), "a product")
        return super().call_binop(context, operator, left, right)


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


ENVIRONMENT = TemplateEnvironment()
ENVIRONMENT.globals["zip"] = zip
ENVIRONMENT.filters.update(
    choice=choice, random=random_item, most_frequent=most_frequent, highlight=highlight
)

_CHANGING = frozenset(
    "append clear extend insert pop popitem remove reverse setdefault sort update".split()
)


class Compiled:
    """A piece of Jinja, compiled once.

    variables: names it takes from the row; random: whether it draws; changes: whether it calls a
    method that changes a list or dict, which may be the row's.
    Raises jinja2.TemplateSyntaxError.
    """

    def __init__(self, source):
        tree = ENVIRONMENT.parse(source)
        self.variables = frozenset(meta.find_undeclared_variables(tree))
        self.random = any(f.name in ("choice", "random") for f in tree.find_all(nodes.Filter))
        self.changes = any(
            isinstance(call.node, nodes.Getattr) and call.node.attr in _CHANGING
            for call in tree.find_all(nodes.Call)
        )
        self._template = ENVIRONMENT.from_string(source)

    def render(self, variables):
        """The text for ``variables`` (dict by name). Raises whatever the template runs into."""
        pieces = self._template.root_render_func(self._template.new_context(variables))
        text = "".join(islice(pieces, MOST_PIECES))
        if next(pieces, None) is not None:
            raise SecurityError(f"it prints more than {MOST_PIECES} pieces")
        return text
