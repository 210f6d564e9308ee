"""Figure 7: theta * dL/dtheta against float64 differences, and equation 14 as it is meant."""

import copy

import numpy as np
import pytest
import torch

from fairseq_metro.analysis.figures.plotting import COLOURS
from fairseq_metro.analysis.figures.sensitivity import (
    LogHistogram,
    draw,
    gradients,
    measure,
    sensitivity,
)
from fairseq_metro.common.errors import UserError
from tests.analysis.figures.samples import legend_of, lines
from tests.analysis.figures.subjects import Fixed, metro_subject, most_alive, pair_subject


def mean_loss(subject):
    """The decoder's loss, a mean over all tokens of all batches, in float64 where the model is."""
    total, tokens = 0.0, 0
    for sample in subject.batches():
        inputs = sample["net_input"]
        index = inputs.get("target_index", inputs.get("masked_index"))
        out = subject.model(**inputs)
        logits = getattr(out, "clm_logits", None)
        logits = out[0] if logits is None else logits
        target = sample["target"].flatten()[index]
        total = total - logits.log_softmax(-1)[torch.arange(len(index)), target].sum()
        tokens += len(index)
    return total / tokens


def in_float64(subject):
    """The same model and batches in float64, noise as drawn by the float32 one."""
    twin = copy.deepcopy(subject)
    twin.model.double()
    return twin


@pytest.mark.parametrize("make", [metro_subject, pair_subject])
def test_sensitivities_are_those_of_float64_differences(make):
    subject = make()
    twin = in_float64(subject)
    gradients(subject)
    step, checked = 1e-6, 0
    theirs = dict(twin.main_parameters())
    with torch.no_grad():
        for name, parameter in subject.main_parameters():
            ours, flat = sensitivity(parameter).flatten(), theirs[name].flatten()
            for j in {0, len(flat) // 2}:
                value = float(flat[j])
                losses = []
                for sign in (1, -1):
                    theirs[name].view(-1)[j] = value + sign * step
                    losses.append(float(mean_loss(twin)))
                theirs[name].view(-1)[j] = value
                expected = abs(value * (losses[0] - losses[1]) / (2 * step))
                assert float(ours[j]) == pytest.approx(expected, rel=2e-3, abs=2e-6), (name, j)
                checked += expected > 1e-4
    assert checked > 20  # of no mere zeros


def test_it_approximates_the_loss_without_the_parameter_and_the_printed_formula_does_not():
    """Equation 14: theta_{-j} must hold theta_j alone. As printed, with the j-th entry zero, the
    product is that of all other parameters."""
    theta = torch.tensor([0.02, -0.5, 0.03], dtype=torch.float64, requires_grad=True)

    def loss(t):
        return (t[0] * 1.3 + t[1] ** 2 + 2 * t[2] * t[1]).exp()

    loss(theta).backward()
    found = sensitivity(theta)
    with torch.no_grad():
        for j in (0, 2):  # small ones, where Taylor's first order says something
            without = theta.clone()
            without[j] = 0
            change = abs(float(loss(theta) - loss(without)))
            assert float(found[j]) == pytest.approx(change, rel=0.05)
            printed = abs(float(without @ theta.grad))
            assert abs(printed - change) > 5 * change


def test_the_gradient_is_a_mean_over_tokens_of_all_batches():
    """Two batches of different sizes against one pass over both in float64."""
    subject = metro_subject()
    twin = in_float64(subject)
    gradients(subject)
    mean_loss(twin).backward()
    theirs = dict(twin.main_parameters())
    for name, parameter in subject.main_parameters():
        torch.testing.assert_close(parameter.grad.double(), theirs[name].grad, rtol=1e-3, atol=1e-6)


def test_what_finetuning_leaves_behind_is_not_counted():
    subject = metro_subject()
    found, tokens = measure(subject)
    kept = [
        p.numel() for n, p in subject.model.named_parameters() if n[:8] in ("encoder.", "decoder.")
    ]
    assert found.total == sum(kept) < sum(p.numel() for p in subject.model.parameters())
    assert tokens == sum(sample["n_masked"] for sample in subject.batches())
    assert 0 < found.zeros < found.total  # positions that no example reaches


def test_a_histogram_is_that_of_numpy():
    rng = np.random.default_rng(0)
    values = np.abs(rng.normal(size=5000) * 10.0 ** rng.uniform(-9, 1, 5000))
    values[:17] = 0
    found = LogHistogram()
    for part in np.split(values, [1, 100, 2500]):
        found.add(torch.from_numpy(part))
    logs = np.log10(values[17:])
    counts, edges = np.histogram(logs, bins=np.linspace(-24, 4, 281))
    assert (found.total, found.zeros) == (5000, 17)
    assert found.mean == pytest.approx(logs.mean()) and found.std == pytest.approx(logs.std())
    middles, density = found.density()
    assert density.sum() * 0.1 == pytest.approx(1)
    assert np.abs(found.counts - counts).sum() <= 2  # a value on an edge may fall to either side
    assert middles[0] == pytest.approx((edges[np.flatnonzero(counts)[0]]) + 0.05)


def test_what_lies_outside_falls_into_the_outermost_bins():
    found = LogHistogram()
    found.add(torch.tensor([1e-40, 1e9], dtype=torch.float64))
    assert found.counts[0] == found.counts[-1] == 1


def test_the_ridges_are_the_densities_one_row_a_step_the_first_on_top():
    hills = {("A", 0): (-9, 0.2), ("B", 0): (-8, 0.2), ("A", 500): (-7, 0.5), ("B", 500): (-6, 0.25),
             ("B", 9000): (-5, 0.1)}  # A has no third step  # fmt: skip
    rows = [
        {"run": run, "update": update, "log10_sensitivity": at + dx, "density": high * part}
        for (run, update), (at, high) in hills.items()
        for dx, part in ((-0.1, 0.5), (0.0, 1.0), (0.1, 0.25))
    ]
    (axis,) = draw(rows, None).axes
    assert [text.get_text() for text in axis.get_yticklabels()] == ["9k", "500", "0"]
    assert axis.get_yticks().tolist() == [0, 1, 2]
    for run, colour in zip("AB", COLOURS, strict=False):
        expected = [(2 - [0, 500, 9000].index(update), at, high)
                    for (label, update), (at, high) in hills.items() if label == run]  # fmt: skip
        for line, (base, at, high) in zip(lines(axis, colour), expected, strict=True):
            assert [x for x, _ in line] == pytest.approx([at - 0.1, at, at + 0.1])
            heights = [y - base for _, y in line]
            assert heights == pytest.approx([1.7 * high / 0.5 * part for part in (0.5, 1, 0.25)])
    assert legend_of(axis) == ["A", "B"]
    low, high = axis.get_xlim()
    assert low < -9.1 and high > -4.9


@pytest.mark.parametrize("make", [metro_subject, pair_subject])
def test_memory_does_not_grow_with_the_number_of_batches(make):
    assert most_alive(make(), gradients) <= 2  # the one before, as the next is made


def test_no_batch_is_one_line():
    subject = metro_subject()
    with pytest.raises(UserError, match="no batch in it"):
        gradients(Fixed(subject.model, subject.criterion, []))
