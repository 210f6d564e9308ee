"""Figure 6: counts of active tokens against a float64 loop that computes every neuron by hand."""

from fractions import Fraction

import pytest
import torch

from fairseq_metro.analysis.figures.neurons import (
    ActiveTokens,
    count_active,
    describe,
    draw,
    rows_of,
    under_activated,
)
from fairseq_metro.analysis.figures.plotting import COLOURS
from fairseq_metro.analysis.figures.steps import Step
from fairseq_metro.common.errors import UserError
from tests import tiny
from tests.analysis.figures.samples import legend_of, lines
from tests.analysis.figures.subjects import metro_subject, most_alive, pair_subject


def by_hand(subject, stack):
    """Active tokens of each neuron, a token at a time in float64, of each layer: list of (F,)."""
    layers = getattr(subject.model, stack).layers
    seen = []
    hooks = [layer.ffn.register_forward_pre_hook(lambda _, x, i=i: seen.append((i, x[0].detach())))
             for i, layer in enumerate(layers)]  # fmt: skip
    counts = [[0] * layer.ffn.fc1.out_features for layer in layers]
    for sample in subject.batches():
        seen.clear()
        with torch.no_grad():
            subject.loss(sample)
        tokens = sample["net_input"]["src_tokens"] if stack == "encoder" else sample["target"]
        for i, x in seen:
            weight, bias = layers[i].ffn.fc1.weight.double(), layers[i].ffn.fc1.bias.double()
            for row in range(len(tokens)):
                for place in range(tokens.size(1)):
                    if tokens[row, place] == subject.pad:
                        continue
                    for neuron in range(len(bias)):
                        hidden = float(weight[neuron] @ x[row, place].double() + bias[neuron])
                        counts[i][neuron] += hidden > 0
    for hook in hooks:
        hook.remove()
    return counts


@pytest.mark.parametrize("make", [metro_subject, pair_subject])
def test_counts_are_those_of_a_float64_loop(make):
    subject = make()
    found = count_active(subject)
    for stack in ("encoder", "decoder"):
        assert [layer.tolist() for layer in found.active[stack]] == by_hand(subject, stack)


def test_tokens_are_counted_without_padding():
    subject = metro_subject()
    found, samples = count_active(subject), list(subject.batches())
    expected = sum(int(sample["net_input"]["src_lengths"].sum()) for sample in samples)
    assert found.tokens == {"encoder": expected, "decoder": expected}
    assert expected < sum(sample["target"].numel() for sample in samples)  # there is padding


def test_a_neuron_without_weight_is_under_activated_and_no_other_becomes_so():
    subject = metro_subject()
    layer = subject.model.encoder.layers[1].ffn.fc1
    before = list(rows_of(Step("x", 0, None), count_active(subject), Fraction("0.995")))
    with torch.no_grad():
        layer.weight[3], layer.bias[3] = 0, -1
    after = list(rows_of(Step("x", 0, None), count_active(subject), Fraction("0.995")))

    def of(rows, layer):
        return next(r for r in rows if (r["stack"], r["layer"]) == ("encoder", layer))

    assert of(after, 1)["under_activated"] == of(before, 1)["under_activated"] + 1
    assert of(after, 0) == of(before, 0)
    assert of(after, "all")["neurons"] == 2 * 24


@pytest.mark.parametrize("tokens, most", [(199, 0), (200, 1), (399, 1), (400, 2), (1000, 5)])
def test_the_limit_is_exact(tokens, most):
    """Inactive for 99.5 % of tokens: of 200 it may be active for one, of 199 for none."""
    found = under_activated(torch.arange(10), tokens, Fraction("0.995")).tolist()
    assert found == [active <= most for active in range(10)]


def test_rows_add_up_over_layers_and_stacks():
    rows = list(rows_of(Step("x", 7, None), count_active(metro_subject()), Fraction("0.6")))
    of = {(r["stack"], r["layer"]): r["under_activated"] for r in rows}
    for stack in ("encoder", "decoder"):
        assert of[stack, "all"] == of[stack, 0] + of[stack, 1]
    assert of["all", "all"] == of["encoder", "all"] + of["decoder", "all"] > 0


def test_the_picture_has_each_run_and_each_of_its_stacks():
    shares = {
        ("A", "all"): (0.0, 0.2), ("A", "encoder"): (0.0, 0.1), ("A", "decoder"): (0.0, 0.3),
        ("B", "all"): (0.0, 0.5), ("B", "encoder"): (0.0, 0.9), ("B", "decoder"): (0.0, 0.1),
    }  # fmt: skip
    rows = [
        {"run": run, "update": update, "stack": stack, "layer": layer, "neurons": 10,
         "under_activated": round(10 * share), "share": share, "tokens": 1000}
        for (run, stack), values in shares.items()
        for update, share in zip((0, 7000), values, strict=True) for layer in ("all", 0)
    ]  # fmt: skip
    (axis,) = draw(rows, None).axes
    for run, colour in zip("AB", COLOURS, strict=False):
        assert lines(axis, colour) == [
            [(u, pytest.approx(100 * share)) for u, share in zip((0, 7000), values, strict=True)]
            for (label, _), values in shares.items() if label == run
        ]  # fmt: skip
    assert legend_of(axis) == ["A", "A, encoder", "A, decoder", "B", "B, encoder", "B, decoder"]
    assert axis.get_ylabel().endswith("%") and axis.get_ylim()[0] == 0
    assert "B, update 7000: 5 of 10 neurons under-activated (50.0%)" in describe(rows)


@pytest.mark.parametrize("make", [metro_subject, pair_subject])
def test_memory_does_not_grow_with_the_number_of_batches(make):
    assert most_alive(make(), count_active) <= 2  # the one before, as the next is made


def test_a_gated_model_is_refused():
    model = tiny.t5()
    model.encoder.layers[0].ffn.gated = True
    with pytest.raises(UserError, match="gated GELUs"):
        ActiveTokens(model)
