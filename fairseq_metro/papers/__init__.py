"""Reproduction of the papers: experiments by scale, published numbers, verdicts on ours.

``targets.yaml`` names every table and figure; ``fairseq_metro/papers/reproduction.py`` runs them.
"""
