"""Models with known answers, and small folders of task data, for tests of the runner."""

import json
import math
from types import SimpleNamespace

import torch
from torch import nn


class Fake:
    """A predictor whose score of (input, choice) is a function's; keeps what it was asked."""

    max_source = 64

    def __init__(self, score):
        self.score, self.asked = score, []
        self.vocabulary = SimpleNamespace(encode=str.split, source_prefix=[0])

    def score_choices(self, texts, choices, max_tokens=None):
        self.asked += list(zip(texts, map(tuple, choices), strict=True))
        return [
            [self.score(text, choice) for choice in each]
            for text, each in zip(texts, choices, strict=True)
        ]

    def targets(self, texts):
        return [torch.zeros(len(text.split()) + 1) for text in texts]

    def generate(self, texts, **options):
        return [text.split()[-1] for text in texts]


class Chain(nn.Module):
    """An encoder-decoder whose p(token | token before) is a table: (V, V), rows sum to 1.

    The first token of the source chooses among tables, so that inputs matter.
    """

    def __init__(self, tables):
        super().__init__()
        self.tables = nn.Parameter(torch.tensor(tables).log(), requires_grad=False)
        self.encoder = lambda src_tokens, src_lengths=None: src_tokens[:, 0]
        self.decoder = SimpleNamespace(
            extract_features=self.extract_features, output_layer=lambda features: features
        )

    def extract_features(self, prev, states):
        which = states.repeat_interleave(prev.size(0) // states.size(0))
        return self.tables[which[:, None], prev]


def log(*shares):
    """Natural logarithm of a product."""
    return sum(math.log(share) for share in shares)


def write_rows(folder, dataset, rows, split="validation"):
    """A split of a data set as jsonl."""
    path = folder / dataset / f"{split}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path
