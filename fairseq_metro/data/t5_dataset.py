"""Samples of T5 pretraining: a block with sentinels for spans, and what they stand for."""

import numpy as np
import torch

from fairseq_metro.data import randomness
from fairseq_metro.data.block_dataset import BlockDataset
from fairseq_metro.data.padding import flat_index
from fairseq_metro.data.span_corruption import choose_spans, corrupt

DECODING_TARGETS = ("spans", "all")


class CorruptedBlocks(BlockDataset):
    """Blocks of tokens as T5 samples; see :mod:`fairseq_metro.data.span_corruption`.

    sentinels: their ids in order; end_of_target: id that ends a target of spans. empty_prob: share
    of empty spans; longest_span: in tokens. longest_source: limit of the source, in tokens.
    decoding_target: "spans" (T5), or "all", the whole original as METRO-T5's decoder has it.
    """

    def __init__(
        self,
        tokens,
        blocks,
        *,
        sentinels,
        end_of_target,
        empty_prob,
        longest_span,
        longest_source,
        decoding_target="spans",
        **options,
    ):
        super().__init__(tokens, blocks, **options)
        self.sentinels, self.end_of_target = np.asarray(sentinels), end_of_target
        self.empty_prob, self.longest_span = empty_prob, longest_span
        self.longest_source, self.decoding_target = longest_source, decoding_target

    def __getitem__(self, index):
        """id, size (T of the original), source (n,), target (m,): int64 arrays."""
        index = int(index)
        block = self.block(index)
        masked, starts = self._spans(index, self.ordinary[block])
        source, target = corrupt(block, masked, starts, self.sentinels, self.end_of_target)
        if self.decoding_target == "all":
            target = block
        return {"id": index, "size": len(block), "source": source, "target": target}

    def _spans(self, index, ordinary):
        return choose_spans(
            ordinary,
            randomness.generator(self.seed, self.epoch, index, randomness.SPANS),
            mask_prob=self.mask_prob,
            empty_prob=self.empty_prob,
            longest_span=self.longest_span,
            sentinels=len(self.sentinels),
            longest_source=self.longest_source,
        )

    def masked_and_ordinary(self, index):
        ordinary = self.ordinary[self.block(index)]
        return int(self._spans(index, ordinary)[0].sum()), int(ordinary.sum())

    def collater(self, samples):
        """Right-padded batch. Shapes: (B, T) and (B, S), multiples of ``pad_to_multiple``.

        net_input: src_tokens (B, T), src_lengths (B,), prev_output_tokens (B, S) (the decoder's
        start symbol, then the target shifted by one), target_index (N,) int64: where the flattened
        (B, S) is no padding; padded (bool: is there any in src_tokens). target (B, S). n_target (N),
        ntokens, nsentences: Python numbers; ntokens counts the original blocks, so that it is that
        of the same batch in METRO pretraining.
        """
        if len(samples) == 0:
            return {}
        sources, targets = ([sample[name] for sample in samples] for name in ("source", "target"))
        src_tokens, target = self.right_padded(sources), self.right_padded(targets)
        src_lengths = list(map(len, sources))
        target_index = flat_index([range(len(tokens)) for tokens in targets], target.shape[1])
        return {
            "id": torch.tensor([sample["id"] for sample in samples]),
            "nsentences": len(samples),
            "ntokens": sum(sample["size"] for sample in samples),
            "n_target": len(target_index),
            "target": torch.from_numpy(target),
            "net_input": {
                "src_tokens": torch.from_numpy(src_tokens),
                "src_lengths": torch.tensor(src_lengths),
                "prev_output_tokens": torch.from_numpy(self.decoder_input(targets)),
                "target_index": torch.from_numpy(target_index),
                "padded": min(src_lengths) < src_tokens.shape[1],
            },
        }
