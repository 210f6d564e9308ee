"""Task data from the default corpus: docstrings become rows with a label that is known for sure."""
