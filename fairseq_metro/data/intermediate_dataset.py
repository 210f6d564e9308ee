"""Prompts of a SMASH task group, one mask each, in batches of similar length, with teacher targets.

Reads what ``fairseq-metro intermediate`` wrote. Sample and batch depend on (seed, epoch, index) alone.
"""

from pathlib import Path

import numpy as np
import torch
from fairseq.data import FairseqDataset

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.files import read_json
from fairseq_metro.data.identity import identity, spread
from fairseq_metro.data.indexed import IndexedTokens
from fairseq_metro.data.length_batches import length_batches
from fairseq_metro.data.padding import PAD_TO_MULTIPLE, padded_width, right_padded

STAMP = "intermediate.json"
MAKER = "fairseq-metro intermediate"
LABEL, MASK_POSITION = 0, 5  # columns of the meta rows
ROBERTA, T5 = "roberta", "t5"


def read_intermediate_stamp(folder):
    """The stamp of a data folder. Raises :class:`UserError` where there is none, or it is damaged."""
    path = Path(folder) / STAMP
    if not path.is_file():
        raise UserError(f"{path}: no such file, so no finished folder of prompts; run {MAKER}")
    stamp = read_json(path)
    needed = {"vocabulary", "kind", "data", "template", "verbalizer", "splits"}
    if not isinstance(stamp, dict) or not needed <= stamp.keys():
        raise UserError(f"{path}: not a stamp of {MAKER}; make the data anew")
    return stamp


class IntermediatePrompts:
    """One split's files: ``sizes`` (N,) int32, ``label`` (N,) int32, ``mask`` (N,) int32.

    Raises :class:`UserError` where they are missing, damaged, or have other than one mask a prompt.
    """

    def __init__(self, folder, split, mask_id):
        self.prefix = Path(folder) / f"{split}.prompts"
        self._lines = IndexedTokens(self.prefix)
        path = Path(folder) / f"{split}.meta.npy"
        try:
            meta = np.load(path, mmap_mode="r")
        except (OSError, ValueError):
            raise UserError(f"{path}: missing or damaged; make the data anew by {MAKER}") from None
        self.sizes = np.asarray(self._lines.sizes)
        if not len(self.sizes):
            raise UserError(f"{self.prefix}: no prompt in it; make the data anew by {MAKER}")
        if meta.shape != (len(self.sizes), MASK_POSITION + 1):
            raise UserError(
                f"{path}: {meta.shape[0]} rows for {len(self.sizes)} prompts; make the data anew"
            )
        self.label, self.mask = np.array(meta[:, LABEL]), np.array(meta[:, MASK_POSITION])
        self._starts = np.cumsum(self.sizes, dtype=np.int64) - self.sizes
        wrong = (self.mask < 0) | (self.mask >= self.sizes)
        if not wrong.any():
            wrong = self._lines.tokens[self._starts + self.mask] != mask_id
        if wrong.any():
            raise UserError(
                f"{path}: no mask where prompt {int(wrong.argmax())} should have one; make the "
                f"data anew by {MAKER}"
            )

    def __len__(self):
        return len(self.sizes)

    def tokens(self, index):
        """Ids of a prompt: int64 (n,)."""
        begin = self._starts[index]
        return np.array(self._lines.tokens[begin : begin + self.sizes[index]], dtype=np.int64)


