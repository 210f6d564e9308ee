"""The loss against plain loops in float64 (METRO-T0, equations 10 to 13)."""

import inspect
import math

import numpy as np
import pytest
import torch
from fairseq.logging import metrics
from hypothesis import given
from hypothesis import strategies as st

from fairseq_metro.criterions.metro_t5 import MetroT5Criterion
from fairseq_metro.criterions.rtd_histogram import area_under_curve, rtd_histogram
from tests import tiny

V = len(tiny.dictionary())


class FakeModel:
    """Gives fixed outputs, so that the criterion's arithmetic stands alone."""

    def __init__(self, out):
        self.out = out

    def __call__(self, **net_input):
        return self.out


def case(seed=0, size=3):
    """A batch and random outputs in float64; about half of the samples hit the original."""
    generator = torch.Generator().manual_seed(seed)
    sample = tiny.batch(size)
    index = sample["net_input"]["masked_index"]
    masked = len(index)
    noise = sample["target"].clone()
    hit = torch.rand(masked, generator=generator) < 0.5
    drawn = torch.randint(4, 30, (masked,), generator=generator)
    noise.view(-1)[index] = torch.where(hit, noise.view(-1)[index], drawn)
    logits = [torch.randn(masked, V, generator=generator, dtype=torch.float64) for _ in range(2)]
    rtd = torch.randn(noise.shape, generator=generator, dtype=torch.float64)
    return sample, tiny.output(sample, logits[0], noise, rtd, logits[1])


def slow_statistics(sample, out, pad=1):
    """Every loss and count, one token at a time."""
    width = sample["target"].size(1)
    found = dict.fromkeys(
        "mlm rtd clm entropy mlm_correct clm_replaced clm_unreplaced replaced masked_replaced "
        "masked tokens unigram said true_positive".split(),
        0.0,
    )
    for b in range(sample["target"].size(0)):
        for t in range(width):
            token = int(sample["target"][b, t])
            if token == pad:
                continue
            found["tokens"] += 1
            is_replaced = int(out.src_noise[b, t]) != token
            p = 1 / (1 + math.exp(-float(out.rtd_logits[b, t])))
            found["rtd"] -= math.log(p if is_replaced else 1 - p)
            found["replaced"] += is_replaced
            found["said"] += p >= 0.5
            found["true_positive"] += is_replaced and p >= 0.5
    for row, flat in enumerate(sample["net_input"]["masked_index"].tolist()):
        b, t = divmod(flat, width)
        token = int(sample["target"][b, t])
        is_replaced = int(out.src_noise[b, t]) != token
        found["masked"] += 1
        found["masked_replaced"] += is_replaced
        found["unigram"] += token == 5
        for name, logits in (("mlm", out.mlm_logits[row]), ("clm", out.clm_logits[row])):
            weights = [math.exp(x) for x in logits.tolist()]
            probabilities = [w / sum(weights) for w in weights]
            found[name] -= math.log(probabilities[token])
            correct = max(range(V), key=probabilities.__getitem__) == token
            if name == "mlm":
                found["mlm_correct"] += correct
                found["entropy"] -= sum(q * math.log(q) for q in probabilities)
            else:
                found["clm_replaced" if is_replaced else "clm_unreplaced"] += correct
    return found


def criterion(lambda_rtd=50.0, lambda_clm=1.0, **options):
    return MetroT5Criterion(tiny.task(**options), lambda_rtd, lambda_clm, "recipe")


def logged(outputs):
    with metrics.aggregate(new_root=True) as aggregate:
        MetroT5Criterion.reduce_metrics(outputs)
    return aggregate.get_smoothed_values()


