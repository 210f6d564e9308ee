"""``fairseq-metro COMMAND``: every command of the package by its name.

A command is a module with ``main(argv)``, which returns an exit status, and ``parser()``, its
options. Modules are imported when they are needed, and those that hold options import neither torch
nor fairseq, so ``--help`` answers at once.
"""

import difflib
import importlib
import sys
from dataclasses import dataclass

from fairseq_metro.common.arguments import CommandParser
from fairseq_metro.common.errors import run_command
from fairseq_metro.common.stamp import __version__


@dataclass(frozen=True)
class Command:
    """A command: its module below ``fairseq_metro``, one line of help, and where its parser is.

    options: the function in the file ``options.py`` beside the module that makes the parser; "" for
    the module's own ``parser``; None for a command that reads its words itself.
    """

    module: str
    help: str
    options: str | None = ""

    def main(self, argv):
        return importlib.import_module(f"fairseq_metro.{self.module}").main(argv)

    def parser(self):
        folder = self.module.rpartition(".")[0]
        module, function = (
            (f"{folder}.options", self.options) if self.options else (self.module, "parser")
        )
        return getattr(importlib.import_module(f"fairseq_metro.{module}"), function)()


# Group -> name -> a Command's fields, in the order of a whole project.
_COMMANDS: dict[str, dict[str, tuple]] = {
    "Data": {
        "corpus": ("prepare.default_corpus", "Build the default corpus."),
        "documents": ("prepare.documents", "Convert corpora to plain-text documents."),
        "vocabulary": ("prepare.train_vocabulary", "Train a vocabulary folder."),
        "import-vocabulary": ("vocabulary.authors", "Import the authors' vocabulary."),
        "binarize": ("prepare.binarize", "Binarize raw text for pretraining."),
        "adopt": ("prepare.adopt", "Complete a data folder written by fairseq-preprocess.", "adopt"),
        "import-flan": ("prompts.flan.command", "Import FLAN's templates from its file."),
        "prompts": ("prepare.prompted.main", "Render prompts and binarize them."),
        "corpus-tasks": ("prepare.corpus_tasks.main", "Derive few-shot tasks from a corpus."),
        "docstring-tasks": ("prepare.docstring_tasks.main", "Derive tasks from docstrings."),
        "intermediate": ("prepare.intermediate.main", "Write SMASH's prompts from documents."),
        "cache-teacher": ("prepare.teacher_cache", "Store a teacher's predictions.", "cache_teacher"),
        "kshot": ("smash.kshot", "Write K-shot splits by LM-BFF's algorithm."),
    },
    "Train": {
        "parameters": ("recipes.parameters", "Count the parameters of every architecture."),
        "plan": ("recipes.plan", "Estimate the cost of a pretraining run.", "plan_parser"),
        "summary": ("analysis.summary", "Summarize a pretraining run: table, JSON, curves."),
        "health": ("analysis.health", "Diagnose the auxiliary model and RTD of a run."),
    },
    "Evaluate": {
        "predict": ("inference.predict", "Predict with a trained model."),
        "evaluate": ("evaluate.command", "Score a model on suites of tasks.", "parser"),
        "fewshot": ("evaluate.fewshot.command", "Run few-shot fine-tuning over a grid.", "parser"),
        "passages": ("evaluate.bm25", "Retrieve passages by BM25."),
        "overlap": ("evaluate.overlap", "Find evaluation rows that overlap with a corpus."),
        "lm-eval": ("evaluate.harness_command", "Run lm-evaluation-harness.", None),
    },
    "Exchange": {
        "import": ("interchange.import_authors", "Import an authors' model.", "import_authors"),
        "export": ("interchange.export_authors", "Export to the authors' format.", "export_authors"),
        "import-t5": ("interchange.import_t5", "Import a T5 from Hugging Face.", "import_t5"),
        "export-t5": ("interchange.export_t5", "Export an hf_t5 run.", "export_t5"),
        "import-roberta": ("interchange.import_roberta", "Import a RoBERTa.", "import_roberta"),
        "export-roberta": ("interchange.export_roberta", "Export a roberta_mlm run.", "export_roberta"),
        "export-hf": ("interchange.export_hf", "Export a model for transformers.", "export_hf"),
    },
    "Papers": {
        "reproduce": ("papers.reproduction", "Reproduce a table or figure of a paper.", "reproduce"),
        "figure": ("analysis.figures.command", "Plot a figure of METRO-T0.", None),
        "smash-table": ("papers.smash.tables", "Write a table of SMASH.", "table"),
        "smash-figure": ("papers.smash.figures", "Plot a figure of SMASH.", "figure"),
    },
}  # fmt: skip
GROUPS = {
    group: {name: Command(*fields) for name, fields in commands.items()}
    for group, commands in _COMMANDS.items()
}
SHELLS = ("bash", "zsh")  # whose completion by shtab knows the options, too
COMMANDS = {name: command for group in GROUPS.values() for name, command in group.items()}


def main(argv=None):
    """Run a command; return its exit status: 0, 1 for wrong data, 2 for wrong usage."""
    return run_command(_main, sys.argv[1:] if argv is None else argv)


def _main(argv):
    if not argv or argv[0] in ("-h", "--help"):
        print(usage())
        return 0 if argv else 2
    name, *words = argv
    if name == "--version":
        print(f"fairseq-metro {__version__}")
        return 0
    if name == "--print-completion":
        return print_completion(words)
    if name not in COMMANDS:
        matches = difflib.get_close_matches(name, COMMANDS, 3, 0.4) or COMMANDS
        print(
            f"error: fairseq-metro has no command {name!r}; perhaps {', '.join(matches)} "
            "(all: fairseq-metro --help)",
            file=sys.stderr,
        )
        return 2
    command = COMMANDS[name]
    sys.argv = [f"fairseq-metro {name}", *words]  # what the command's help calls itself
    if words in (["-h"], ["--help"]) and command.options:
        command.parser().print_help()
        return 0
    return command.main(words)


def usage():
    """The list of commands by group, as ``fairseq-metro --help`` prints it."""
    width = max(map(len, COMMANDS))
    lines = [
        "usage: fairseq-metro COMMAND [options]",
        "",
        "METRO-T5 pretraining, prompt fine-tuning and prompt distillation on fairseq.",
        "Options of a command: fairseq-metro COMMAND --help",
    ]
    for group, commands in GROUPS.items():
        lines += ["", f"{group}:"]
        lines += [f"  {name:{width}}  {command.help}" for name, command in commands.items()]
    lines += ["", 'Shell completion: eval "$(fairseq-metro --print-completion bash)"']
    return "\n".join(lines)


def whole_parser():
    """One parser of all commands, for shell completion."""
    parser = CommandParser(prog="fairseq-metro")
    parser.add_argument("--version", action="store_true")
    commands = parser.add_subparsers()
    for name, command in COMMANDS.items():
        options = [] if command.options is None else [command.parser()]
        commands.add_parser(
            name, help=command.help, parents=options, add_help=False, conflict_handler="resolve"
        )
    return parser


def print_completion(words):
    """Print the completion script of a shell, made by shtab; return the exit status."""
    try:
        import shtab
    except ImportError:
        print("error: shell completion needs shtab: pip install shtab", file=sys.stderr)
        return 1
    if len(words) != 1 or words[0] not in SHELLS:
        shells = "|".join(SHELLS)
        print(f"error: usage: fairseq-metro --print-completion {shells}", file=sys.stderr)
        return 2
    print(shtab.complete(whole_parser(), shell=words[0]))
    return 0
