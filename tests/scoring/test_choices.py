"""score_choices against one pass per (input, choice), unpadded, in float64."""

import copy
import logging
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fairseq_metro.common.errors import UserError
from fairseq_metro.scoring import best, choices, layout, score_choices
from tests import tiny

PAD, EOS, START = 1, 2, 2


def sequence(length):
    return torch.cat([torch.randint(4, 30, (length,)), torch.tensor([EOS])])


def random_examples(shapes):
    """inputs and choices: for each example the source's length and the lengths of its choices."""
    inputs = [torch.cat([torch.tensor([0]), sequence(length)]) for length, _ in shapes]
    return inputs, [[sequence(length) for length in lengths] for _, lengths in shapes]


def slow_scores(model, inputs, targets):
    """Every input repeated for each of its choices, a loop over positions, float64."""
    model, scores = copy.deepcopy(model).double(), []
    for source, each in zip(inputs, targets, strict=True):
        row = []
        for choice in each:
            prev = torch.cat([torch.tensor([START]), choice[:-1]])
            with torch.no_grad():
                logits = model(source[None], None, prev[None])[0][0]
            total = 0.0
            for position, token in enumerate(choice.tolist()):
                numbers = logits[position].tolist()
                top = max(numbers)
                norm = top + math.log(sum(math.exp(number - top) for number in numbers))
                total += numbers[token] - norm
            row.append(total)
        scores.append(row)
    return scores


def ours(model, inputs, targets, max_tokens=40):
    return score_choices(
        model, inputs, targets, pad=PAD, decoder_start=START, max_tokens=max_tokens
    )


RAGGED = [(3, [1, 4]), (9, [2, 2, 0, 5]), (1, [3]), (6, [1, 1, 1]), (20, [4, 6]), (9, [7, 1, 2])]
SHAPES = st.lists(
    st.tuples(st.integers(0, 12), st.lists(st.integers(0, 5), min_size=1, max_size=4)),
    min_size=1,
    max_size=5,
)


@given(SHAPES, st.integers(1, 200), st.integers(0, 1000))
def test_scores_equal_the_repeated_input_in_float64(shapes, max_tokens, seed):
    torch.manual_seed(seed)
    model = tiny.t5()
    inputs, targets = random_examples(shapes)
    scores, expected = ours(model, inputs, targets, max_tokens), slow_scores(model, inputs, targets)
    for row, numbers in zip(scores, expected, strict=True):
        assert row.dtype == torch.float32
        torch.testing.assert_close(row.double(), torch.tensor(numbers).double(), rtol=0, atol=1e-4)


def test_predictions_equal_in_any_order_and_any_batch():
    model = tiny.t5()
    inputs, targets = random_examples(RAGGED)
    expected = [row.index(max(row)) for row in slow_scores(model, inputs, targets)]
    assert best(ours(model, inputs, targets)) == expected
    order = [4, 0, 5, 3, 1, 2]
    for max_tokens in (1, 30, 10**6):
        scores = ours(model, [inputs[i] for i in order], [targets[i] for i in order], max_tokens)
        assert best(scores) == [expected[i] for i in order]


# The tiny model has 64 positions: the choices of the first and the last but one fit in no one row.
LONG = [
    (5, [30, 1, 40]),
    (5, [2, 3]),
    (9, [31, 31]),
    (3, [63]),
    (4, [60, 2, 2, 0, 1]),
    (5, [1] * 7),
]


@pytest.mark.parametrize("max_tokens", [1, 150, 10**6])
def test_choices_that_do_not_fit_in_one_row_have_rows_of_their_own(max_tokens):
    model = tiny.t5()
    inputs, targets = random_examples(LONG)
    scores = ours(model, inputs, targets, max_tokens)
    for row, numbers in zip(scores, slow_scores(model, inputs, targets), strict=True):
        torch.testing.assert_close(row.double(), torch.tensor(numbers).double(), rtol=0, atol=1e-4)


def test_a_batch_changes_no_score_beyond_1e_5():
    model = tiny.t5()
    inputs, targets = random_examples(RAGGED + LONG)
    alone = [ours(model, [i], [each], 1)[0] for i, each in zip(inputs, targets, strict=True)]
    for max_tokens in (1, 30, 200, 10**6):
        for order in (range(12), [10, 3, 0, 7, 1, 5, 9, 2, 11, 4, 8, 6]):
            scores = ours(
                model, [inputs[i] for i in order], [targets[i] for i in order], max_tokens
            )
            for i, row in zip(order, scores, strict=True):
                torch.testing.assert_close(row, alone[i], rtol=2e-7, atol=1e-5)


