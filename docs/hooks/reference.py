"""MkDocs hook: the reference pages, made from the code at every build, and the files of results.

``reference/commands.md`` is what ``--help`` prints, ``reference/options.md`` the options of our tasks,
models, criterions and optimizers with their help, ``reference/python.md`` docstrings. Nothing of them
is written by hand or kept in the repository. ``results/`` is ``benchmarks/results/``, and the pages'
links into that folder lead there.
"""

import ast
import contextlib
import dataclasses
import enum
import io
import logging
import re
import sys
from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "fairseq_metro"
RESULTS = ROOT / "benchmarks" / "results"
# Parts whose modules a user's own Python would import.
PUBLIC = "inference scoring prompts smash analysis interchange".split()


def on_files(files, config):
    """Add the three pages to those of the folder."""
    sys.path.insert(0, str(ROOT))
    from fairseq_metro.common.logs import messages_on_stderr

    with messages_on_stderr(logging.WARNING):  # fairseq's import would set everyone to DEBUG
        for name, make in (("commands", commands), ("options", options), ("python", python)):
            files.append(File.generated(config, f"reference/{name}.md", content=make()))
    for path in sorted(one for one in RESULTS.rglob("*") if one.is_file()):
        name = f"results/{path.relative_to(RESULTS).as_posix()}"
        if path.suffix == ".md":
            files.append(File.generated(config, name, content=with_pictures(path)))
        else:
            files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def with_pictures(path):
    """A report, and below it the pictures that it names."""
    text = path.read_text("utf-8")
    pictures = dict.fromkeys(re.findall(r"`([\w./]+\.png)`", text))
    there = [name for name in pictures if (path.parent / name).is_file()]
    return text + "".join(f"\n![{name}]({name})\n" for name in there)


def commands():
    """Every command's ``--help``: Markdown."""
    from fairseq_metro.cli import GROUPS

    parts = [
        "# Commands",
        "",
        "`fairseq-metro NAME`; in a clone `python -m fairseq_metro NAME`.",
        "",
    ]
    for group, commands in GROUPS.items():
        parts += [f"## {group}", ""]
        for name, command in commands.items():
            parts += [f"### {name}", "", command.help, "", "```"]
            parts += [help_of(name, command), "```", ""]
    return "\n".join(parts)


def help_of(name, command):
    """What a command prints for ``--help``."""
    printed, argv = io.StringIO(), sys.argv
    sys.argv = [f"fairseq-metro {name}"]
    try:
        with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
            command.main(["--help"])
    finally:
        sys.argv = argv
    return printed.getvalue().rstrip()


def options():
    """Options of what the plugin registers with fairseq, from their dataclasses: Markdown."""
    import fairseq_metro

    fairseq_metro.register()
    from fairseq import criterions, models, optim, tasks

    kinds = {
        "task": (tasks.TASK_REGISTRY, tasks.TASK_DATACLASS_REGISTRY),
        "arch": (models.MODEL_REGISTRY, models.MODEL_DATACLASS_REGISTRY),
        "criterion": (criterions.CRITERION_REGISTRY, criterions.CRITERION_DATACLASS_REGISTRY),
        "optimizer": (optim.OPTIMIZER_REGISTRY, optim.OPTIMIZER_DATACLASS_REGISTRY),
    }
    parts = [
        "# fairseq options",
        "",
        "What `--user-dir fairseq_metro` adds to `fairseq-train`.",
        "",
    ]
    for kind, (classes, configs) in kinds.items():
        ours = [
            name for name, made in classes.items() if made.__module__.startswith("fairseq_metro")
        ]
        for name in sorted(ours):
            summary = plain((classes[name].__doc__ or "").split("\n\n")[0])
            parts += [f"## --{kind} {name}", "", " ".join(summary.split()), ""]
            if kind == "arch":
                sizes = sorted(
                    arch for arch, model in models.ARCH_MODEL_NAME_REGISTRY.items() if model == name
                )
                parts += ["Architectures: " + ", ".join(f"`{size}`" for size in sizes) + ".", ""]
            parts += table_of(configs.get(name))
    return "\n".join(parts)


def table_of(config):
    """A dataclass's options as a table; those that fairseq fills in by itself are left out."""
    rows = []
    for field in dataclasses.fields(config) if config else ():
        text = " ".join((field.metadata.get("help") or "").split())
        if not text:
            continue
        default = field.default
        default = default.value if isinstance(default, enum.Enum) else default
        shown = "" if default is None or "MISSING" in str(default) else f"`{default}`"
        shown = "" if "${" in shown else shown
        option = "--" + field.name.replace("_", "-")
        rows.append(
            f"| `{option}` | {shown} | {text.replace('|', '&#124;').replace('<', '&lt;')} |"
        )
    return ["| option | default | |", "|---|---|---|", *rows, ""] if rows else []


def python():
    """Docstrings of the public modules, read without importing them: Markdown."""
    parts = ["# Python", ""]
    for part in PUBLIC:
        for path in sorted((PACKAGE / part).rglob("*.py")):
            parts += module_page(path)
    return "\n".join(parts)


