"""Random tokens with T0 Eval's lengths and numbers of choices, for ``benchmarks/eval.py``."""

import numpy as np
import torch

EOS = 2
# Set: prompts in T0 Eval, typical input and choice in tokens (with </s>), choices, shared words.
MIX = {
    "rte": (2770, 90, 2, 2, True),
    "cb": (840, 110, 2, 3, True),
    "anli": (48000, 130, 2, 3, True),
    "wsc, wic": (7420, 70, 2, 2, True),
    "winogrande": (6335, 50, 4, 2, False),
    "copa": (800, 45, 9, 2, False),
    "story_cloze": (9355, 90, 13, 2, False),
    "hellaswag, endings": (30126, 200, 30, 4, False),
    "hellaswag, numbers": (10042, 200, 3, 4, True),
}
SPREAD = 0.3  # of the logarithm of a length
LONGEST = 512
VOCABULARY = 32128


def draw(prompts, seed):
    """{set: (inputs, choices)}, token tensors in our ids, ``prompts`` of them in T0 Eval's shares."""
    rng = np.random.default_rng(seed)
    total = sum(count for count, *_ in MIX.values())
    found = {}
    for name, (count, source, target, most, shared) in MIX.items():
        n = max(2, round(prompts * count / total))
        words = [tokens(rng, target) for _ in range(most)]
        inputs = [tokens(rng, length(rng, source)) for _ in range(n)]
        choices = [
            words if shared else [tokens(rng, max(2, length(rng, target))) for _ in range(most)]
            for _ in range(n)
        ]
        found[name] = inputs, choices
    return found


def length(rng, typical):
    return int(np.clip(round(typical * np.exp(SPREAD * rng.standard_normal())), 2, LONGEST))


def tokens(rng, size):
    return torch.tensor([*rng.integers(4, VOCABULARY, size - 1), EOS])
