"""Reproduction of the papers: what to run at which scale, the papers' numbers, how ours are judged.

``targets.yaml`` names every table and figure; ``fairseq_metro/papers/reproduction.py`` runs them.
"""
