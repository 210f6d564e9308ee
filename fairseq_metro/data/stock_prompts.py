"""Prompts as lines of fairseq-preprocess, each with one mask symbol, or T5's first sentinel."""

from pathlib import Path

import numpy as np

from fairseq_metro.common.errors import UserError
from fairseq_metro.data.intermediate_dataset import ROBERTA, T5
from fairseq_metro.data.stock import AGAIN, files_hash, open_tokens, refuse_unknown_ids, splits_of
from fairseq_metro.vocabulary.folder import DICTIONARY, read_symbols

FIRST_TOKENS = 1 << 16  # of each split, that are searched for a mask


def kind_of_masks(folder, vocabulary):
    """Whose prompts the lines in a folder are: "roberta", "t5", or None where they have no masks."""
    symbols = {vocabulary.index("mask"): ROBERTA}
    if vocabulary.sentinel_indices:
        symbols[vocabulary.sentinel_indices[0]] = T5
    for name in splits_of(folder):
        tokens = np.asarray(open_tokens(Path(folder) / name).tokens[:FIRST_TOKENS])
        masks = tokens[np.isin(tokens, list(symbols))]
        if len(masks):
            return symbols[int(masks[0])]
    return None


def stock_prompts_facts(folder, vocabulary):
    """What ``read_intermediate_stamp`` would say of a folder, as far as its files tell."""
    return {
        "vocabulary": None,
        "kind": kind_of_masks(folder, vocabulary),
        "data": files_hash(folder),
        "template": None,
        "verbalizer": {},
        "splits": {name: {} for name in splits_of(folder)},
    }


class StockPrompts:
    """One split's lines as ``IntermediatePrompts``: ``sizes``, ``label`` (0), ``mask``, (N,) int32.

    mask_id: of the symbol that each line must have once; prefix: ids that are put before a line.
    Raises :class:`UserError`.
    """

    def __init__(self, folder, split, mask_id, prefix):
        self.prefix = Path(folder) / split
        self._lines = open_tokens(self.prefix)
        dictionary = Path(folder) / DICTIONARY
        refuse_unknown_ids(self._lines, len(read_symbols(dictionary)), dictionary)
        self._before = np.array(prefix, dtype=np.int64)
        sizes = np.asarray(self._lines.sizes)
        if not len(sizes):
            raise UserError(f"{self.prefix}.bin: no prompt in it; {AGAIN}")
        ends = np.cumsum(sizes, dtype=np.int64)
        self._starts = ends - sizes
        places = np.flatnonzero(self._lines.tokens == mask_id)
        lines = np.searchsorted(ends, places, side="right")
        masks = np.bincount(lines, minlength=len(sizes))
        if (masks != 1).any():
            line = int((masks != 1).argmax())
            raise UserError(
                f"{self.prefix}.bin: line {line + 1} has {masks[line]} masks, but a prompt has one; "
                f"{AGAIN} from lines with one mask symbol each"
            )
        self.sizes = sizes + len(prefix)
        self.mask = (places - self._starts + len(prefix)).astype(np.int32)
        self.label = np.zeros(len(sizes), dtype=np.int32)

    def __len__(self):
        return len(self.sizes)

    def tokens(self, index):
        """Ids of a prompt: int64 (n,)."""
        begin = self._starts[index]
        line = self._lines.tokens[begin : begin + self.sizes[index] - len(self._before)]
        return np.concatenate([self._before, line.astype(np.int64)])
