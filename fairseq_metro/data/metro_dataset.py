"""Samples of METRO pretraining: a block, its masked positions, and the uniforms that sample there."""

import numpy as np
import torch

from fairseq_metro.data import randomness
from fairseq_metro.data.block_dataset import BlockDataset
from fairseq_metro.data.masking import choose_masked, masked_count


class MaskedBlocks(BlockDataset):
    """Blocks of tokens as METRO-T5 samples. mask: id of the mask symbol."""

    def __init__(self, tokens, blocks, *, mask, **options):
        super().__init__(tokens, blocks, **options)
        self.mask = mask

    def __getitem__(self, index):
        """id, target (T,) original tokens, masked (m,) positions, uniform (m,) float64."""
        index = int(index)
        target = self.block(index)
        rng = randomness.generator(self.seed, self.epoch, index, randomness.MASKING)
        masked = choose_masked(self.ordinary[target], self.mask_prob, rng)
        uniform = randomness.uniforms(self.seed, self.epoch, index, masked)
        return {"id": index, "target": target, "masked": masked, "uniform": uniform}

    def masked_and_ordinary(self, index):
        n = int(self.ordinary[self.block(index)].sum())
        return masked_count(n, self.mask_prob), n

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
        originals = [sample["target"] for sample in samples]
        lengths = list(map(len, originals))
        target = self.right_padded(originals)
        width = target.shape[1]
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
                "prev_output_tokens": torch.from_numpy(self.decoder_input(originals)),
                "masked_index": torch.from_numpy(masked_index),
                "uniform": torch.from_numpy(
                    np.concatenate([sample["uniform"] for sample in samples])
                ),
                "padded": min(lengths) < width,
            },
        }
