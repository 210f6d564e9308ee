"""The form of FLAN's inputs (Wei et al. 2022): OPTIONS, exemplars, and inputs without instructions.

FLAN's own template texts are not distributed here. Instructions are promptsource's of a data set, or
the user's; what surrounds them is FLAN's: answer options written out (section 2.3), up to 16 solved
exemplars in front (4.4), and the two ablations that take the instruction away (4.3, appendix B).
All are functions of a Prompted and give a new one.
"""

from functools import lru_cache

from jinja2 import Environment, nodes

from fairseq_metro.common.errors import UserError
from fairseq_metro.prompts import row_random

NATURAL, NONE, DATASET_NAME = MODES = ("natural", "none", "dataset-name")
MOST_EXEMPLARS = 16
# Of FLAN's 1,024 source tokens 64 are kept for the words between exemplars, 960 for their texts.
SEPARATOR_TOKENS = 64

# The words stay apart where a tokenizer turns every line break into a space.
_EXEMPLAR = "Example: {input}\nAnswer: {target}\n\n"
_QUESTION = "Now: {input}\nAnswer:"


def with_options(prompted):
    """A classification input that ends with its options; any other input as it is.

    >>> from fairseq_metro.prompts import Prompted
    >>> with_options(Prompted("Is it?", "No", ("Yes", "No"))).input.split("\\n")
    ['Is it?', 'OPTIONS:', '- Yes', '- No']
    """
    if prompted.choices is None:
        return prompted
    lines = [prompted.input, "OPTIONS:", *(f"- {choice}" for choice in prompted.choices)]
    return prompted._replace(input="\n".join(line for line in lines if line))


def words(text):
    """Number of words of a text, as a measure of length."""
    return len(text.split())


def with_exemplars(
    prompted, exemplars, limit=None, length=words, shown_as=_EXEMPLAR, asked_as=_QUESTION
):
    """A few-shot input: solved exemplars, then the question; target and choices stay.

    exemplars: Prompteds, best first; limit: the longest input by ``length(text)``, where exemplars
    that do not fit are left out (inputs are cut at their end, where the question stands). Without
    exemplars, or room for one, the input is as it was. shown_as, asked_as: formats of an exemplar
    and of the question, with ``{input}`` and ``{target}``.

    >>> from fairseq_metro.prompts import Prompted
    >>> print(with_exemplars(Prompted("1 + 1?", "2"), [Prompted("2 + 1?", "3")]).input)
    Example: 2 + 1?
    Answer: 3
    <BLANKLINE>
    Now: 1 + 1?
    Answer:
    """
    question = asked_as.format(input=prompted.input)
    shown, room = [], None if limit is None else limit - length(question)
    for exemplar in exemplars:
        text = shown_as.format(input=exemplar.input, target=exemplar.target)
        if room is not None:
            room -= length(text)
            if room < 0:
                break
        shown.append(text)
    return prompted._replace(input="".join(shown) + question) if shown else prompted


def exemplar_rows(seed, task_name, row, rows, shots):
    """Positions of the training rows shown to a row, all different, never the row itself: list.

    row: the row's position among the task's ``rows`` training rows, or its name (a str) where it is
    not one of them; shots: fewest and most exemplars, one number of them is drawn for the row.

    >>> exemplar_rows(1, "imdb_Sentiment", 2, rows=4, shots=(3, 3))
    [3, 0, 1]
    """
    rng = row_random(seed, f"{task_name} exemplars", row)
    inside = isinstance(row, int)
    others = rows - inside
    positions = rng.sample(range(others), min(rng.randint(*shots), others))
    return [other + (inside and other >= row) for other in positions]


def plain(row, prompted, fields, mode, dataset, cluster=None):
    """An input without instructions: the row's texts alone, or behind the data set's name.

    row: dict by field; fields: paths as of ``input_fields``; mode: "none" or "dataset-name", which
    puts ``[cluster: data set]`` in front; "natural" leaves the input as it is.

    >>> from fairseq_metro.prompts import Prompted
    >>> row, fields = {"premise": "A cat.", "hypothesis": "A pet."}, [("premise",), ("hypothesis",)]
    >>> given = Prompted("Suppose A cat. Can we infer that A pet.?", "Yes")
    >>> plain(row, given, fields, "dataset-name", "super_glue/rte", "nli").input
    '[nli: super_glue/rte] A cat.\\nA pet.'
    """
    if mode not in MODES:
        raise UserError(f"mixture: mode is {mode!r}, must be one of {', '.join(MODES)}")
    if mode == NATURAL:
        return prompted
    row = {key.replace("-", "_"): value for key, value in row.items()}
    text = "\n".join(line for path in fields for line in _lines(_value(row, path)))
    if mode == DATASET_NAME:
        text = f"[{f'{cluster}: ' if cluster else ''}{dataset}] {text}"
    return prompted._replace(input=text.strip())