def test_a_long_choice_pads_no_short_one(monkeypatch):
    model, shapes = tiny.t5(), []
    inputs, targets = random_examples([(5, [20, 1, 1, 1])] * 3)
    decode = model.decoder.extract_features

    def extract_features(prev, *args, **kwargs):
        shapes.append(tuple(prev.shape))
        return decode(prev, *args, **kwargs)

    monkeypatch.setattr(model.decoder, "extract_features", extract_features)
    ours(model, inputs, targets, 1000)
    assert shapes == [(3, 21 + 3 * 2)]


def test_a_choice_without_words_has_the_log_probability_of_the_end():
    model, (inputs, _) = tiny.t5(), random_examples([(5, [1])])
    (score,) = ours(model, inputs, [[torch.tensor([EOS])]])
    with torch.no_grad():
        logits = model(inputs[0][None], None, torch.tensor([[START]]))[0][0, 0]
    torch.testing.assert_close(score[0], logits.log_softmax(-1)[EOS])


def test_each_input_is_encoded_once_and_logits_are_of_real_positions_only(monkeypatch):
    model, rows, logits = tiny.t5(), [], []
    inputs, targets = random_examples(RAGGED)
    encode, project = model.encoder.forward, model.decoder.output_layer

    def encoder(src_tokens, **kwargs):
        rows.append(len(src_tokens))
        return encode(src_tokens, **kwargs)

    def output_layer(features):
        logits.append(len(features))
        return project(features)

    monkeypatch.setattr(model.encoder, "forward", encoder)
    monkeypatch.setattr(model.decoder, "output_layer", output_layer)
    monkeypatch.setattr(layout, "ROWS", 3)
    scores = ours(model, inputs, targets)
    assert sum(rows) == len(inputs)
    assert sum(logits) == sum(len(choice) for each in targets for choice in each)
    assert max(logits) == 3
    monkeypatch.undo()
    assert all(map(torch.equal, best_rows(scores), best_rows(ours(model, inputs, targets))))


def best_rows(scores):
    return [torch.tensor(best([row])) for row in scores]


def test_the_model_keeps_its_modes_and_gets_no_gradient():
    model = tiny.t5(dropout=0.5, attention_dropout=0.5).train()
    model.encoder.eval()
    inputs, targets = random_examples(RAGGED)
    scores, again = ours(model, inputs, targets), ours(model, inputs, targets)
    assert all(map(torch.equal, scores, again))  # dropout is off
    assert not any(row.requires_grad for row in scores)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert model.training and model.decoder.layers[0].training
    assert not any(module.training for module in model.encoder.modules())


def test_the_mode_is_restored_after_an_error():
    model = tiny.t5().train()
    with pytest.raises(UserError, match="64 positions"):
        ours(model, *random_examples([(90, [1])]))
    assert model.training


def test_half_precision_sums_in_float32():
    model = tiny.t5()
    inputs, targets = random_examples(RAGGED)
    exact = slow_scores(model, inputs, targets)
    for row, numbers in zip(ours(model.bfloat16(), inputs, targets), exact, strict=True):
        assert row.dtype == torch.float32
        assert (row.double() - torch.tensor(numbers).double()).abs().max() < 2.0


def test_identical_choices_are_said_once_and_the_first_wins(caplog, monkeypatch):
    monkeypatch.setattr(choices, "_warned", set())
    model, (inputs, _) = tiny.t5(), random_examples([(5, [1]), (4, [1])])
    twin, other = sequence(2), sequence(3)
    with caplog.at_level(logging.WARNING):
        scores = ours(model, inputs, [[twin, other, twin.clone(), other]] * 2)
    assert [record.getMessage()[:57] for record in caplog.records] == [
        "input 0: its choices 0 and 2 are the same tokens, so the "
    ]
    assert all(row[0] == row[2] and row[1] == row[3] for row in scores)
    assert all(index < 2 for index in best(scores))
    (alone,) = slow_scores(model, inputs[:1], [[twin, other]])
    torch.testing.assert_close(scores[0][:2].double(), torch.tensor(alone).double())


def test_the_first_of_equal_scores_wins():
    assert best([torch.tensor([-2.0, -1.0, -1.0, -1.0]), torch.full((100,), -3.0)]) == [1, 0]


def test_no_choices_are_one_line():
    inputs, targets = random_examples([(3, [1]), (3, [1])])
    with pytest.raises(UserError, match="input 1 has no choices"):
        ours(tiny.t5(), inputs, [targets[0], []])
    assert score_choices(tiny.t5(), [], [], pad=PAD, decoder_start=START) == []