@pytest.mark.parametrize("lambdas", [(50.0, 1.0), (7.0, 0.25)])
def test_the_loss_is_the_papers_weighted_sum(lambdas):
    sample, out = case()
    loss, size, _ = criterion(*lambdas)(FakeModel(out), sample)
    slow = slow_statistics(sample, out)
    share = sample["masked_share"]
    expected = slow["mlm"] + lambdas[0] * share * slow["rtd"] + lambdas[1] * slow["clm"]
    assert size == slow["masked"] == sample["n_masked"]
    assert float(loss) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("options", [{}, {"clm_positions": "all"}, {"mask_pattern": "span"}])
def test_an_epochs_rtd_loss_weighs_lambda_times_its_mean(options):
    """Over an epoch of short lines in batches of unequal size, on three processes: equation 13 holds
    for the means over masked and over real tokens (of CLM: over those that carry its loss)."""
    model, data = tiny.model(), tiny.dataset(lines=300, longest=9, **options)
    batches = data.batch_by_size(data.ordered_indices(), max_tokens=150)
    outputs = [criterion()(model, data.collater([data[i] for i in b]))[2] for b in batches]
    names = "loss sample_size mlm_loss rtd_loss clm_loss ntokens clm_tokens".split()
    total = {name: sum(float(out[name]) for out in outputs) for name in names}
    assert all(out["sample_size"] for out in outputs) and len(batches) > 6
    means = [total["mlm_loss"] / total["sample_size"], total["rtd_loss"] / total["ntokens"]]
    means.append(total["clm_loss"] / total["clm_tokens"])
    expected = means[0] + 50 * means[1] + means[2]
    spans = options.get("mask_pattern") == "span"  # their number differs from epoch to epoch
    share = total["sample_size"] / total["ntokens"]
    assert share == pytest.approx(data.masked_share, rel=0.1 if spans else 1e-9)
    if not spans:
        assert total["loss"] / total["sample_size"] == pytest.approx(expected, rel=1e-5)
        assert not 0.145 < share < 0.155  # --mask-prob times sums would not have done


def test_every_logged_number_equals_the_loop():
    sample, out = case(seed=1)
    slow = slow_statistics(sample, out)
    ours = logged([criterion()(FakeModel(out), sample)[2]])
    unreplaced = slow["masked"] - slow["masked_replaced"]
    expected = {
        "mlm_loss": slow["mlm"] / slow["masked"],
        "rtd_loss": slow["rtd"] / slow["tokens"],
        "clm_loss": slow["clm"] / slow["masked"],
        "mlm_entropy": slow["entropy"] / slow["masked"],
        "mlm_accuracy": slow["mlm_correct"] / slow["masked"],
        "clm_accuracy_replaced": slow["clm_replaced"] / slow["masked_replaced"],
        "clm_accuracy_unreplaced": slow["clm_unreplaced"] / unreplaced,
        "unigram_accuracy": slow["unigram"] / slow["masked"],
        "rtd_precision": slow["true_positive"] / slow["said"],
        "rtd_recall": slow["true_positive"] / slow["replaced"],
        "replace_rate": slow["replaced"] / slow["tokens"],
        "replace_rate_masked": slow["masked_replaced"] / slow["masked"],
    }
    for name, value in expected.items():
        assert ours[name] == pytest.approx(value, rel=1e-4, abs=2e-6), name


def test_a_correctly_guessed_token_is_labelled_original():
    sample, out = case()
    target = sample["target"]
    perfect = out._replace(mlm=out.mlm._replace(noised=target, replaced=target.ne(target)))
    logs = criterion()(FakeModel(perfect), sample)[2]
    assert logs["n_replaced"] == 0 and logs["n_replaced_masked"] == 0
    # All labels are "original", so a large negative logit is right everywhere.
    sure = perfect._replace(rtd_logits=torch.full_like(out.rtd_logits, -30.0))
    assert float(criterion()(FakeModel(sure), sample)[2]["rtd_loss"]) < 1e-6


