"""modules/norm.py: apex's LayerNorm where it is asked for, and refused where it cannot be."""

import importlib.util
import sys
from types import ModuleType

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from fairseq_metro.common.errors import UserError
from fairseq_metro.kernels import choice
from fairseq_metro.modules.norm import add_dropout_norm, adds_bias


@pytest.fixture(autouse=True)
def undecided():
    choice.forget()
    yield
    choice.forget()


@pytest.fixture
def apex(monkeypatch):
    """A stand-in for apex on a GPU; the calls of its LayerNorm."""
    calls = []

    def fused_layer_norm_affine(x, weight, bias, shape, eps):
        calls.append((shape, eps))
        return F.layer_norm(x, shape, weight, bias, eps)

    names = ["apex", "apex.normalization", "apex.normalization.fused_layer_norm"]
    for name in names:
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    sys.modules[names[-1]].fused_layer_norm_affine = fused_layer_norm_affine
    missing = choice._missing
    monkeypatch.setattr(choice, "_missing", lambda word, device: missing(word, "cuda"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name == "apex" or None)
    return calls


def inputs():
    torch.manual_seed(1)
    norm = nn.LayerNorm(6, eps=3e-4)
    nn.init.normal_(norm.weight)
    return torch.randn(2, 3, 6), torch.randn(2, 3, 6), norm, torch.randn(6)


def test_it_normalises_what_torch_has_added(apex, monkeypatch):
    residual, update, norm, shift = inputs()
    expected = norm(residual + update + shift)
    monkeypatch.setenv(choice.VARIABLE, "residual_norm=apex")
    found = add_dropout_norm(residual, update, norm, update_bias=shift)
    torch.testing.assert_close(found, expected)
    assert apex == [((6,), 3e-4)]
    assert not adds_bias(residual, nn.Linear(6, 6))  # torch's map adds its own


def test_dropout_comes_before_it(apex, monkeypatch):
    residual, update, norm, _ = inputs()
    monkeypatch.setenv(choice.VARIABLE, "residual_norm=apex")
    found = add_dropout_norm(residual, update, norm, dropout=1 - 2**-16, training=True)
    torch.testing.assert_close(found, norm(residual))  # nothing of the update is left


def test_it_is_not_used_unasked(apex, monkeypatch):
    residual, update, norm, _ = inputs()
    for said in ("auto", "reference", "residual_norm=reference,layers=reference"):
        monkeypatch.setenv(choice.VARIABLE, said)
        choice.forget()
        add_dropout_norm(residual, update, norm)
    assert apex == []


def test_what_cannot_run_is_refused_in_one_line(monkeypatch):
    monkeypatch.setenv(choice.VARIABLE, "residual_norm=apex")
    with pytest.raises(UserError, match=r"apex is not installed .*; set residual_norm=reference"):
        choice.asked("apex", "cuda")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    with pytest.raises(UserError, match=r"the device is .cpu., and apex.s is CUDA"):
        choice.asked("apex", "cpu")
