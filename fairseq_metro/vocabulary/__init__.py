"""Vocabulary folders, normalization, and the tokenizers of others."""
