"""Which fields of a row a piece of Jinja reads, by its syntax tree.

A field is a path: ``("premise",)``, or ``("question", "stem")`` for ``question.stem``. Names that the
template sets itself (``set``, ``for``, ``with``, macros and their arguments), Jinja's own functions
and ``answer_choices`` are no fields. A field that the template asks for with ``is defined``, or gives
a ``default``, is optional: rows may lack it.
"""

from jinja2 import nodes

from fairseq_metro.prompts.sandbox import ENVIRONMENT

_PROVIDED = frozenset({"answer_choices", "self", *ENVIRONMENT.globals})
_MACRO_NAMES = frozenset({"caller", "varargs", "kwargs"})
_NEW_SCOPE = (nodes.Block, nodes.FilterBlock, nodes.Scope)


def read_by(tree):
    """The paths that a syntax tree reads and that are not optional, in order: list of tuples.

    >>> jinja = "{% set s = q.stem %}{{ s }} {% if hint is defined %}{{ hint }}{% endif %} ||| {{ a }}"
    >>> read_by(ENVIRONMENT.parse(jinja))
    [('q', 'stem'), ('a',)]
    """
    reader = _Reader()
    reader.visit(tree, set())
    for body, names in reader.macros:  # called last, when everything that the template sets is set
        reader.visit_all(body, names)
    optional = reader.optional
    return [
        path
        for path in reader.paths
        if not any(path[:length] in optional for length in range(1, len(path) + 1))
    ]


class _Reader:
    """Walks a syntax tree in the order of rendering. paths: what is read; optional: what may lack.

    ``names`` are the names that are set where a node stands. A name that was set in an inner scope
    before is no field either: Jinja forgets it there, but the author meant the template's own.
    """

    def __init__(self):
        self.paths, self.optional, self.macros = [], set(), []
        self._set_somewhere = set()

    def visit_all(self, several, names):
        for node in several:
            if node is not None:
                self.visit(node, names)

    def visit(self, node, names):
        method = getattr(self, f"_{type(node).__name__.lower()}", None)
        if method is not None:
            method(node, names)
        else:
            inner = set(names) if isinstance(node, _NEW_SCOPE) else names
            self.visit_all(node.iter_child_nodes(), inner)

    def _define(self, target, names):
        """Count the names that an assignment's target holds as set."""
        targets = {name.name for name in target.find_all(nodes.Name)}
        if isinstance(target, nodes.Name):
            targets.add(target.name)
        names |= targets
        self._set_somewhere |= targets

    def _read(self, path, names):
        name = path[0]
        if name not in names and name not in self._set_somewhere and name not in _PROVIDED:
            self.paths.append(path)

    # Expressions

    def _name(self, node, names):
        if node.ctx == "load":
            self._read((node.name,), names)

    def _getattr(self, node, names):
        path = self._path(node, names)
        if path:
            self._read(path, names)

    _getitem = _getattr

    def _path(self, node, names):
        """A chain of constant keys from a name as a path; None, with its parts visited, for others.

        ``answers.text[0].x`` is read as far as ``answers.text``: what a list holds is not followed.
        """
        if isinstance(node, nodes.Name):
            return (node.name,)
        if not isinstance(node, (nodes.Getattr, nodes.Getitem)):
            self.visit(node, names)
            return None
        path = self._path(node.node, names)
        key = node.attr if isinstance(node, nodes.Getattr) else node.arg
        if isinstance(key, nodes.Const):
            key = key.value
        elif not isinstance(key, str):
            self.visit(key, names)
        if path and isinstance(key, str):
            return (*path, key)
        if path:
            self._read(path, names)
        return None

    def _call(self, node, names):
        if isinstance(node.node, nodes.Getattr):  # a method: what it is called on is read
            self.visit(node.node.node, names)
        else:
            self.visit(node.node, names)
        self.visit_all((*node.args, *node.kwargs, node.dyn_args, node.dyn_kwargs), names)

    def _test(self, node, names):
        if node.name in ("defined", "undefined"):
            self._allow_to_lack(node.node, names)
        else:
            self.visit_all(node.iter_child_nodes(), names)

    def _filter(self, node, names):
        if node.name in ("default", "d") and node.node is not None:
            self._allow_to_lack(node.node, names)
            self.visit_all((*node.args, *node.kwargs, node.dyn_args, node.dyn_kwargs), names)
        else:
            self.visit_all(node.iter_child_nodes(), names)

    def _allow_to_lack(self, node, names):
        path = self._path(node, names)
        if path and path[0] not in names:
            self.optional.add(path)
            if len(path) > 1:
                self._read(path[:-1], names)

    # Statements

    def _assign(self, node, names):
        self.visit(node.node, names)
        self._define(node.target, names)

    def _assignblock(self, node, names):
        self.visit_all([node.filter], names)
        self.visit_all(node.body, set(names))
        self._define(node.target, names)

    def _for(self, node, names):
        self.visit(node.iter, names)
        inner = names | {"loop"}
        self._define(node.target, inner)
        self.visit_all([node.test, *node.body], inner)
        self.visit_all(node.else_, set(names))

    def _with(self, node, names):
        self.visit_all(node.values, names)
        inner = set(names)
        for target in node.targets:
            self._define(target, inner)
        self.visit_all(node.body, inner)

    def _macro(self, node, names):
        self._define(nodes.Name(node.name, "store"), names)
        self._body_with_arguments(node, names)

    def _callblock(self, node, names):
        self.visit(node.call, names)
        self._body_with_arguments(node, names)

    def _body_with_arguments(self, node, names):
        self.visit_all(node.defaults, names)
        inner = names | {argument.name for argument in node.args} | _MACRO_NAMES
        self.macros.append((node.body, inner))

    def _import(self, node, names):
        self._define(nodes.Name(node.target, "store"), names)

    def _fromimport(self, node, names):
        for name in node.names:
            name = name if isinstance(name, str) else name[1]
            self._define(nodes.Name(name, "store"), names)