def _value(row, path):
    for key in path:
        row = row.get(key) if isinstance(row, dict) else None
    return row


def _lines(value):
    """The texts and numbers of a field, one per line; other values are skipped."""
    if isinstance(value, (list, tuple)):
        return [line for item in value for line in _lines(item)]
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return []
    return [str(value)]


# Which fields an input is made of


def input_fields(template):
    """The fields that a template prints in its input part, in order: tuple of paths.

    A path is a tuple of keys. Answer choices, and what only steers the wording, are not among them.

    >>> from fairseq_metro.prompts import Template
    >>> jinja = "{% if label %}{% endif %}{{ premise }} {{ q.text | lower }}? ||| {{ answer }}"
    >>> input_fields(Template("some/set", "a name", jinja))
    (('premise',), ('q', 'text'))
    """
    return _input_fields(template.jinja)


def for_every_row(template):
    """Whether a template gives every row a pair: its ``|||`` stands in no branch and no loop.

    >>> from fairseq_metro.prompts import Template
    >>> of_abbreviations = "{% if label == 2 %}{{ text }} ||| {{ fine_label }}{% endif %}"
    >>> for_every_row(Template("trec", "a name", of_abbreviations))
    False
    """
    return any(
        isinstance(part, nodes.TemplateData) and "|||" in part.data
        for node in Environment().parse(template.jinja).body
        if isinstance(node, nodes.Output)
        for part in node.nodes
    )


def unfit_for_answers(template):
    """Order in which templates are asked for a set's answers: not of the task, not for all rows."""
    return not template.original_task, not for_every_row(template)


@lru_cache(maxsize=1024)
def _input_fields(jinja):
    paths = []
    _walk(Environment().parse(jinja).body, {}, True, paths)
    return tuple(dict.fromkeys(paths))


def _walk(body, names, inside, paths):
    """Add the printed paths of nodes to ``paths``; return whether ``|||`` is still to come."""
    for node in body:
        if isinstance(node, nodes.Output):
            for part in node.nodes:
                if isinstance(part, nodes.TemplateData):
                    inside = inside and "|||" not in part.data
                elif inside:
                    paths += _paths(part, names)
        elif isinstance(node, nodes.If):
            branches = [node.body, *(clause.body for clause in node.elif_), node.else_]
            inside = all([_walk(branch, names, inside, paths) for branch in branches])
        elif isinstance(node, nodes.For):
            inner = dict(names)
            for name in node.target.find_all(nodes.Name):
                inner[name.name] = _paths(node.iter, names)
            if isinstance(node.target, nodes.Name):
                inner[node.target.name] = _paths(node.iter, names)
            inside = _walk(node.body, inner, inside, paths)
        elif isinstance(node, nodes.Assign) and isinstance(node.target, nodes.Name):
            names[node.target.name] = _paths(node.node, names)
    return inside


def _paths(node, names):
    """Paths of the fields whose values an expression prints: list of tuples."""
    if isinstance(node, nodes.Name):
        given = [] if node.name in ("answer_choices", "loop") else [(node.name,)]
        return names.get(node.name, given)
    if isinstance(node, (nodes.Getattr, nodes.Getitem)):
        paths = _paths(node.node, names)
        key = node.attr if isinstance(node, nodes.Getattr) else _constant(node.arg)
        return [(*path, key) for path in paths] if isinstance(key, str) else paths
    if isinstance(node, nodes.Call):
        callee = node.node
        if isinstance(callee, nodes.Getattr):  # a method: what it is called on, and its arguments
            callee = callee.node
            return _paths(callee, names) + _all(node.args, names)
        return _all(node.args, names)
    if isinstance(node, nodes.Filter):
        return _paths(node.node, names) if node.node else []
    if isinstance(node, nodes.CondExpr):
        return _all([node.expr1, node.expr2], names)
    if isinstance(node, (nodes.Compare, nodes.Test, nodes.Not)):
        return []
    return _all(list(node.iter_child_nodes()), names)


def _all(several, names):
    return [path for node in several if node is not None for path in _paths(node, names)]


def _constant(node):
    return node.value if isinstance(node, nodes.Const) else None
