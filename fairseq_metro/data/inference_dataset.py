"""Sources for generation: one ``<s>`` tokens ``</s>`` each, right-padded."""

import torch
from fairseq.data import FairseqDataset, data_utils


class SourceDataset(FairseqDataset):
    """src_tokens: list of (T,) int tensors that end in ``</s>``; ``<s>`` is put in front."""

    def __init__(self, src_tokens, dictionary):
        super().__init__()
        self.dictionary = dictionary
        bos = torch.tensor([dictionary.bos()])
        self.src_tokens = [torch.cat([bos, tokens.long()]) for tokens in src_tokens]
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
