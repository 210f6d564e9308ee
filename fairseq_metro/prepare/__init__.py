"""Preparation of data for fairseq: corpora, vocabularies, binary data."""
