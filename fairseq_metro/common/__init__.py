"""Helpers for every room: errors, files, logs, stamps, YAML, sources of text."""
