"""Text in, what fairseq reads out: corpora, vocabularies, binary data."""
