"""Rows and templates to prompted pairs on disk, as fairseq reads them."""
