"""Rank classification on a model whose probabilities are known by hand, and against transformers."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

import fairseq_metro
from fairseq_metro.scoring import best, score_choices
from tests.interchange.t5_folders import write_folder


class Chain(nn.Module):
    """An encoder-decoder whose p(token | token before) is a table: (V, V), rows sum to 1.

    The first token of the source chooses among tables, so that inputs matter.
    """

    def __init__(self, tables, longest):
        super().__init__()
        self.tables = nn.Parameter(torch.tensor(tables).log(), requires_grad=False)
        self.encoder = lambda src_tokens, src_lengths=None: src_tokens[:, 0]
        self.decoder = SimpleNamespace(
            extract_features=self.extract_features,
            output_layer=lambda features: features,
            max_positions=lambda: longest,
        )

    def extract_features(self, prev, states, target_segments):
        which = states.repeat_interleave(prev.size(0) // states.size(0))
        return self.tables[which[:, None], prev]


def log(*shares):
    """Natural logarithm of a product."""
    return sum(math.log(share) for share in shares)


# Tokens: 0 <s>, 1 padding, 2 </s> (and the decoder's start), 3 a, 4 b. A row: the token before.
END, A, B = 2, 3, 4
NEVER = 1e-30
FIRST = [
    [0.2] * 5,
    [0.2] * 5,
    [NEVER, NEVER, 0.25, 0.5, 0.25],  # the start: a is twice as likely as b
    [NEVER, NEVER, 0.5, 0.25, 0.25],  # after a
    [NEVER, NEVER, 0.8, 0.1, 0.1],  # after b
]
SECOND = [*FIRST[:2], [NEVER, NEVER, 0.25, 0.125, 0.625], *FIRST[3:]]
CHOICES = [[A, END], [B, END], [A, B, END], [END]]
BY_HAND = {
    0: [log(0.5, 0.5), log(0.25, 0.8), log(0.5, 0.25, 0.8), log(0.25)],
    1: [log(0.125, 0.5), log(0.625, 0.8), log(0.125, 0.25, 0.8), log(0.25)],
}


def scored(inputs, choices, longest=64, **options):
    model = Chain([FIRST, SECOND], longest)
    options = {"pad": 1, "decoder_start": END, "max_tokens": 64, **options}
    return score_choices(model, inputs, choices, **options)


def source(first, length):
    return torch.tensor([first, *[A] * length, END])


@pytest.mark.parametrize("longest", [4, 64])  # a row for each choice, or one for all of an input
@pytest.mark.parametrize("max_tokens", [1, 20, 1000])
def test_scores_are_sums_of_log_probabilities_with_the_end_and_without_padding(max_tokens, longest):
    inputs = [source(0, 3), source(1, 1), source(0, 7)]
    choices = [[torch.tensor(c) for c in CHOICES], [torch.tensor(c) for c in CHOICES[:2]],
               [torch.tensor(CHOICES[2])]]  # fmt: skip
    found = scored(inputs, choices, longest, max_tokens=max_tokens)
    expected = [BY_HAND[0], BY_HAND[1][:2], BY_HAND[0][2:3]]
    for row, numbers in zip(found, expected, strict=True):
        assert row.tolist() == pytest.approx(numbers, abs=1e-6)
    # a, a: 0.25; the end alone: 0.25: a tie, and the first of them wins.
    assert BY_HAND[0][0] == pytest.approx(BY_HAND[0][3], abs=1e-12)
    assert best(found) == [0, 1, 0]


def test_a_sum_is_not_a_mean():
    """a b </s> is likelier by token than b </s>, and less likely as a whole."""
    one, other = log(0.5, 0.25, 0.8), log(0.25, 0.5)
    assert one / 3 > other / 2 and one < other
    found = scored([source(0, 2)], [[torch.tensor([A, B, END]), torch.tensor([B, END])]])
    assert best(found) == [1]


@pytest.mark.parametrize("kind", ["relu", "gated-gelu"])
def test_scores_are_those_of_transformers_on_repeated_inputs(tmp_path, kind):
    folder, theirs = write_folder(tmp_path / "t5", feed_forward_proj=kind)
    predictor = fairseq_metro.load(folder, "cpu")
    texts = ["river stone", "house child winter letter the old river", "quiet"]
    choices = [
        ["small", "the old stone"],
        ["letter", "river", "quiet house child"],
        ["old", "small"],
    ]
    found = predictor.score_choices(texts, choices)
    for text, each, row in zip(texts, choices, found, strict=True):
        for choice, score in zip(each, row, strict=True):
            assert score == pytest.approx(their_score(theirs, folder, text, choice), abs=1e-4)


def their_score(model, folder, text, choice):
    import sentencepiece

    pieces = sentencepiece.SentencePieceProcessor(str(folder / "spiece.model"))
    ids = torch.tensor([[*pieces.encode(text), 1]])
    labels = torch.tensor([[*pieces.encode(choice), 1]])
    with torch.no_grad():
        loss = model(input_ids=ids, labels=labels).loss
    assert math.isfinite(loss)
    return -loss.item() * labels.numel()
