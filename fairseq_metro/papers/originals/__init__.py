"""The originals, ``SCALE=paper``: what is run for each table and figure, with the papers' numbers."""

from fairseq_metro.papers.originals import flan, metro, smash
from fairseq_metro.papers.originals.scale import Scale

PAPERS = {"metro": metro.steps, "flan": flan.steps, "smash": smash.steps}


def original_steps(name, settings, scale=None):
    """Steps of an original: list of :class:`fairseq_metro.papers.steps.Step`, each key once.

    name: of the target; settings: its ``paper_scale`` in ``targets.yaml``; scale: a :class:`Scale`,
    None for the paper's.
    """
    paper = name.partition("_")[0]
    steps = PAPERS[paper](name, settings, scale or Scale())
    return list({step.key: step for step in steps}.values())
