"""FLAN's file of templates, read as data: its source is parsed, and nothing of it is executed.

The file assigns a dictionary to ``PATTERNS``: name of a set -> list of pairs (input, target), two
texts in which ``{field}`` stands for a value of the row.
"""

import ast
from pathlib import Path

from fairseq_metro.common.errors import UserError

PATTERNS = "PATTERNS"
MOST_BYTES = 16 << 20


def read_patterns(path):
    """The sets of a file: dict of name -> list of (input, target).

    Raises :class:`UserError` with the line for a file that is not of this form.
    """
    path = Path(path)
    tree = _parsed(path, _source(path))
    values = [
        node.value
        for node in tree.body
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and PATTERNS in _names(node)
    ]
    if not values:
        raise UserError(f"{path}: no {PATTERNS} = {{...}} in it; give FLAN's flan/templates.py")
    if not isinstance(values[-1], ast.Dict) or not values[-1].keys:
        raise _error(path, values[-1], f"{PATTERNS} is no dictionary of sets")
    sets = {}
    for key, value in zip(values[-1].keys, values[-1].values, strict=True):
        name = _text(path, key or value, "the name of a set")
        if name in sets:
            raise _error(path, key, f"the set {name!r} stands twice")
        sets[name] = _pairs(path, name, value)
    return sets


def _source(path):
    try:
        if not path.is_file() and path.exists():
            raise UserError(f"{path}: is a folder; name FLAN's file of templates, templates.py")
        with open(path, "rb") as stream:
            source = stream.read(MOST_BYTES + 1)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; name FLAN's file of templates") from None
    if len(source) > MOST_BYTES:
        raise UserError(
            f"{path}: larger than {MOST_BYTES >> 20} MiB; give FLAN's flan/templates.py"
        )
    return source


def _parsed(path, source):
    try:
        return ast.parse(source)
    except SyntaxError as error:
        where = f"line {error.lineno}: " if error.lineno else ""
        raise UserError(f"{path}: {where}not Python ({error.msg}); copy the file again") from None
    except (ValueError, RecursionError, MemoryError) as error:
        what = str(error) or "nested too deep"
        raise UserError(f"{path}: not Python ({what}); copy the file again") from None


def _names(node):
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _pairs(path, name, node):
    place = f"set {name!r}"
    if not isinstance(node, (ast.List, ast.Tuple)) or not node.elts:
        raise _error(path, node, f"{place} is no list of templates")
    pairs = []
    for number, pair in enumerate(node.elts, 1):
        which = f"template {number} of {place}"
        if not isinstance(pair, (ast.Tuple, ast.List)) or len(pair.elts) != 2:
            raise _error(path, pair, f"{which} is no pair of an input and a target")
        pairs.append(tuple(_text(path, part, which) for part in pair.elts))
    return pairs


def _text(path, node, what):
    """The text of an expression: strings, also several that are added."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    parts = []
    while isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        parts.append(node.right)
        node = node.left
    if not parts:
        raise _error(path, node, f"{what} is no text; write it as plain strings")
    return "".join(_text(path, part, what) for part in (node, *reversed(parts)))


def _error(path, node, what):
    return UserError(f"{path}: line {node.lineno}: {what}")
