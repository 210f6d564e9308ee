"""Base class of the pretraining data sets: blocks, their order and their padding."""

import numpy as np
from fairseq.data import FairseqDataset

from fairseq_metro.data import padding, randomness
from fairseq_metro.data.identity import identity, spread
from fairseq_metro.data.padding import PAD_TO_MULTIPLE


class BlockDataset(FairseqDataset):
    """Base of datasets over blocks of tokens; a sample is a function of (seed, epoch, index) alone.

    tokens: flat array of token ids; blocks: :class:`~fairseq_metro.data.blocks.Blocks` over it.
    ordinary: bool array (V,), True for ids that may be masked. decoder_start: id that begins the
    decoder's input. shuffle: use a new order every epoch (training).

    Sizes, order and so batches depend on the blocks alone: every objective sees the same ones.
    A subclass adds ``__getitem__``, ``collater`` and ``some_but_not_all_masked``.
    """

    def __init__(
        self,
        tokens,
        blocks,
        *,
        bos,
        pad,
        decoder_start,
        ordinary,
        mask_prob,
        seed,
        shuffle,
        pad_to_multiple=PAD_TO_MULTIPLE,
    ):
        super().__init__()
        self.tokens, self.blocks = tokens, blocks
        self.bos, self.pad, self.decoder_start = bos, pad, decoder_start
        self.ordinary, self.mask_prob = ordinary, mask_prob
        self.seed, self.shuffle, self.pad_to_multiple = seed, shuffle, pad_to_multiple
        self.sizes = blocks.lengths + 1  # with <s>
        self.epoch = 1

    @property
    def can_reuse_epoch_itr_across_epochs(self):
        return not self.shuffle  # training draws masks and order anew

    def set_epoch(self, epoch):
        super().set_epoch(epoch)
        self.epoch = epoch

    def __len__(self):
        return len(self.blocks)

    def identity(self):
        """A name of the blocks: where they are cut, and some of their tokens."""
        starts, lengths = self.blocks.starts, self.blocks.lengths
        some = [self.tokens[starts[i] : starts[i] + lengths[i]] for i in spread(len(self))]
        return identity(starts, lengths, *some)

    def num_tokens(self, index):
        return self.sizes[index]

    def num_tokens_vec(self, indices):
        return self.sizes[indices]

    def size(self, index):
        return self.sizes[index]

    def block(self, index):
        """The original tokens of a block, ``<s>`` first: int64 array."""
        start, length = self.blocks.starts[index], self.blocks.lengths[index]
        if slack := int(self.blocks.slack[index]):
            rng = randomness.generator(self.seed, self.epoch, index, randomness.CROPPING)
            start += rng.integers(slack + 1)
        block = np.empty(length + 1, dtype=np.int64)
        block[0] = self.bos
        block[1:] = self.tokens[start : start + length]
        return block

    def ordered_indices(self):
        """Indices by length; equal lengths in a random order of (seed, epoch) when shuffling."""
        if not self.shuffle:
            return np.argsort(self.sizes, kind="stable")
        order = np.random.default_rng([self.seed, self.epoch]).permutation(len(self))
        return order[np.argsort(self.sizes[order], kind="stable")]

    def batch_by_size(
        self, indices, max_tokens=None, max_sentences=None, required_batch_size_multiple=1
    ):
        """Batches of ``indices`` in their order, none of them left out.

        Stock fairseq drops the last batch if its size is not a multiple of
        ``--required-batch-size-multiple`` (8 unless given), even in validation; sorted by length,
        those are the longest blocks of every epoch. They are batched again without that option.
        """
        batches = super().batch_by_size(
            indices, max_tokens, max_sentences, required_batch_size_multiple
        )
        rest = indices[sum(map(len, batches)) :]
        if len(rest) > 0:
            batches = [*batches, *super().batch_by_size(rest, max_tokens, max_sentences, 1)]
        return batches

    def filter_indices_by_size(self, indices, max_sizes):
        """Return all indices: blocks never exceed the limit."""
        return indices, []

    def some_but_not_all_masked(self):
        """(some, all_but): does any block have a masked token, does any have an unmasked one?"""
        some = unmasked = False
        for index in range(len(self)):
            masked, ordinary = self.masked_and_ordinary(index)
            some, unmasked = some or masked > 0, unmasked or masked < ordinary
            if some and unmasked:
                break
        return some, unmasked

    def masked_and_ordinary(self, index):
        """Numbers of masked and of maskable tokens in a block."""
        raise TypeError(f"{type(self).__name__} must define masked_and_ordinary")

    def right_padded(self, rows):
        """List of int arrays (n,) -> int64 (B, T), T a multiple of ``pad_to_multiple``."""
        return padding.right_padded(rows, self.pad, self.pad_to_multiple)

    def decoder_input(self, rows):
        """The start symbol, then each target without its last token: padded like the targets."""
        return self.right_padded([np.append(self.decoder_start, tokens[:-1]) for tokens in rows])
