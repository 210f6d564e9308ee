"""A predictor with known answers, and small folders of task data, for tests of the runner."""

import json
from types import SimpleNamespace


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
        return [[0] * (len(text.split()) + 1) for text in texts]

    def generate(self, texts, **options):
        return [text.split()[-1] for text in texts]


def write_rows(folder, dataset, rows, split="validation"):
    """A split of a data set as jsonl."""
    path = folder / dataset / f"{split}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path