class IntermediateDataset(FairseqDataset):
    """Batches of prompts for a model of RoBERTa's kind, or of T5's.

    prompts: :class:`IntermediatePrompts`. decoder_input: None for RoBERTa; for T5 the ids (2,) that
    the decoder is given, its start symbol and the first sentinel: what it predicts after both is the
    prompt's word (SMASH, section 4.4). targets: what teachers said, each an object whose ``rows(
    indices)`` gives arrays by name (data/teacher_targets.py). shuffle: a new order of (seed, epoch)
    each epoch (training).
    """

    def __init__(self, prompts, *, pad, seed, shuffle, decoder_input=None, targets=()):
        super().__init__()
        self.prompts, self.pad, self.seed, self.shuffle = prompts, pad, seed, shuffle
        self.decoder_input, self.targets = decoder_input, targets
        self.widths = padded_width(prompts.sizes.astype(np.int64))
        self.epoch = 1

    @property
    def can_reuse_epoch_itr_across_epochs(self):
        return not self.shuffle

    def set_epoch(self, epoch):
        super().set_epoch(epoch)
        self.epoch = epoch

    def longest(self):
        """Positions that a model needs; T5 gives padding positions of its own, RoBERTa none."""
        longest = int(self.prompts.sizes.max())
        return longest if self.decoder_input is None else padded_width(longest)

    def __len__(self):
        return len(self.prompts)

    def identity(self):
        """A name of the prompts: their lengths, and some of their tokens."""
        return identity(self.prompts.sizes, *map(self.prompts.tokens, spread(len(self))))

    def num_tokens(self, index):
        return self.widths[index]

    num_tokens_vec = size = num_tokens

    def ordered_indices(self):
        """Indices in the epoch's order; batches sort them by length."""
        if not self.shuffle:
            return np.arange(len(self))
        return np.random.default_rng([self.seed, self.epoch]).permutation(len(self))

    def filter_indices_by_size(self, indices, max_sizes):
        """Return all indices: prompts were truncated when they were built."""
        return indices, []

    def batch_by_size(
        self, indices, max_tokens=None, max_sentences=None, required_batch_size_multiple=1
    ):
        """Batches of like lengths; see :mod:`~fairseq_metro.data.length_batches`."""
        widest = int(self.widths[indices].max(initial=0))
        if max_tokens is not None and widest > max_tokens:
            raise UserError(
                f"--max-tokens {max_tokens}: the longest prompt of {self.prompts.prefix} has "
                f"{widest}, padded; give at least {widest}"
            )
        return length_batches(
            self.widths,
            np.zeros_like(self.widths),
            indices,
            max_tokens=max_tokens,
            max_sentences=max_sentences,
            batch_multiple=required_batch_size_multiple,
        )

    def __getitem__(self, index):
        """id; tokens (n,) int64; mask: its place among them; label: the rule label."""
        index = int(index)
        return {
            "id": index,
            "tokens": self.prompts.tokens(index),
            "mask": int(self.prompts.mask[index]),
            "label": int(self.prompts.label[index]),
        }

    def collater(self, samples):
        """A right-padded batch of B prompts, (B, T), T a multiple of 8.

        net_input, of RoBERTa: src_tokens (B, T), masked_index (B,) int64 into the flattened (B, T),
        padded (is there any); of T5: src_tokens, src_lengths (B,), prev_output_tokens (B, 2),
        target_index (B,) int64 into the flattened (B, 2), padded. label (B,) int64. teacher: for each
        of ``targets`` a dict of tensors, the rows of the batch. id, nsentences, ntokens.
        """
        if len(samples) == 0:
            return {}
        rows = [sample["tokens"] for sample in samples]
        src_tokens = torch.from_numpy(right_padded(rows, self.pad, PAD_TO_MULTIPLE))
        lengths = torch.tensor(list(map(len, rows)))
        ids = np.array([sample["id"] for sample in samples])
        batch = {
            "id": torch.from_numpy(ids),
            "nsentences": len(rows),
            "ntokens": int(lengths.sum()),
            "label": torch.tensor([sample["label"] for sample in samples]),
            "net_input": {
                "src_tokens": src_tokens,
                "padded": int(lengths.min()) < src_tokens.size(1),
            },
        }
        first = torch.arange(len(rows))
        if self.decoder_input is None:
            mask = torch.tensor([sample["mask"] for sample in samples])
            batch["net_input"]["masked_index"] = first * src_tokens.size(1) + mask
        else:
            decoder_input = torch.tensor([self.decoder_input])
            batch["net_input"].update(
                src_lengths=lengths,
                prev_output_tokens=decoder_input.repeat(len(rows), 1),
                target_index=2 * first + 1,
            )
        if self.targets:
            batch["teacher"] = [
                {name: torch.from_numpy(array) for name, array in target.rows(ids).items()}
                for target in self.targets
            ]
        return batch
