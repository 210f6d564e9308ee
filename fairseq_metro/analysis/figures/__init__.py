"""METRO-T0's figures for any checkpoints: ``fairseq-metro figure NAME``, a csv and a picture each.

A figure is a module with ``add_arguments(parser)``, ``collect(args)`` -> rows (list of dicts, all
with the same keys, the csv's columns), ``draw(rows, args)`` -> a matplotlib figure made of nothing
but these rows, and ``describe(rows)`` -> a few words for the terminal.
"""
