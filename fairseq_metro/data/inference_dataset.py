"""Sources for generation: a prefix (``<s>``), tokens, ``</s>`` each, right-padded."""

import torch
from fairseq.data import FairseqDataset, data_utils


class SourceDataset(FairseqDataset):
    """src_tokens: list of (T,) int tensors that end in ``</s>``.

    prefix: ids to put in front of each. longest: tokens, prefix included, beyond which a source is
    cut on its right, ``</s>`` staying; None: no limit.
    """

    def __init__(self, src_tokens, dictionary, prefix, longest=None):
        super().__init__()
        self.dictionary = dictionary
        prefix = torch.tensor(prefix, dtype=torch.int64)
        self.src_tokens = [torch.cat([prefix, tokens.long()]) for tokens in src_tokens]
        if longest is not None:
            self.src_tokens = [cut(tokens, longest) for tokens in self.src_tokens]
        self.sizes = [len(tokens) for tokens in self.src_tokens]

    def __len__(self):
        return len(self.src_tokens)

    def __getitem__(self, index):
        return {"id": index, "source": self.src_tokens[index]}

    def num_tokens(self, index):
        return self.sizes[index]

    def size(self, index):
        return self.sizes[index]

    def collater(self, samples):
        """net_input: src_tokens (B, T), src_lengths (B,)."""
        tokens = [sample["source"] for sample in samples]
        return {
            "id": torch.tensor([sample["id"] for sample in samples]),
            "nsentences": len(samples),
            "ntokens": sum(len(source) for source in tokens),
            "net_input": {
                "src_tokens": data_utils.collate_tokens(tokens, self.dictionary.pad()),
                "src_lengths": torch.tensor([len(source) for source in tokens]),
            },
        }


def cut(tokens, longest):
    """A tensor (n,) of at most ``longest`` ids: its first ones, and its last, ``</s>``.

    >>> cut(torch.tensor([0, 7, 8, 9, 2]), 4).tolist()
    [0, 7, 8, 2]
    """
    if len(tokens) <= longest:
        return tokens
    return torch.cat([tokens[: longest - 1], tokens[-1:]])