def test_the_rtd_loss_ignores_padding_and_nothing_else():
    sample, out = case()
    out.rtd_logits.requires_grad_()
    loss, _, _ = criterion()(FakeModel(out), sample)
    (gradient,) = torch.autograd.grad(loss, out.rtd_logits)
    assert ((gradient != 0) == sample["target"].ne(1)).all()
    assert sample["target"].eq(1).any()


def test_losses_of_micro_batches_add_up():
    model, data = tiny.model(), tiny.dataset()
    rows = [data[i] for i in range(4)]
    whole, n, _ = criterion()(model, data.collater(rows))
    parts = [criterion()(model, data.collater(part)) for part in (rows[:1], rows[1:])]
    assert n == sum(part[1] for part in parts)
    assert float(whole) == pytest.approx(sum(float(part[0]) for part in parts), rel=1e-5)
    together = logged([criterion()(model, data.collater(rows))[2]])
    split = logged([part[2] for part in parts])
    for name, value in together.items():
        assert split[name] == pytest.approx(value, rel=1e-5), name


def test_a_batch_without_masks_gives_zero_loss_zero_gradient_and_is_counted():
    data = tiny.dataset(mask_prob=1e-9)
    empty = dict(masked=np.zeros(0, dtype=np.int64), uniform=np.zeros(0))
    rows = [dict(data[i], noised=data[i]["target"], **empty) for i in (0, 1)]
    sample, model = data.collater(rows), tiny.model()
    loss, size, logs = criterion()(model, sample)
    loss.backward()
    assert size == 0 and float(loss) == 0.0
    assert all((p.grad == 0).all() for p in model.parameters())
    values = logged([logs])
    assert values["batches_without_masks"] == 1 and "mlm_loss" not in values


def test_gradients_reach_every_parameter():
    model = tiny.model().train()
    loss, _, _ = criterion()(model, tiny.batch())
    loss.backward()
    dead = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert dead == []


def test_the_auxiliary_model_learns_from_mlm_alone():
    """No gradient passes the sampling: without the MLM loss the auxiliary gets none."""
    model = tiny.model()
    sample = tiny.batch()
    out = model(**sample["net_input"])
    (out.rtd_logits.sum() + out.clm_logits.sum()).backward()
    own = [p for n, p in model.auxiliary.named_parameters() if "embed_tokens" not in n]
    assert all(p.grad is None for p in own)


@given(st.integers(0, 10**6))
def test_area_under_curve_equals_counting_all_pairs(seed):
    rng = np.random.default_rng(seed)
    logits = torch.from_numpy(rng.normal(size=(2, 20)).round(1))  # ties happen
    replaced = torch.from_numpy(rng.random((2, 20)) < 0.4)
    real = torch.from_numpy(rng.random((2, 20)) < 0.8)
    positive, negative = logits[replaced & real].tolist(), logits[~replaced & real].tolist()
    area = area_under_curve(rtd_histogram(logits + 0.003, replaced, real))
    if not positive or not negative:
        assert math.isnan(area)
        return
    wins = sum((p > n) + (p == n) / 2 for p in positive for n in negative)
    assert area == pytest.approx(wins / len(positive) / len(negative), abs=1e-9)


def test_histograms_of_two_workers_add_up_to_one():
    rng = torch.Generator().manual_seed(0)
    logits = torch.randn(4, 30, generator=rng)
    replaced = torch.rand(4, 30, generator=rng) < 0.2
    real = torch.ones(4, 30, dtype=torch.bool)
    whole = rtd_histogram(logits, replaced, real)
    halves = [rtd_histogram(logits[i : i + 2], replaced[i : i + 2], real[:2]) for i in (0, 2)]
    assert torch.equal(whole, halves[0] + halves[1])


def test_forward_reads_as_equations_10_to_13_in_thirty_lines():
    source = inspect.getsource(MetroT5Criterion.forward)
    assert len(source.splitlines()) <= 30
    places = [source.index(f"# eq. {number}") for number in (10, 11, 12, 13)]
    assert places == sorted(places)
