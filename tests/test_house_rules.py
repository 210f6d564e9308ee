"""Rules of the whole code base that a reader would otherwise have to check by eye."""

import ast
import doctest
import importlib
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "fairseq_metro"
MODULES = sorted(PACKAGE.rglob("*.py"))

# A room imports from rooms before it and from itself.
ORDER = [
    ("common",),
    ("kernels", "optim", "trainer", "vocabulary", "prompts"),
    ("data", "modules", "smash"),
    ("models", "scoring", "criterions"),
    ("interchange", "recipes"),
    ("inference", "tasks", "prepare"),
    ("analysis", "evaluate"),
    ("papers",),
    ("cli",),
]
RANK = {room: rank for rank, rooms in enumerate(ORDER) for room in rooms}
# Words that say nothing about what a name holds; the rooms in which no name is one of them.
VAGUE = {
    "found",
    "one",
    "ours",
    "theirs",
    "mine",
    "said",
    "told",
    "asked",
    "wanted",
    "fall",
    "only",
}
VAGUE |= {"at", "whoever", "nobody"}
PLAIN = {"analysis", "common", "data", "evaluate", "papers", "prepare", "prompts", "recipes"}
PLAIN |= {"scoring", "smash", "tasks", "trainer", "vocabulary"}
TOP = ("preprocess", "train_scripts", "eval", "tests", "benchmarks", "docs")


def name_of(path):
    words = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(words[:-1] if words[-1] == "__init__" else words)


def imported(path):
    """Names of this package's modules that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        yield from (name for name in names if name.split(".")[0] == PACKAGE.name)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_point_one_way(path):
    own = [*name_of(path).split("."), ""][1]
    for name in imported(path):
        room = [*name.split("."), ""][1]
        if own in RANK and room in RANK:
            assert room == own or RANK[room] < RANK[own], f"{own} imports {name}"


def test_every_room_has_its_place_in_the_order():
    rooms = {path.stem for path in PACKAGE.iterdir() if path.stem.strip("_") == path.stem}
    assert rooms == RANK.keys()
    assert len(rooms) + len(TOP) <= 28
    row = ["".join(f"`{room}` " for room in rooms).split() for rooms in ORDER]
    shown = re.findall(r"(?m)^\d+\. (`.*)$", (PACKAGE.parent / "docs/design.md").read_text("utf-8"))
    assert [line.replace(",", "").split() for line in shown[: len(row)]] == row


@pytest.mark.parametrize(
    "path", [path for path in MODULES if ">>> " in path.read_text("utf-8")], ids=name_of
)
def test_examples_in_docstrings_are_true(path):
    result = doctest.testmod(importlib.import_module(name_of(path)))
    assert result.attempted and not result.failed


def defined(path):
    """(name, line) of every function, class, parameter and variable that a file defines."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield node.name, node.lineno
        elif isinstance(node, ast.arg):
            yield node.arg, node.lineno
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id, node.lineno


def help_texts(path):
    """(text, line) of every literal help text of an option, an f-string's values as ``…``."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        values = []
        if isinstance(node, ast.Call):
            values = [word.value for word in node.keywords if word.arg == "help"]
        elif isinstance(node, ast.Dict):
            pairs = zip(node.keys, node.values, strict=True)
            values = [value for key, value in pairs if getattr(key, "value", None) == "help"]
        for value in values:
            parts = value.values if isinstance(value, ast.JoinedStr) else [value]
            if all(isinstance(part, (ast.Constant, ast.FormattedValue)) for part in parts):
                yield "".join(getattr(part, "value", "…") if isinstance(part, ast.Constant) else "…"
                              for part in parts), node.lineno  # fmt: skip


@pytest.mark.parametrize(
    "path", [path for path in MODULES if PLAIN & set(name_of(path).split(".")[1:2])], ids=name_of
)
def test_names_say_what_they_hold(path):
    vague = [(name, line) for name, line in defined(path) if name in VAGUE]
    assert not vague, f"{path}: {vague}"


def test_help_texts_are_whole_sentences():
    texts = [(path, line, text) for path in MODULES for text, line in help_texts(path)]
    assert len(texts) > 300
    for path, line, text in texts:
        where = f"{path}:{line}: {text}"
        assert text[0].isupper() or text[0] == "…", where
        assert text.endswith((".", "…")), where
        assert not set(re.findall(r"\w+", text)) & {"whoever", "nobody", "theirs", "ours"}, where


def test_nothing_in_the_clone_names_a_folder_of_one_machine():
    root = PACKAGE.parent
    folders = ["fairseq_metro", "preprocess", "train_scripts", "eval", "benchmarks", "tests"]
    files = [path for folder in folders for path in (root / folder).rglob("*") if path.is_file()]
    files += [path for path in root.glob("*") if path.suffix in (".md", ".py", ".toml", ".txt")]
    absolute = re.compile(r"(?<![\w.$}/~-])/(?:home|root|work|opt|Users|mnt|data)/\w+")
    for path in files:
        if path.suffix not in (".pyc", ".png"):
            places = absolute.findall(path.read_text("utf-8", errors="replace"))
            assert not places, f"{path}: {places}"
