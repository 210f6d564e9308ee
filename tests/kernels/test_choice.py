"""FAIRSEQ_METRO_KERNELS: what it may say, what is decided on which machine, what is logged."""

import importlib.metadata
import logging
import sys
from types import SimpleNamespace

import pytest
import torch

from fairseq_metro.common.errors import UserError
from fairseq_metro.kernels import choice


@pytest.fixture(autouse=True)
def undecided(monkeypatch):
    monkeypatch.delenv(choice.VARIABLE, raising=False)
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    choice.forget()
    yield
    choice.forget()


@pytest.fixture
def machine(monkeypatch):
    """A machine with a GPU of a capability, and a Triton of a version or none."""

    def set_up(capability=(9, 0), triton="3.6.0", hip=None):
        monkeypatch.setattr(choice, "has_triton", lambda: triton is not None)
        monkeypatch.setattr(importlib.metadata, "version", lambda name: triton)
        monkeypatch.setattr(torch.version, "hip", hip)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Test GPU")

    return set_up


@pytest.mark.parametrize(
    "text, attention, others",
    [
        (None, "auto", "auto"),
        ("", "auto", "auto"),
        ("reference", "reference", "reference"),
        ("attention=fused", "fused", "auto"),
        (" attention = reference , head_loss=auto,", "reference", "auto"),
    ],
)
def test_the_variable_is_read(text, attention, others):
    chosen = choice.parse(text)
    assert chosen.pop("layers") == "auto"  # a word alone is the kernels'
    assert chosen.pop("attention") == attention and set(chosen.values()) == {others}


@pytest.mark.parametrize(
    "text, meant",
    [
        ("fuzed", "fused"),
        ("atention=fused", "attention"),
        ("attention=of", "auto"),
        ("layers=compile", "compiled"),
        ("layers=fused", "unknown"),
        ("layer=auto", "layers"),
        ("residual_norm=apx", "apex"),
        ("attention=apex", "unknown"),
    ],
)
def test_an_unknown_word_is_answered_with_what_is_known(text, meant):
    with pytest.raises(UserError) as error:
        choice.parse(text)
    assert meant in str(error.value) and repr(text) in str(error.value)


@pytest.mark.parametrize(
    "setting, answer, says",
    [
        ({}, True, "Test GPU"),
        ({"capability": (8, 0)}, True, "Test GPU"),
        ({"capability": (7, 5)}, False, "7.5, below 8.0"),
        ({"triton": None}, False, "Triton is not installed"),
        ({"triton": "3.2.0"}, False, "Triton 3.2.0 is older"),
        ({"hip": "6.2"}, False, "NVIDIA"),
    ],
)
def test_auto_on_a_gpu_takes_what_can_run_and_says_so_once(machine, caplog, setting, answer, says):
    machine(**setting)
    with caplog.at_level(logging.INFO):
        assert [choice.fused("attention", "cuda") for _ in range(3)] == [answer] * 3
    assert len(caplog.messages) == 1 and says in caplog.messages[0]
    assert ("fused" if answer else "reference") in caplog.messages[0]


def test_auto_on_a_cpu_is_the_reference_and_silent(machine, caplog):
    machine()
    with caplog.at_level(logging.INFO):
        assert not choice.fused("attention", "cpu")
    assert not caplog.messages


def test_fused_where_it_cannot_run_is_refused_in_one_line(machine, monkeypatch):
    machine(capability=(7, 0))
    monkeypatch.setenv(choice.VARIABLE, "fused")
    for device, reason in (("cuda", "7.0"), ("cpu", "interpreter only")):
        with pytest.raises(UserError) as error:
            choice.fused("head_loss", device)
        assert reason in str(error.value) and "\n" not in str(error.value)
        assert "head_loss=reference" in str(error.value)


def test_a_triton_of_another_name_is_known_by_its_own_version(machine, monkeypatch):
    machine()

    def version(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    monkeypatch.setitem(sys.modules, "triton", SimpleNamespace(__version__="3.2.0+git1"))
    assert "Triton 3.2.0+git1 is older" in choice.obstacle("cuda")


def test_what_an_operation_cannot_take_is_its_own_decision(machine, monkeypatch, caplog):
    machine()
    with caplog.at_level(logging.INFO):
        assert not choice.fused("attention", "cuda", "heads are 256 wide")
        assert choice.fused("attention", "cuda")
    assert "256 wide" in caplog.messages[0] and len(caplog.messages) == 2
    monkeypatch.setenv(choice.VARIABLE, "attention=fused")
    choice.forget()
    assert choice.fused("attention", "cuda")
    with pytest.raises(UserError, match="256 wide"):
        choice.fused("attention", "cuda", "heads are 256 wide")


def test_a_choice_for_one_operation_leaves_the_others_auto(machine, monkeypatch):
    machine()
    monkeypatch.setenv(choice.VARIABLE, "attention=reference")
    assert not choice.fused("attention", "cuda") and choice.fused("residual_norm", "cuda")


def test_what_others_made_is_no_fused_kernel_and_a_device_of_its_own(machine, monkeypatch):
    machine()
    monkeypatch.setenv(choice.VARIABLE, "residual_norm=apex")
    assert not choice.fused("residual_norm", "cuda") and choice.fused("attention", "cuda")
    monkeypatch.setattr(choice, "_missing", lambda word, kind: None if kind == "cuda" else "no")
    assert choice.asked("apex", "cuda") and not choice.asked("compiled", "cuda")
    with pytest.raises(UserError, match="residual_norm=apex, but no"):
        choice.asked("apex", "cpu")


def test_the_interpreter_lets_fused_run_on_a_cpu(machine, monkeypatch):
    machine()
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    assert not choice.fused("attention", "cpu")  # auto: the interpreter is for tests
    monkeypatch.setenv(choice.VARIABLE, "fused")
    choice.forget()
    assert choice.fused("attention", "cpu")


def test_a_compiled_function_takes_the_choice_as_a_constant(machine):
    machine()

    def step(x):
        return x + 1 if choice.fused("attention", x.device.type) else x + 2

    assert torch.compile(step, backend="eager", fullgraph=True)(torch.zeros(2)).tolist() == [2, 2]
