"""README and documentation: their commands, files and options are there, their links lead somewhere."""

import ast
import contextlib
import doctest
import importlib
import importlib.util
import io
import os
import re
import shlex
import subprocess
import sys
from functools import cache, lru_cache
from pathlib import Path

import pytest

from fairseq_metro.cli import COMMANDS

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
GENERATED = ("reference/commands.md", "reference/options.md", "reference/python.md")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`([^`\n]+)`")
PATHS = re.compile(
    r"(?:fairseq_metro|preprocess|train_scripts|eval|benchmarks|tests|docs)/[\w./-]*\w"
)
OPTION = re.compile(r"--[a-z][a-z0-9-]*")
# Commands of others: what they take is not ours to check.
OTHERS = {"pip", "source", "tensorboard", "torchrun", "apt", "cd", "git", "mkdocs", "export"}


def blocks(page, *languages):
    return [text for kind, text in BLOCK.findall(page.read_text("utf-8")) if kind in languages]


def commands():
    """(page, words) of every command line in a shell block, its assignments and comment taken off."""
    for page in PAGES:
        for block in blocks(page, "bash", "sh"):
            for line in block.replace("\\\n", " ").splitlines():
                words = shlex.split(line.replace("…", ""), comments=True)
                if words:
                    yield page, words


# Commands whose first word names one of several with options of their own.
FAMILIES = {"figure"}
COMMAND_LINES = [
    pytest.param(words, id=f"{page.stem}: {' '.join(words)[:70]}") for page, words in commands()
]


@pytest.mark.parametrize("words", COMMAND_LINES)
def test_a_command_and_its_options_are_there(words):
    assigned = []
    while re.match(r"[A-Z_]+=", words[0]):
        assigned.append(words[0].split("=")[0])
        words = words[1:]
    if words[0] in OTHERS or (words[:1] == ["python"] and words[1:3] == ["-m", "build"]):
        return
    program, rest = words[0], words[1:]
    text = ""
    if program in ("bash", "python") and rest[0] != "-m":
        script = rest.pop(0)
        assert (ROOT / script).is_file(), f"{script}: no such file"
        text = scripts_text() if script.endswith(".sh") else help_of_script(script)
        text += fairseq_options() if script.startswith("train_scripts/") else ""
        text += help_of_command("evaluate") if script == "eval/run.sh" else ""
        text += " -m -rs" if script == "tests/run.sh" else ""
    elif program == "python":
        module = rest[1]
        rest = rest[2:]
        if module == "fairseq_metro":
            text = help_of_command(rest.pop(0))
        else:
            assert importlib.util.find_spec(module), f"{module}: no such module"
            text = help_of_module(module)
    elif program == "fairseq-metro":
        if rest[0] == "lm-eval":
            return  # the harness's own options
        if rest[0].startswith("-"):
            text = "--help"
        elif rest[0] in FAMILIES:
            text = help_of_command(rest.pop(0), rest.pop(0))
        else:
            text = help_of_command(rest.pop(0))
    else:
        assert program.startswith("fairseq-"), f"{program}: whose command is that?"
        text = fairseq_options()
    for name in assigned:
        known = scripts_text() + (ROOT / "README.md").read_text("utf-8")
        assert re.search(rf"\b{name}\b", known), f"{name}: no script knows this variable"
    for word in rest:
        if OPTION.fullmatch(word.split("=")[0]):
            option = word.split("=")[0]
            assert re.search(rf"{option}(?![\w-])", text), f"{option}: not an option of {program}"


@lru_cache(maxsize=1)
def scripts_text():
    folders = [ROOT / name for name in ("train_scripts", "eval", "preprocess", "tests")]
    return "\n".join(one.read_text("utf-8") for folder in folders for one in folder.rglob("*.sh"))


@lru_cache(maxsize=1)
def fairseq_options():
    """Every option of fairseq's own commands and of what this plugin registers."""
    import fairseq_metro

    fairseq_metro.register()
    from fairseq import criterions, models, optim, options, tasks
    from fairseq.optim import lr_scheduler

    makers = (
        options.get_training_parser, options.get_validation_parser,
        options.get_interactive_generation_parser, options.get_preprocessing_parser,
    )  # fmt: skip
    known = [
        "--user-dir",
        *(o for make in makers for a in make()._actions for o in a.option_strings),
    ]
    for registry in (
        tasks.TASK_DATACLASS_REGISTRY, models.MODEL_DATACLASS_REGISTRY,
        criterions.CRITERION_DATACLASS_REGISTRY, optim.OPTIMIZER_DATACLASS_REGISTRY,
        lr_scheduler.LR_SCHEDULER_DATACLASS_REGISTRY,
    ):  # fmt: skip
        for config in registry.values():
            known += ["--" + name.replace("_", "-") for name in config.__dataclass_fields__]
    return " ".join(known)


def printed_help(name, main):
    printed, argv = io.StringIO(), sys.argv
    sys.argv = [name, "--help"]
    try:
        with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
            main()
    finally:
        sys.argv = argv
    return printed.getvalue() + " --help"


@cache
def help_of_command(name, *more):
    assert name in COMMANDS, f"fairseq-metro has no command {name}"
    module = importlib.import_module(f"fairseq_metro.{COMMANDS[name].module}")
    return printed_help(name, lambda: module.main([*more, "--help"]))


@cache
def help_of_module(name):
    module = importlib.import_module(name)
    return printed_help(name, lambda: module.main(["--help"]))


@cache
def help_of_script(path):
    spec = importlib.util.spec_from_file_location(Path(path).stem, ROOT / path)
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(ROOT))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(ROOT))
    return printed_help(path, lambda: module.main(["--help"]))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_files_and_modules_that_a_page_names_are_there(page):
    for code in CODE.findall(BLOCK.sub("", page.read_text("utf-8"))):
        for path in PATHS.findall(code):
            if path.startswith("benchmarks/results") or "*" in code or "NAME" in code:
                continue
            assert (ROOT / path).exists() or (ROOT / path).with_suffix(".py").exists(), path
        if re.fullmatch(r"fairseq_metro(\.\w+)+", code):
            parts = code.split(".")
            found = next(
                (i for i in range(len(parts), 1, -1) if _module(".".join(parts[:i]))), 1
            )  # the rest are names inside it
            thing = importlib.import_module(".".join(parts[:found]))
            for name in parts[found:]:
                thing = getattr(thing, name)


def _module(name):
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:)([^)#\s]+)", page.read_text("utf-8")):
        generated = any(target.endswith(one) for one in GENERATED)
        assert generated or (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_python_in_a_page_compiles_and_imports_what_is_there(page):
    for block in blocks(page, "python", "pycon"):
        if ">>> " in block:
            examples = doctest.DocTestParser().get_examples(block)
            block = "".join(example.source for example in examples)
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.Import):
                for name in node.names:
                    importlib.import_module(name.name)
            elif isinstance(node, ast.ImportFrom):
                module = importlib.import_module(node.module)
                assert all(hasattr(module, name.name) for name in node.names)


def test_every_file_of_results_is_named_on_their_page():
    """Rows and reports; those of the papers' tables and figures are put there by docs/hooks."""
    said = (ROOT / "docs" / "results.md").read_text("utf-8")
    folder = ROOT / "benchmarks" / "results"
    names = {path.name for path in folder.iterdir() if path.suffix in (".md", ".json", ".jsonl")}
    put = {name for name in names if re.fullmatch(r"reproduction_\w+_cpu\.md", name)}
    assert put and set(re.findall(r"benchmarks/results/([\w.]+)\)", said)) == names - put


def test_every_page_is_in_the_contents():
    contents = (ROOT / "mkdocs.yml").read_text("utf-8")
    for page in PAGES[1:]:
        assert page.relative_to(ROOT / "docs").as_posix() in contents, page


def test_the_pages_are_built_without_a_warning(tmp_path):
    """With results and reports in them, and no link, mark or formula left as it was typed."""
    pytest.importorskip("material", reason="pip install mkdocs-material")
    words = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "mkdocs",
        "build",
        "--strict",
        "-q",
        "-d",
        tmp_path,
    ]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}  # of the theme's future
    done = subprocess.run(
        [*map(str, words)], cwd=ROOT, capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0 and "WARNING" not in done.stderr, done.stderr[-3000:]
    for page in tmp_path.rglob("*.html"):
        text = page.read_text("utf-8")
        assert "benchmarks/results/" not in "".join(re.findall(r'href="([^"]*)"', text)), page
        assert "<!-- plans -->" not in text and "<!-- reproductions -->" not in text, page
        assert "arithmatex" not in text, f"{page}: a formula, which needs a script from elsewhere"
    assert (tmp_path / "results" / "reproduction_metro_table2_cpu" / "index.html").is_file()
    assert (tmp_path / "results" / "kernels.jsonl").is_file()


def test_tests_that_a_page_names_are_there():
    named = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")
    found = [match for page in PAGES for match in named.findall(page.read_text("utf-8"))]
    assert found
    for path, name in found:
        text = (ROOT / path).read_text("utf-8")
        assert not name or f"def {name}(" in text, f"{path}::{name}"
