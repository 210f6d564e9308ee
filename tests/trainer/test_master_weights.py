"""Half-precision training resumes with the optimizer's float32 weights, not with rounded ones."""

import copy
from types import SimpleNamespace

import pytest
import torch

from fairseq_metro.trainer.master_weights import MasterWeights, masters_of
from tests import tiny

DTYPES = pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])


def optimizer_for(model, flat):
    """What fairseq's FP16Optimizer keeps, with masters that have drifted below half precision."""
    halves = list(model.parameters())
    masters = [half.detach().float() * (1 + 1e-6) + 1e-8 for half in halves]
    if flat:
        device = halves[0].device.index
        masters = {device: torch.nn.Parameter(torch.cat([m.flatten() for m in masters]))}
    return SimpleNamespace(fp16_params=halves, fp32_params=masters)


@DTYPES
@pytest.mark.parametrize("flat", [False, True])
def test_a_checkpoint_holds_the_masters_and_gives_them_back(dtype, flat):
    model = tiny.model().to(dtype)
    optimizer, bond = optimizer_for(model, flat), MasterWeights()
    bond.follow(SimpleNamespace(module=SimpleNamespace(module=model)), optimizer)
    saved = {key: value.clone() for key, value in model.state_dict().items()}
    masters = masters_of(optimizer)
    for name, parameter in model.named_parameters(remove_duplicate=False):
        assert saved[name].dtype == torch.float32
        assert torch.equal(saved[name], masters[id(parameter)])
    assert torch.equal(saved["decoder.embed_tokens.weight"], saved["encoder.embed_tokens.weight"])

    again = tiny.model().to(dtype)
    again.load_state_dict(saved)
    rebuilt = optimizer_for(again, flat)  # as fairseq builds it: from the halves
    MasterWeights().follow(again, rebuilt)
    theirs = masters_of(rebuilt)
    for name, parameter in again.named_parameters():
        assert torch.equal(theirs[id(parameter)], saved[name]), name
    assert again.loaded_weights is None  # its memory is free again


def test_a_copy_of_the_model_writes_its_own_weights():
    model = tiny.model().bfloat16()
    MasterWeights().follow(model, optimizer_for(model, flat=False))
    average = copy.deepcopy(model)
    assert average.state_dict()["rtd_head.out.bias"].dtype == torch.bfloat16


def test_the_latest_optimizers_masters_are_saved():
    model, bond = tiny.model().bfloat16(), MasterWeights()
    first, second = optimizer_for(model, flat=False), optimizer_for(model, flat=False)
    second.fp32_params[0].zero_()
    bond.follow(model, first)
    bond.follow(model, second)
    name = next(iter(dict(model.named_parameters())))
    assert not model.state_dict()[name].any()
    bond.follow(model, SimpleNamespace())
    assert model.state_dict()[name].dtype == torch.bfloat16


def test_a_float32_model_is_left_alone():
    model, bond = tiny.model(), MasterWeights()
    model.load_state_dict(tiny.model().state_dict())
    assert model.loaded_weights is None
    bond.follow(model, SimpleNamespace())
    assert bond.hook is None and masters_of(SimpleNamespace()) == {}
