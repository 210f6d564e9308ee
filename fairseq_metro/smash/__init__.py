"""SMASH: prompts, label words, few-shot tasks and their splits; groups of intermediate tasks.

Nothing here imports torch but ``regression.py``.
"""
