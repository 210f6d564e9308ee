"""Samples of METRO pretraining: a block, its masked positions, and the uniforms that sample there."""

import numpy as np
import torch

from fairseq_metro.data import randomness
from fairseq_metro.data.block_dataset import BlockDataset
from fairseq_metro.data.identity import spread
from fairseq_metro.data.masking import choose_masked, masked_count, release_mask
from fairseq_metro.data.padding import flat_index
from fairseq_metro.data.span_corruption import choose_masked_in_spans, expected_masked_in_spans

MASK_PATTERNS = ("iid", "span")
CLM_POSITIONS = ("masked", "all")
COUNTED = 2**17  # blocks of which the share of masked tokens is counted; the others are like them


class MaskedBlocks(BlockDataset):
    """Blocks of tokens as METRO-T5 samples.

    mask: id of the mask symbol. mask_pattern: ``iid``, or ``span`` for T5's contiguous spans, each
    token of which is a mask (Table 4). clm_positions: rows that carry CLM loss, ``masked`` or
    ``all`` real ones (Table 4). random_tokens: range of ids for the released code's 80/10/10
    masking, or None for the paper's.
    """

    def __init__(
        self,
        tokens,
        blocks,
        *,
        mask,
        mask_pattern="iid",
        longest_span=5,
        clm_positions="masked",
        random_tokens=None,
        **options,
    ):
        super().__init__(tokens, blocks, **options)
        self.mask, self.mask_pattern, self.longest_span = mask, mask_pattern, longest_span
        self.clm_positions, self.random_tokens = clm_positions, random_tokens
        self.masked_share = self._masked_share()

    def _masked_share(self):
        """Masked tokens as a share of all real ones, over the whole data set.

        It is below ``mask_prob``: ``<s>``, ``</s>`` and unknown tokens are never masked, and the
        number is rounded in each block. Of spans it is the mean over their draws.
        """
        places = spread(len(self), COUNTED)
        starts, lengths = self.blocks.starts[places], self.blocks.lengths[places]
        ordinary = [
            np.count_nonzero(self.ordinary[self.tokens[start : start + length]])
            for start, length in zip(starts.tolist(), lengths.tolist(), strict=True)
        ]
        counts, blocks = np.unique(ordinary, return_counts=True)
        masked = [self._expected_masked(int(n)) for n in counts]
        return float(blocks @ masked / self.sizes[places].sum())

    def _expected_masked(self, n):
        if self.random_tokens is not None:
            return self.mask_prob * n  # the release divides by each batch's own share instead
        if self.mask_pattern == "iid":
            return masked_count(n, self.mask_prob)
        return expected_masked_in_spans(n, self.mask_prob, 0.0, self.longest_span)

    def __getitem__(self, index):
        """id, target (T,) original tokens, noised (T,) with masks, masked (m,) positions, uniform
        (m,) float64."""
        index = int(index)
        target = self.block(index)
        masked, noised = self.masks_of(index, target)
        uniform = randomness.uniforms(self.seed, self.epoch, index, masked)
        return {
            "id": index, "target": target, "noised": noised, "masked": masked, "uniform": uniform,
        }  # fmt: skip

    def masks_of(self, index, target):
        """Chosen positions of a block, ascending, and its tokens with masks."""
        rng = randomness.generator(self.seed, self.epoch, index, randomness.MASKING)
        if self.random_tokens is not None:
            return release_mask(target, self.mask_prob, self.mask, self.random_tokens, rng)
        ordinary = self.ordinary[target]
        if self.mask_pattern == "iid":
            masked = choose_masked(ordinary, self.mask_prob, rng)
        elif ordinary.any():
            spans = choose_masked_in_spans(ordinary, self.mask_prob, 0.0, self.longest_span, rng)
            masked = np.flatnonzero(spans)
        else:
            masked = np.zeros(0, dtype=np.int64)
        noised = target.copy()
        noised[masked] = self.mask
        return masked, noised

    def masked_and_ordinary(self, index):
        target = self.block(index)
        n = int(self.ordinary[target].sum())
        if self.mask_pattern == "iid" and self.random_tokens is None:
            return masked_count(n, self.mask_prob), n
        return len(self.masks_of(index, target)[0]), n

    def collater(self, samples):
        """Right-padded batch. Shapes: (B, T) with T a multiple of ``pad_to_multiple``; M masked.

        net_input: src_tokens (masked), src_lengths, prev_output_tokens (the decoder's start symbol,
        then the original shifted by one), masked_index (M,) int64 into the flattened (B, T),
        uniform (M,) float64 (a half-precision trainer casts float32 only), padded (bool: is there
        any padding, so that the model need not ask the GPU). target: the original tokens.
        n_masked, ntokens, nsentences: Python numbers; masked_share: the data set's. With
        clm_positions ``all`` also clm_index (N,) in net_input, the real positions, and
        masked_in_clm (M,), where the masked ones stand in it.
        """
        if len(samples) == 0:
            return {}
        originals = [sample["target"] for sample in samples]
        lengths = list(map(len, originals))
        target = self.right_padded(originals)
        width = target.shape[1]
        masked_index = flat_index([sample["masked"] for sample in samples], width)
        src_tokens = self.right_padded([sample["noised"] for sample in samples])
        batch = {
            "id": torch.tensor([sample["id"] for sample in samples]),
            "nsentences": len(samples),
            "ntokens": sum(lengths),
            "n_masked": len(masked_index),
            "masked_share": self.masked_share,
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
        if self.clm_positions == "all":
            clm_index = np.flatnonzero(target.reshape(-1) != self.pad)
            batch["net_input"]["clm_index"] = torch.from_numpy(clm_index)
            batch["masked_in_clm"] = torch.from_numpy(np.searchsorted(clm_index, masked_index))
        return batch