def module_page(path):
    """A module's docstring and those of its public functions and classes."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    parts = [f"## {name}", "", plain(ast.get_docstring(tree) or ""), ""]
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name.startswith("_"):
            continue
        text = ast.get_docstring(node)
        if not text or node.name == "main":
            continue
        if isinstance(node, ast.ClassDef):
            init = next((one for one in node.body if getattr(one, "name", "") == "__init__"), None)
            arguments = ast.unparse(init.args).removeprefix("self").lstrip(", ") if init else ""
            fields = [ast.unparse(one) for one in node.body if isinstance(one, ast.AnnAssign)]
            arguments = arguments or ", ".join(fields)
            head = f"class {node.name}({arguments})"
        else:
            head = f"{node.name}({ast.unparse(node.args)})"
        parts += ["```python", head, "```", "", plain(text), ""]
        if isinstance(node, ast.ClassDef):
            parts += methods(node)
    return parts


def methods(node):
    """A class's public methods with a docstring, as a list."""
    parts = []
    for one in node.body:
        if isinstance(one, ast.FunctionDef) and not one.name.startswith("_"):
            text = ast.get_docstring(one)
            if text:
                arguments = ast.unparse(one.args).removeprefix("self").lstrip(", ")
                first = " ".join(plain(text).split("\n\n")[0].split())
                parts.append(f"- `.{one.name}({arguments})`: {first}")
    return [*parts, ""] if parts else []


def plain(text):
    """reStructuredText as our docstrings use it -> Markdown."""
    text = re.sub(r":(?:class|func|meth|mod):`~?([^`]+)`", lambda m: f"`{m[1]}`", text)
    text = text.replace("``", "`")
    lines, example = [], False
    for line in text.split("\n"):
        starts = line.startswith(">>> ")
        if starts and not example:
            lines += ["", "```pycon"]
            example = True
        elif example and not line.strip():
            lines.append("```")
            example = False
        lines.append(line if example else guarded(line))
    return "\n".join([*lines, "```"] if example else lines)


def guarded(line):
    """A line of prose in which <s> and | stay what they are, outside of `code`."""
    pieces = line.split("`")
    pieces[::2] = [piece.replace("<", "&lt;").replace("*", "\\*") for piece in pieces[::2]]
    return "`".join(pieces)


def on_page_markdown(markdown, page, config, files):
    """Put the planner's numbers where scaling.md has its mark and the reproductions where results.md
    has its; links into ``benchmarks/results/``, as the repository's own readers need them, lead to the
    site's copies."""
    for mark, make in (("<!-- plans -->", plans), ("<!-- reproductions -->", reproductions)):
        if mark in markdown:
            markdown = markdown.replace(mark, make())
    up = "../" * page.file.src_uri.count("/")
    return re.sub(r"\]\((?:\.\./)+benchmarks/results/", f"]({up}results/", markdown)


def reproductions():
    """What became of every target that has a report: a table of verdicts."""
    from fairseq_metro.papers.targets import find_target, target_names

    lines = ["| | verdict | |", "|---|---|---|"]
    for name in target_names():
        report = RESULTS / f"reproduction_{name}_cpu.md"
        if report.exists():
            verdicts = re.findall(r"^- (.*)", report.read_text("utf-8").split("## Ours")[0], re.M)
            target = find_target(name)
            link = f"[report](../benchmarks/results/{report.name})"
            said = "<br>".join(one.replace("|", "&#124;") for one in verdicts)
            lines.append(f"| {target.paper}: {target.title} | {said} | {link} |")
    return "\n".join(lines)


def plans():
    """The planner's memory and traffic for the published sizes, in bfloat16: a table."""
    from fairseq_metro.recipes import costs, plan
    from fairseq_metro.recipes.memory import memory_of, resolved, vocabulary_size
    from fairseq_metro.recipes.words import chosen, words

    lines = [
        "| size | parameters | GPUs | tokens of one batch | accumulated "
        "| weights, gradients, Adam, GiB | batch, GiB | in all, GiB "
        "| sent by each GPU in an update, GiB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    gpu = plan.GPUS["a100-80"]
    for size in ("base", "basepp", "largepp"):
        for machines in (1, 8, 32):
            args = arguments(size, machines)
            row, first = chosen(args)
            cfg = resolved([*words(row, first), "--bf16"])
            memory = memory_of(row, cfg, vocabulary_size(None, size), first.processes)
            row, batches = chosen(args, memory.most_tokens(gpu.memory))
            number, gpus = sum(memory.parameters.values()), batches.processes
            sent = 2 * (gpus - 1) / gpus * number * memory.precision.gradients
            batch = batches.tokens * (memory.activations + memory.logits)
            cells = [size, f"{number / 1e6:.0f} M", gpus, f"{batches.tokens:,}", batches.accumulate]
            gib = [memory.fixed, batch, memory.of(batches.tokens), sent]
            cells += [f"{count / costs.GIB:.1f}" for count in gib]
            lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def arguments(size, machines):
    """The planner's own arguments for eight GPUs a machine."""
    import argparse

    from fairseq_metro.recipes.words import add_row_arguments

    parser = argparse.ArgumentParser()
    add_row_arguments(parser)
    return parser.parse_args(["--size", size, "--processes", "8", "--machines", str(machines)])
