"""Data as a user of plain fairseq makes it: pieces in text files, then fairseq-preprocess."""

import sys
from pathlib import Path

import numpy as np
from fairseq_cli import preprocess as fairseq_preprocess
from sentencepiece import SentencePieceProcessor

from fairseq_metro.data.indexed import IndexedTokens, IndexedWriter


def write_pieces(model, text, out):
    """As ``spm_encode --output_format=piece < text > out``: a line of pieces for each line."""
    processor = SentencePieceProcessor(model_file=str(model))
    lines = Path(text).read_text("utf-8").split("\n")[:-1]
    pieces = (" ".join(processor.encode(line, out_type=str)) for line in lines)
    Path(out).write_text("".join(f"{line}\n" for line in pieces), "utf-8")


def preprocess(*words):
    """``fairseq-preprocess`` in this process."""
    before = sys.argv
    sys.argv = ["fairseq-preprocess", *map(str, words)]
    try:
        fairseq_preprocess.cli_main()
    finally:
        sys.argv = before
        for handler in fairseq_preprocess.logger.handlers[:]:  # one for each folder's log
            fairseq_preprocess.logger.removeHandler(handler)
            handler.close()


def binarized(folder, model, texts, *options):
    """A folder of ``fairseq-preprocess --only-source``; texts: split -> text file."""
    words = ["--only-source", "--destdir", folder, "--workers", "1", *options]
    for split, text in texts.items():
        pieces = Path(folder).parent / f"{Path(folder).name}.{split}"
        write_pieces(model, text, pieces)
        words += [f"--{split}pref", pieces]
    preprocess(*words)
    return Path(folder)


def change_tokens(prefix, change):
    """Rewrite a split with ``change`` done to its tokens, an int64 array of ids end to end."""
    lines = IndexedTokens(prefix)
    tokens, sizes = np.array(lines.tokens, dtype=np.int64), np.array(lines.sizes)
    change(tokens)
    writer = IndexedWriter(prefix, 60000)
    writer.write(tokens, sizes)
    writer.close()
