"""The console commands (``metro-corpus``, …): each runs one module's ``main`` and returns a status.

A module is imported only when its command runs, so that ``metro-corpus --help`` needs no torch.
"""

import importlib

from fairseq_metro.errors import run_command


def _run(module):
    def main(argv):
        return importlib.import_module(f"fairseq_metro.{module}").main(argv)

    return run_command(main)


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
