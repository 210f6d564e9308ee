"""The console commands: ``fairseq-metro NAME``, and the shorter ``metro-NAME`` of a few.

Each runs one module's ``main`` and returns a status. A module is imported only when its command
runs, so that ``fairseq-metro --help`` and ``metro-corpus --help`` need no torch.
"""

import difflib
import importlib
import sys

from fairseq_metro.errors import UserError, run_command
from fairseq_metro.stamp import __version__

# Name -> module below fairseq_metro, what it does; in the order of a whole project.
COMMANDS = {
    "corpus": ("prepare.default_corpus", "the default corpus, from installed documentation"),
    "documents": ("prepare.documents", "corpora in their usual formats to plain text documents"),
    "vocabulary": ("prepare.train_vocabulary", "train a vocabulary folder"),
    "import-vocabulary": ("interchange.authors_vocabulary", "the authors' vocabulary to ours"),
    "binarize": ("prepare.binarize", "raw text to a data folder for pretraining"),
    "adopt": ("prepare.adopt", "stamp and vocabulary for data that fairseq-preprocess made"),
    "import-flan": ("prompts.flan.command", "FLAN's own templates, from a copy of its file"),
    "prompts": ("prepare.prompted.main", "rows and templates to a data folder of prompted pairs"),
    "parameters": ("models.metro_t5.parameters", "parameter counts beside the paper's"),
    "plan": ("planning.plan", "memory, FLOPs and hours of a pretraining before it starts"),
    "health": ("analysis.health", "how a run's auxiliary model and RTD do: picture and words"),
    "summary": ("analysis.summary", "what a pretraining run learned: table, JSON, curves"),
    "predict": ("predict", "ask a trained model: text in, text or the likeliest choice out"),
    "evaluate": ("evaluate.command", "score a model on T0 Eval, MMLU, your own tasks: a report"),
    "figure": ("analysis.figures.command", "METRO-T0's figures for any runs: csv and picture"),
    "import": ("interchange.import_authors", "the authors' models to a run's folder"),
    "export": ("interchange.export_authors", "a run's model to the authors' formats"),
    "import-t5": ("interchange.import_t5", "a Hugging Face folder of T5 to a run's folder"),
    "export-t5": ("interchange.export_t5", "a run of hf_t5 to a Hugging Face folder"),
    "import-roberta": ("interchange.import_roberta", "RoBERTa of others to a run's folder"),
    "export-hf": ("interchange.export_hf", "any model of ours to a folder that transformers loads"),
    "lm-eval": ("evaluate.harness_command", "lm-evaluation-harness with our models in it"),
    "export-roberta": ("interchange.export_roberta", "a run of roberta_mlm to Hugging Face's form"),
    "corpus-tasks": ("prepare.corpus_tasks.main", "few-shot tasks derived from any corpus"),
    "intermediate": ("prepare.intermediate.main", "documents to prompts of a SMASH task group"),
    "cache-teacher": ("prepare.teacher_cache", "what a teacher says of such prompts, kept once"),
    "kshot": ("smash.kshot", "K-shot splits of few-shot tasks, as LM-BFF draws them"),
    "fewshot": ("evaluate.fewshot.command", "few-shot fine-tuning over models, tasks, a grid"),
    "smash-table": ("smash_results.tables", "SMASH's tables 1 to 3, ours and the paper's"),
    "smash-figure": ("smash_results.figures", "SMASH's figures 2a, 2b, 3, 4 from few-shot runs"),
}


def _run(module):
    def main(argv):
        return importlib.import_module(f"fairseq_metro.{module}").main(argv)

    return run_command(main)


def main():
    """``fairseq-metro``: every command of the package by its name."""
    return run_command(_named, sys.argv[1:])


def _named(argv):
    if not argv or argv[0] in ("-h", "--help"):
        print(usage())
        return 0 if argv else 2
    if argv[0] == "--version":
        print(f"fairseq-metro {__version__}")
        return 0
    name = argv[0]
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, 3, 0.4) or COMMANDS
        raise UserError(
            f"fairseq-metro has no command {name!r}; perhaps {', '.join(near)} "
            "(all: fairseq-metro --help)"
        )
    sys.argv = [f"fairseq-metro {name}", *argv[1:]]  # what the command's help calls itself
    return importlib.import_module(f"fairseq_metro.{COMMANDS[name][0]}").main(argv[1:])


def usage():
    """The list of commands, as ``fairseq-metro --help`` prints it."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {text}" for name, (_, text) in COMMANDS.items()]
    return "\n".join(
        [
            "usage: fairseq-metro COMMAND [options]",
            "",
            "METRO-T5 and friends on fairseq. The options of each: fairseq-metro COMMAND --help",
            "",
            *lines,
        ]
    )


def corpus():
    """``metro-corpus``: the default corpus from the installed packages' documentation."""
    return _run("prepare.default_corpus")


def vocabulary():
    """``metro-vocabulary``: train a vocabulary folder."""
    return _run("prepare.train_vocabulary")


def binarize():
    """``metro-binarize``: raw text to a data folder that fairseq reads."""
    return _run("prepare.binarize")


def parameters():
    """``metro-parameters``: parameter counts of the architectures beside the paper's."""
    return _run("models.metro_t5.parameters")


def health():
    """``metro-health``: how the auxiliary model and RTD do, as a picture and in words."""
    return _run("analysis.health")


def summary():
    """``metro-summary``: what a run learned, as a table, ``summary.json`` and ``curves.png``."""
    return _run("analysis.summary")
