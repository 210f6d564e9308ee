"""Samples of METRO pretraining: a block, its masked positions, and the uniforms that sample there."""

import numpy as np
import torch
from fairseq.data import FairseqDataset

from fairseq_metro.data import randomness
from fairseq_metro.data.masking import choose_masked, masked_count


class MaskedBlocks(FairseqDataset):
    """Blocks of tokens as METRO-T5 samples; a sample is a function of (seed, epoch, index) alone.

    tokens: flat array of token ids; blocks: :class:`~fairseq_metro.data.blocks.Blocks` over it.
    ordinary: bool array (V,), True for ids that may be masked. decoder_start: id that begins the
    decoder's input. shuffle: draw a new order every epoch (training).
    """

    def __init__(
        self,
        tokens,
        blocks,
        *,
        bos,
        pad,
        mask,
        decoder_start,
        ordinary,
        mask_prob,
        seed,
        shuffle,
        pad_to_multiple=8,
    ):
        super().__init__()
        self.tokens, self.blocks = tokens, blocks
        self.bos, self.pad, self.mask, self.decoder_start = bos, pad, mask, decoder_start
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

    def num_tokens(self, index):
        return self.sizes[index]

    def num_tokens_vec(self, indices):
        return self.sizes[indices]

    def size(self, index):
        return self.sizes[index]

    def block(self, index):
        """The original tokens of a block, ``<s>`` first: int64 array."""
        start, length = self.blocks.starts[index], self.blocks.lengths[index]
        block = np.empty(length + 1, dtype=np.int64)
        block[0] = self.bos
        block[1:] = self.tokens[start : start + length]
        return block

    def __getitem__(self, index):
        """id, target (T,) original tokens, masked (m,) positions, uniform (m,) float64."""
        index = int(index)
        target = self.block(index)
        rng = randomness.generator(self.seed, self.epoch, index, randomness.MASKING)
        masked = choose_masked(self.ordinary[target], self.mask_prob, rng)
        uniform = randomness.uniforms(self.seed, self.epoch, index, masked)
        return {"id": index, "target": target, "masked": masked, "uniform": uniform}

    def ordered_indices(self):
        """Indices by length; equal lengths in a random order of (seed, epoch) when shuffling."""
        if not self.shuffle:
            return np.argsort(self.sizes, kind="stable")
        order = np.random.default_rng([self.seed, self.epoch]).permutation(len(self))
        return order[np.argsort(self.sizes[order], kind="stable")]

    def filter_indices_by_size(self, indices, max_sizes):
        """Blocks are cut to the limit, so nothing is ever too long."""
        return indices, []

    def some_but_not_all_masked(self):
        """(some, all_but): does any block have a masked token, does any have an unmasked one?"""
        some = unmasked = False
        for index in range(len(self)):
            n = int(self.ordinary[self.block(index)].sum())
            count = masked_count(n, self.mask_prob)
            some, unmasked = some or count > 0, unmasked or count < n
            if some and unmasked:
                break
        return some, unmasked

    def collater(self, samples):
        """Right-padded batch. Shapes: (B, T) with T a multiple of ``pad_to_multiple``; M masked.

        net_input: src_tokens (masked), src_lengths, prev_output_tokens (the decoder's start symbol,
        then the original shifted by one), masked_index (M,) int64 into the flattened (B, T),
        uniform (M,) float64 (a half-precision trainer casts float32 only), padded (bool: is there
        any padding, so that the model need not ask the GPU). target: the original tokens.
        n_masked, ntokens, nsentences: Python numbers.
        """
        if len(samples) == 0:
            return {}
        lengths = [len(sample["target"]) for sample in samples]
        longest = max(lengths)
        width = -(-longest // self.pad_to_multiple) * self.pad_to_multiple
        target = np.full((len(samples), width), self.pad, dtype=np.int64)
        for row, sample in enumerate(samples):
            target[row, : lengths[row]] = sample["target"]
        prev_output_tokens = np.full_like(target, self.pad)
        prev_output_tokens[:, 0] = self.decoder_start
        for row, sample in enumerate(samples):
            prev_output_tokens[row, 1 : lengths[row]] = sample["target"][:-1]
        masked_index = np.concatenate(
            [row * width + sample["masked"] for row, sample in enumerate(samples)]
        ).astype(np.int64)
        src_tokens = target.copy()
        src_tokens.reshape(-1)[masked_index] = self.mask
        return {
            "id": torch.tensor([sample["id"] for sample in samples]),
            "nsentences": len(samples),
            "ntokens": sum(lengths),
            "n_masked": len(masked_index),
            "target": torch.from_numpy(target),
            "net_input": {
                "src_tokens": torch.from_numpy(src_tokens),
                "src_lengths": torch.tensor(lengths),
                "prev_output_tokens": torch.from_numpy(prev_output_tokens),
                "masked_index": torch.from_numpy(masked_index),
                "uniform": torch.from_numpy(
                    np.concatenate([sample["uniform"] for sample in samples])
                ),
                "padded": min(lengths) < width,
            },
        }
