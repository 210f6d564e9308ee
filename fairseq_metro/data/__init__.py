"""Tokens in, arrays out: vocabularies, indexed files, document blocks, masking. No model here."""
