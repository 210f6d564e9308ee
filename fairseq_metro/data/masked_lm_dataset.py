"""Samples of masked-LM pretraining: a block with BERT's noise at its chosen positions."""

import numpy as np
import torch

from fairseq_metro.data import randomness
from fairseq_metro.data.block_dataset import BlockDataset
from fairseq_metro.data.masking import bert_noise, choose_masked, masked_count
from fairseq_metro.data.padding import flat_index


class MaskedLMBlocks(BlockDataset):
    """Blocks of tokens as masked-LM samples. mask: id of the mask symbol.

    Of a block's ordinary tokens exactly ``masked_count`` are chosen: 80 % of them become the mask,
    10 % an ordinary token at random, 10 % stay (Devlin et al. 2019, section 3.1). preference:
    positive float array (V,), tokens are then chosen in proportion to it, not uniformly.
    """

    def __init__(self, tokens, blocks, *, mask, preference=None, **options):
        super().__init__(tokens, blocks, **options)
        self.mask, self.replacements = mask, np.flatnonzero(self.ordinary)
        self.preference = preference

    def __getitem__(self, index):
        """id, source (T,) with noise, masked (m,) chosen positions, target (m,) their originals."""
        index = int(index)
        block = self.block(index)
        rng = randomness.generator(self.seed, self.epoch, index, randomness.MASKING)
        preference = None if self.preference is None else self.preference[block]
        masked = choose_masked(self.ordinary[block], self.mask_prob, rng, preference)
        kind = rng.random(len(masked))
        replacement = rng.choice(self.replacements, len(masked))
        source = bert_noise(block, masked, self.mask, kind, replacement)
        return {"id": index, "source": source, "masked": masked, "target": block[masked]}

    def masked_and_ordinary(self, index):
        ordinary = int(self.ordinary[self.block(index)].sum())
        return masked_count(ordinary, self.mask_prob), ordinary

    def collater(self, samples):
        """Right-padded batch. Shapes: (B, T) with T a multiple of ``pad_to_multiple``; M masked.

        net_input: src_tokens (B, T), masked_index (M,) int64 into the flattened (B, T), padded
        (bool: is there any padding). target (M,): the originals. n_masked, ntokens, nsentences:
        Python numbers.
        """
        if len(samples) == 0:
            return {}
        sources = [sample["source"] for sample in samples]
        lengths = list(map(len, sources))
        src_tokens = self.right_padded(sources)
        width = src_tokens.shape[1]
        masked_index = flat_index([sample["masked"] for sample in samples], width)
        target = np.concatenate([sample["target"] for sample in samples])
        return {
            "id": torch.tensor([sample["id"] for sample in samples]),
            "nsentences": len(samples),
            "ntokens": sum(lengths),
            "n_masked": len(masked_index),
            "target": torch.from_numpy(target),
            "net_input": {
                "src_tokens": torch.from_numpy(src_tokens),
                "masked_index": torch.from_numpy(masked_index),
                "padded": min(lengths) < width,
            },
        }
