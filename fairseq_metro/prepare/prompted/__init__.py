"""Render rows and templates to prompted pairs on disk, in fairseq's format."""
