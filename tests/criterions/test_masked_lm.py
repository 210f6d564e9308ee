import math
from types import SimpleNamespace

import pytest
import torch

from fairseq_metro.criterions.masked_lm import MaskedLMBlocksCriterion
from tests.data.test_masked_lm_dataset import dataset
from tests.models.test_roberta import build


def criterion(commonest=5):
    return MaskedLMBlocksCriterion(
        SimpleNamespace(commonest_token=commonest, target_dictionary=None)
    )


def batch(*indices, mask_prob=0.3):
    data = dataset(mask_prob)
    return data.collater([data[i] for i in indices])


def model(**changes):
    return build(max_positions=32, **changes)


def test_the_loss_equals_a_loop_in_float64():
    net, sample = model(), batch(0, 3, 5)
    commonest = int(sample["target"][0])
    loss, size, log = criterion(commonest)(net, sample)
    logits = net.double()(sample["net_input"]["src_tokens"]).flatten(0, 1).tolist()
    total, correct, unigram = 0.0, 0, 0
    places = sample["net_input"]["masked_index"].tolist()
    for place, original in zip(places, sample["target"].tolist(), strict=True):
        row = logits[place]
        total -= row[original] - math.log(sum(math.exp(x) for x in row))
        correct += row.index(max(row)) == original
        unigram += original == commonest
    assert float(loss.detach()) == pytest.approx(total, rel=1e-5)
    assert size == len(places) == log["sample_size"] > 5
    assert (float(log["mlm_correct"]), float(log["unigram_correct"])) == (correct, unigram)
    assert unigram > 0


def test_micro_batches_add_up():
    net = model()
    whole, size, _ = criterion()(net, batch(0, 3, 5))
    parts = [criterion()(net, batch(*indices)) for indices in ((0,), (3, 5))]
    assert sum(part[1] for part in parts) == size
    torch.testing.assert_close(sum(part[0] for part in parts), whole)


def test_a_batch_without_masks_teaches_nothing_and_every_parameter_takes_part():
    net, sample = model().train(), batch(0, 1)
    sample["net_input"]["masked_index"] = sample["net_input"]["masked_index"][:0]
    sample |= {"target": sample["target"][:0], "n_masked": 0}
    loss, size, _ = criterion()(net, sample)
    loss.backward()
    assert size == 0 and float(loss.detach()) == 0
    assert all(p.grad is not None and p.grad.eq(0).all() for p in net.parameters())
