"""--checkpoint-activations: the same numbers bit by bit, from less memory."""

import pytest
import torch

from fairseq_metro.criterions.metro_t5 import MetroT5Criterion
from fairseq_metro.criterions.t5 import T5Criterion
from tests import tiny

LAYERS = dict(encoder_layers=4, decoder_layers=4, auxiliary_layers=3, dropout=0.2)


def metro(**changes):
    return tiny.model(**LAYERS, **changes).train(), tiny.batch(3)


def t5(**changes):
    data = tiny.t5_dataset()
    return tiny.t5(**LAYERS, **changes).train(), data.collater([data[i] for i in range(3)])


def criterion_of(build):
    if build is t5:
        return T5Criterion(tiny.task())
    return MetroT5Criterion(tiny.task(), 50.0, 1.0, "recipe")


def step(build, recompute, dtype=torch.float32):
    """Loss, gradients and bytes kept for the backward pass of one training step."""
    torch.manual_seed(2)
    model, sample = build(checkpoint_activations=recompute)
    model, kept = model.to(dtype), {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    torch.manual_seed(3)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = criterion_of(build)(model, sample)[0]
    of_parameters = {p.untyped_storage().data_ptr() for p in model.parameters()}
    activations = sum(size for place, size in kept.items() if place not in of_parameters)
    loss.backward()
    return loss.detach(), {name: p.grad for name, p in model.named_parameters()}, activations


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("build", [metro, t5])
def test_loss_and_gradients_are_equal_bit_by_bit_with_dropout(build, dtype):
    loss, gradients, _ = step(build, False, dtype)
    again, regained, _ = step(build, True, dtype)
    assert torch.equal(loss, again)
    assert gradients.keys() == regained.keys()
    for name, gradient in gradients.items():
        assert (gradient is None) == (regained[name] is None), name
        assert gradient is None or torch.equal(gradient, regained[name]), name


@pytest.mark.parametrize("build", [metro, t5])
def test_much_less_is_kept_for_the_backward_pass(build):
    everything, inputs = step(build, False)[2], step(build, True)[2]
    assert inputs < everything / 3, (inputs, everything)


@pytest.mark.parametrize("part", ["encoder", "decoder", "auxiliary"])
def test_every_layer_of_every_part_is_computed_twice(part):
    model, sample = metro(checkpoint_activations=True)
    calls = []
    for number, layer in enumerate(getattr(model, part).layers):
        layer.register_forward_pre_hook(lambda *_, number=number: calls.append(number))
    criterion_of(metro)(model, sample)[0].backward()
    there = list(range(len(getattr(model, part).layers)))
    assert calls == there + there[::-1]


def test_nothing_is_computed_twice_where_no_gradient_is_wanted():
    model, sample = metro(checkpoint_activations=True)
    calls = []
    model.encoder.layers[0].register_forward_hook(lambda *_: calls.append(0))
    with torch.no_grad():
        criterion_of(metro)(model.eval(), sample)
    assert calls == [0]
