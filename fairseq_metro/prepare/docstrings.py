"""English prose from Python files: docstrings found by ``ast``, without their code and markup.

Nothing is imported or run. Three steps, each a function: the strings of a file
(:func:`docstrings`), the paragraphs of a string (:func:`paragraphs`: literal blocks, doctests,
tables and headings left out), the sentences of a paragraph (:func:`prose`: markup removed, what
does not read as English left out).
"""

import ast
import inspect
import re
import warnings

DOCUMENTING_CALLS = {"add_docstr", "add_newdoc", "add_newdoc_for_scalar_type"}
# Directives whose indented body is prose; the body of any other is code, a table or a formula.
PROSE_DIRECTIVES = {
    "note", "warning", "seealso", "versionadded", "versionchanged", "deprecated", "tip",
    "important", "attention", "admonition", "impl-detail", "caution", "hint",
}  # fmt: skip


def docstrings(source):
    """Docstrings of a module, its classes and functions, in their order in the file.

    Texts given to ``add_docstr`` and its like count too. ``topics = {...}`` of ``pydoc_data`` is
    read as one string per topic. A file that Python cannot parse has none.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escapes in other people's strings
        try:
            tree = ast.parse(source)
        except (SyntaxError, ValueError, RecursionError):
            return []
    strings = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if (text := ast.get_docstring(node)) is not None:
                strings.append((getattr(node, "lineno", 0), text))
        elif isinstance(node, ast.Call) and _name(node.func) in DOCUMENTING_CALLS:
            for argument in node.args:
                strings += [(node.lineno, inspect.cleandoc(t)) for t in _strings(argument)]
        elif (
            isinstance(node, ast.Assign)
            and isinstance(node.value, ast.Dict)
            and _name(node.targets[0]) == "topics"
        ):
            for value in node.value.values:
                strings += [(value.lineno, inspect.cleandoc(t)) for t in _strings(value)]
    return [text for _, text in sorted(strings, key=lambda pair: pair[0])]


def _name(node):
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _strings(node):
    """The string constants of an expression such as ``"…"``, ``"…".format()``, ``("…", "…")``."""
    return [
        part.value
        for part in ast.walk(node)
        if isinstance(part, ast.Constant) and isinstance(part.value, str) and "\n" in part.value
    ]


_DIRECTIVE = re.compile(r"\.\. +([\w:-]*?)::(.*)$")
_UNDERLINE = re.compile(r"([=\-~^*#`\"'+_.])\1{2,}$")
_BULLET = re.compile(r"(?:[-*+\u2022]|\(?\d{1,2}[.)]|\(?[a-z]\)) +")
_FIELD = re.compile(r":(?:param|arg|return|returns|raises|type|rtype|note|yield\w*)\b[^:]*: *")
# "name (type, optional): text" and "name: text" of parameter lists.
_ARGUMENT = re.compile(r"[*`]*[A-Za-z_][\w.*`]*(?: *\([^()]*(?:\([^()]*\)[^()]*)*\))?`* *: +")
_HEADING = re.compile(r"(?:[A-Z][a-z]+ ){0,2}[A-Z][a-z]+ *:{1,2}$")
# "x : int" and "a, b" above an indented description, in numpy's style.
_TYPED_ENTRY = re.compile(r"[\w*., `/\\]+ : \S")
_BARE_ENTRY = re.compile(r"[\w*]+(?:, [\w*]+)*$")


def paragraphs(text):
    """The paragraphs of a docstring, each as one line, without blocks that are not prose.

    >>> paragraphs("Add.\\n\\n>>> add(1, 2)\\n3\\n\\nLike this::\\n\\n    add(1, 2)\\n\\nDone.")
    ['Add.', 'Like this:', 'Done.']
    """
    lines = [line.rstrip() for line in text.expandtabs(8).split("\n")]
    paragraphs, current = [], []
    skip_below = None  # the indentation of a literal block's parent; deeper lines are dropped
    in_doctest = False

    def close():
        if current:
            paragraphs.append(" ".join(current))
            current.clear()

    for number, line in enumerate(lines):
        stripped = line.strip()
        indent = len(line) - len(line.lstrip())
        if not stripped:
            close()
            in_doctest = False
            continue
        if skip_below is not None:
            if indent > skip_below:
                continue
            skip_below = None
        if stripped.startswith((">>>", "... ", "$ ", "In [", "```", "~~~")):
            close()
            in_doctest = True
            continue
        if in_doctest:
            continue
        if directive := _DIRECTIVE.match(stripped):
            close()
            if directive[1].lower() not in PROSE_DIRECTIVES:
                skip_below = indent
            continue
        deeper = number + 1 < len(lines) and _indent(lines[number + 1]) > indent
        if _HEADING.match(stripped) and deeper and not stripped.endswith("::"):
            close()
            continue
        if stripped.startswith((".. ", "|", "+-", "@")) or _UNDERLINE.match(stripped):
            close()
            continue
        following = lines[number + 1].strip() if number + 1 < len(lines) else ""
        if _UNDERLINE.match(following):
            close()  # a heading
            continue
        if deeper and (
            _TYPED_ENTRY.match(stripped) or (_BARE_ENTRY.match(stripped) and not current)
        ):
            close()
            continue
        for start in (_BULLET, _FIELD, _ARGUMENT):
            if match := start.match(stripped):
                # An argument's name starts a line; in the middle of a sentence it is only a colon.
                if start is _ARGUMENT and current and not deeper and not current[-1].endswith("."):
                    break
                close()
                stripped = stripped[match.end() :]
        if stripped.endswith("::"):
            stripped = stripped[:-1]
            skip_below = indent
        if stripped:
            current.append(stripped)
    close()
    return paragraphs


def _indent(line):
    return len(line) - len(line.lstrip())


_MARKUP = [
    (re.compile(r":[a-zA-Z:+-]+:`([^`<]*?) *<[^`]*>`"), r"\1"),  # :ref:`text <target>`
    (re.compile(r":(?:math|eq):`[^`]*`"), "\\\\"),  # a formula: its sentence is left out
    (re.compile(r":[a-zA-Z:+-]+:`[~!]?([^`]*)`"), r"\1"),
    (re.compile(r"`([^`<]+?) *<[^`>]*>`_{0,2}"), r"\1"),  # `text <address>`_
    (re.compile(r"``([^`]*)``"), r"\1"),
    (re.compile(r"`([^`]*)`_{0,2}"), r"\1"),
    (re.compile(r"(?<![\w*])\*\*([^*\n]+)\*\*(?![\w*])"), r"\1"),
    (re.compile(r"(?<![\w*])\*([^*\s][^*\n]*)\*(?![\w*])"), r"\1"),
    (re.compile(r"(?<![\w*])\*{1,2}(?=[A-Za-z]\w*)"), ""),  # *args
    (re.compile(r"(?<=\w)\(\)"), ""),  # call()
    (re.compile(r"(?<=\w) (?:--|\u2014) (?=\w)"), " - "),
    (re.compile(r"\[[\w#*.-]+\]_|\[\d+\]"), ""),
    (re.compile(r"\s+([,.;:!?])(?=\s|$)"), r"\1"),
    (re.compile(r"\s+"), " "),
]
# Abbreviations whose full stop ends no sentence, as the lookbehinds of one pattern.
_SENTENCE_END = re.compile(
    r"(?<!\be\.g\.)(?<!\bi\.e\.)(?<!\betc\.)(?<!\bcf\.)(?<!\bvs\.)(?<!\bal\.)(?<!\bDr\.)"
    r"(?<=[.!?]) +(?=[\"'(]?[A-Z])"
)
_CODE = re.compile(
    r"[\\{}|<>^$#@~\[\]]|(?<!\w)=|=(?![\w'\"])|->|\w\((?!s\))|\)\.\w|__|\.\.|--(?!\w)|://|::"
    r"|\w/\w*/|\*|\+|%[srd(]|^[^\"'(A-Za-z0-9]|\b0x|\bdef "
    r"|[^\x00-\x7f\u2018\u2019\u201c\u201d\u2013\u2014éèüöäçñ]"
)
_WORD = re.compile(r"[(\"']?[A-Za-z]+(?:['\u2019-][A-Za-z]+)*(?:\(s\))?[,;:.!?\"')]*$|\d+[,.)]*$")
COMMON = frozenset(re.findall(
    r"\w+",
    """the a an of to in is are be and or for with that this it if when as by on from not can will
    which has have was were must should may at you we its into than then used use only also no
    all any each but""",
))  # fmt: skip


def prose(paragraph):
    """The paragraph's sentences that read as English, joined; "" where none does.

    >>> prose("Return the ``sum`` of *all* values. X = {1: 2}. It uses :class:`~a.Adder` then.")
    'Return the sum of all values. It uses a.Adder then.'
    """
    for pattern, replacement in _MARKUP:
        paragraph = pattern.sub(replacement, paragraph)
    sentences = _SENTENCE_END.split(paragraph.strip())
    if sentences[-1][-1:].isalnum():
        sentences[-1] += "."  # a docstring of one line often goes without
    return " ".join(s for s in sentences if reads_as_english(s))


def reads_as_english(sentence):
    """Whether it begins and ends like a sentence and is made of words, common ones among them."""
    words = sentence.split()
    if not 4 <= len(words) <= 120 or _CODE.search(sentence):
        return False
    if sentence[-1] not in ".!?:" and not sentence.endswith((".)", '."', ".'")):
        return False
    plain = sum(1 for word in words if _WORD.match(word))
    common = sum(1 for word in words if word.lower().strip(",.;:()\"'") in COMMON)
    first = sentence.lstrip("\"'(")[:1]
    return first.isalnum() and plain >= 0.7 * len(words) and common >= max(1, 0.12 * len(words))


def documents(source, apart=False):
    """The prose of one Python file: a list of documents, each a list of paragraphs, none twice.

    One document for the file, or with ``apart`` one for each of its strings.
    """
    texts = [
        [line for paragraph in paragraphs(text) if (line := prose(paragraph))]
        for text in docstrings(source)
    ]
    if not apart:
        texts = [[line for lines in texts for line in lines]]
    return [list(dict.fromkeys(lines)) for lines in texts if lines]
