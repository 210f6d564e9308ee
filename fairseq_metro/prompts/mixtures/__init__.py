"""Mixtures of prompted data sets: T0, T0+, T0++ (Sanh et al. 2022), FLAN, and the user's own.

mixture = load_mixture("t0")
tasks = mixture.tasks(find_templates())
caps, rates = mixture.caps_and_rates({"imdb": 25000, ...}, tasks)
"""

from fairseq_metro.prompts.mixtures.mixture import Mixture
from fairseq_metro.prompts.mixtures.reading import load_mixture, mixture_names
from fairseq_metro.prompts.mixtures.rules import RULES, caps_and_rates, cyclic_assignment
from fairseq_metro.prompts.mixtures.sets import MixtureSet, MixtureTask

__all__ = [
    "RULES",
    "Mixture",
    "MixtureSet",
    "MixtureTask",
    "caps_and_rates",
    "cyclic_assignment",
    "load_mixture",
    "mixture_names",
]
