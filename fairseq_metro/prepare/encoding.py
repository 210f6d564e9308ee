"""Encode chunks of text to token ids in worker processes, the costly part of binarizing.

Lines end in ``</s>``. Blank lines become document boundaries, which are lines of ``</s>`` alone;
runs of them collapse, and those at a chunk's edges are reported instead of written, since only the
one who puts chunks together knows what comes before and after. A line that is not blank and still
has no tokens (control characters alone) is dropped and counted.
"""

from dataclasses import dataclass

import numpy as np

from fairseq_metro.data.indexed import token_type
from fairseq_metro.prepare.workers import Workers
from fairseq_metro.vocabulary.folder import Vocabulary

END = 2  # </s>


@dataclass
class Encoded:
    """A chunk's lines. ``tokens``: (n,), ``sizes``: (lines,) int32; see the module for the rest."""

    tokens: np.ndarray
    sizes: np.ndarray
    boundary_before: bool
    boundary_after: bool
    dropped: int
    unknown_characters: int = 0
    text: str = ""  # the pieces route: the same lines as symbols


def encode_chunk(vocabulary, chunk, blank_ends_document, as_text=False):
    """Encode one :class:`~fairseq_metro.prepare.inputs.Chunk`; a new file starts a new document.

    ``as_text`` also spells the lines as dictionary symbols, each encoded on its own.
    """
    lines = chunk.text().removesuffix("\n").split("\n")
    filled = [bool(line.strip()) for line in lines]
    texts = [line for line, has_text in zip(lines, filled, strict=True) if has_text]
    tokens, text_sizes, unknown_characters = vocabulary.encode_counted(texts)
    spelled = list(map(vocabulary.encode_pieces, texts)) if as_text else []
    # Sizes of all lines: 0 where blank, -1 where dropped.
    sizes = np.zeros(len(lines), dtype=np.int64)
    sizes[np.array(filled, dtype=bool)] = np.where(text_sizes == 0, -1, text_sizes)
    dropped = int((sizes == -1).sum())
    sizes = sizes[sizes != -1]
    if not (blank_ends_document or chunk.rows):
        sizes = sizes[sizes != 0]
    before, after = chunk.new_file, False
    full = np.flatnonzero(sizes)
    if len(full) == 0:
        sizes, before = sizes[:0], before or len(sizes) > 0
    else:
        before, after = before or full[0] > 0, full[-1] < len(sizes) - 1
        sizes = sizes[full[0] : full[-1] + 1]
        sizes = sizes[~((sizes == 0) & (np.append(sizes[1:], 1) == 0))]
    ends = np.cumsum(sizes + 1) - 1
    whole = np.full(int(ends[-1]) + 1 if len(ends) else 0, END, dtype=token_type(len(vocabulary)))
    is_text = np.ones(len(whole), dtype=bool)
    is_text[ends] = False
    whole[is_text] = tokens
    text = ""
    if as_text:
        words = iter([line for line in spelled if line])
        text = "".join(f"{next(words)}\n" if size else "\n" for size in sizes)
    return Encoded(
        whole, (sizes + 1).astype(np.int32), bool(before), bool(after), dropped,
        unknown_characters, text,
    )  # fmt: skip


class Encoders(Workers):
    """Worker processes that encode chunks; results come in the order of the chunks."""

    def __init__(self, vocabulary_folder, workers, blank_ends_document, as_text):
        arguments = (str(vocabulary_folder), blank_ends_document, as_text)
        super().__init__(workers, _set_up, arguments, _encode)


_state: dict = {}


def _set_up(folder, blank_ends_document, as_text):
    if _state.get("arguments") != (folder, blank_ends_document, as_text):
        _state["vocabulary"] = Vocabulary.load(folder)
        _state["arguments"] = (folder, blank_ends_document, as_text)


def _encode(chunk):
    return encode_chunk(_state["vocabulary"], chunk, *_state["arguments"][1:])
