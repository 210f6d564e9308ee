"""T5's loss against plain loops in float64."""

import math

import pytest
import torch
from fairseq.logging import metrics

from fairseq_metro.criterions.t5 import T5Criterion
from tests import tiny

V = len(tiny.dictionary())
PAD = 1
COMMONEST = 2  # of these few tokens: every target ends in it


class FakeModel:
    """Gives fixed logits, so that the criterion's arithmetic stands alone."""

    def __init__(self, logits):
        self.logits = logits

    def __call__(self, **net_input):
        return self.logits, {}


def batch(rows=range(4), **changes):
    data = tiny.t5_dataset(**changes)
    return data.collater([data[i] for i in rows])


def case(seed=0):
    """A batch and random logits in float64 that are right about half of the time."""
    generator = torch.Generator().manual_seed(seed)
    sample = batch()
    logits = torch.randn(sample["n_target"], V, generator=generator, dtype=torch.float64)
    tokens = [token for row in sample["target"].tolist() for token in row if token != PAD]
    for row, token in enumerate(tokens):
        logits[row, token] += 5.0 * (row % 2)
    return sample, logits


def slow_statistics(sample, logits):
    """Every sum, one token at a time, in reading order."""
    found = dict.fromkeys(("loss", "correct", "unigram", "tokens"), 0.0)
    row = 0
    for line in sample["target"].tolist():
        for token in line:
            if token == PAD:
                continue
            weights = [math.exp(x) for x in logits[row].tolist()]
            found["loss"] -= math.log(weights[token] / sum(weights))
            found["correct"] += max(range(V), key=weights.__getitem__) == token
            found["unigram"] += token == COMMONEST
            found["tokens"] += 1
            row += 1
    return found


def criterion():
    task = tiny.task()
    task.commonest_token = COMMONEST
    return T5Criterion(task)


def logged(outputs):
    with metrics.aggregate(new_root=True) as aggregate:
        T5Criterion.reduce_metrics(outputs)
    return aggregate.get_smoothed_values()


def test_the_loss_is_the_sum_over_target_tokens():
    sample, logits = case()
    slow = slow_statistics(sample, logits)
    loss, size, _ = criterion()(FakeModel(logits), sample)
    assert size == slow["tokens"] == len(logits)
    assert float(loss) == pytest.approx(slow["loss"], rel=1e-6)


def test_every_logged_number_equals_the_loop():
    sample, logits = case(seed=1)
    slow = slow_statistics(sample, logits)
    ours = logged([criterion()(FakeModel(logits), sample)[2]])
    expected = {
        "loss": slow["loss"] / slow["tokens"],
        "lm_loss": slow["loss"] / slow["tokens"],
        "lm_accuracy": slow["correct"] / slow["tokens"],
        "unigram_accuracy": slow["unigram"] / slow["tokens"],
        "target_share": slow["tokens"] / sum(tiny.t5_dataset().sizes[:4]),
        "target_tokens": slow["tokens"],
    }
    assert slow["unigram"] > 0 and 0 < slow["correct"] < slow["tokens"]
    assert set(ours) == set(expected)
    for name, value in expected.items():
        assert ours[name] == pytest.approx(value, rel=1e-5, abs=1e-6), name


@pytest.mark.parametrize("decoding_target", ["spans", "all"])
def test_losses_of_micro_batches_add_up(decoding_target):
    model = tiny.t5()
    parts = [(0,), (1, 2, 3)]
    whole = criterion()(model, batch(decoding_target=decoding_target))
    split = [criterion()(model, batch(rows, decoding_target=decoding_target)) for rows in parts]
    assert whole[1] == sum(part[1] for part in split)
    total = sum(part[0].item() for part in split)
    assert whole[0].item() == pytest.approx(total, rel=1e-5)
    together, apart = logged([whole[2]]), logged([part[2] for part in split])
    assert together.keys() == apart.keys()
    for name, value in together.items():
        assert apart[name] == pytest.approx(value, rel=1e-5), name


def test_the_models_rows_are_those_of_a_full_projection():
    model, sample = tiny.t5(), batch()
    net_input = sample["net_input"]
    with torch.no_grad():
        rows, _ = model(**net_input)
        every, _ = model(
            net_input["src_tokens"], net_input["src_lengths"], net_input["prev_output_tokens"]
        )
    real = sample["target"].ne(PAD)
    assert rows.shape == (sample["n_target"], V)
    torch.testing.assert_close(rows, every[real], rtol=1e-5, atol=1e-5)


def test_the_batch_a_sample_stands_in_changes_nothing():
    model, data = tiny.t5(), tiny.t5_dataset()
    with torch.no_grad():
        alone = sum(
            float(criterion()(model, data.collater([data[i]]))[0]) for i in range(len(data))
        )
        together = float(criterion()(model, data.collater([data[i] for i in range(len(data))]))[0])
    assert together == pytest.approx(alone, rel=1e-5)


def test_gradients_reach_every_parameter():
    model = tiny.t5().train()
    loss, _, _ = criterion()(model, batch())
    loss.backward()
    dead = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert dead == []


def test_a_block_without_spans_still_teaches_where_the_target_ends():
    sample = batch(mask_prob=1e-9)
    loss, size, _ = criterion()(tiny.t5(), sample)
    assert size == 4 and float(loss) > 0
    assert (sample["target"][:, 0] == tiny.dictionary().eos()).all()
