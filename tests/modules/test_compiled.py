"""modules/compiled.py: layers under torch.compile train as they do without it."""

import shutil

import pytest
import torch
from fairseq.utils import move_to_cuda

from fairseq_metro.common.errors import UserError
from fairseq_metro.criterions.metro_t5 import MetroT5Criterion
from fairseq_metro.kernels import choice
from tests import tiny
from tests.models import test_hf_t5, test_roberta
from tests.models.test_packing import packed, random_tokens
from tests.modules.compiled_layers import Asked

UNDROPPED = dict(dropout=0.0, attention_dropout=0.0)


@pytest.fixture
def asked(monkeypatch):
    return Asked(monkeypatch)


def step(model, loss_of):
    """Loss and every gradient of one training step; {name: tensor}."""
    model.train().zero_grad()
    torch.manual_seed(4)
    loss = loss_of(model)
    loss.backward()
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    return {"loss": loss.detach(), **found}


def assert_close(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-5, msg=name)


def metro_loss(sample):
    criterion = MetroT5Criterion(tiny.task(), 50.0, 1.0, "yes")
    return lambda model: criterion(model, sample)[0] / sample["n_masked"]


@pytest.mark.parametrize("recompute", [False, True])
def test_metro_t5_trains_the_same_at_every_shape(recompute, asked):
    model = tiny.model(
        encoder_layers=3, auxiliary_layers=2, checkpoint_activations=recompute, **UNDROPPED
    )
    losses = [metro_loss(tiny.batch(size)) for size in (3, 2)]
    expected = [step(model, loss) for loss in losses]
    with asked:
        assert_close(step(model, losses[0]), expected[0])
        # All but the last of auxiliary model and decoder, of which some positions alone are asked.
        times = 2 if recompute else 1
        assert asked.kinds.count("EncoderLayer") == 4 * times
        assert asked.kinds.count("DecoderLayer") == times
        assert_close(step(model, losses[1]), expected[1])  # sizes have become variables


def of_features(model, *inputs, **options):
    return model(*inputs, **options)[0].float().sin().sum()


def others():
    """name: (model, its loss) of each other kind of model and of input."""
    source, target = test_hf_t5.tokens(7, 4), test_hf_t5.tokens(5, 6, seed=2)
    examples = [[(random_tokens(4), random_tokens(3)), (random_tokens(2), random_tokens(5))]]
    row = packed(examples)
    return {
        "hf_t5": (test_hf_t5.build(**UNDROPPED), lambda m: of_features(m, source, None, target)),
        "packed": (tiny.t5(**UNDROPPED), lambda m: of_features(m, **row)),
        "hf_t5 packed": (test_hf_t5.build(**UNDROPPED), lambda m: of_features(m, **row)),
        "roberta": (
            test_roberta.build(**UNDROPPED),
            lambda m: m(test_roberta.tokens(6, 6)).sin().sum(),
        ),
    }


@pytest.mark.parametrize("name", ["hf_t5", "packed", "hf_t5 packed", "roberta"])
def test_other_models_train_the_same(name, asked):
    model, loss = others()[name]
    expected = step(model, loss)
    with asked:
        assert_close(step(model, loss), expected)
        assert len(asked.kinds) >= 3


def test_a_recomputed_layer_drops_the_same_elements(asked):
    dropped = dict(dropout=0.3, attention_dropout=0.2, encoder_layers=3)
    loss, found = metro_loss(tiny.batch()), []
    with asked:
        for recompute in (False, True):
            torch.manual_seed(1)
            model = tiny.model(checkpoint_activations=recompute, **dropped)
            found.append(step(model, loss))
    assert_close(found[1], found[0])
    assert not torch.allclose(step(model, loss)["loss"], found[0]["loss"])  # ours for CPUs


def test_evaluation_and_decoding_are_not_compiled(asked):
    model, source = tiny.t5(), torch.randint(4, 30, (2, 5))
    with asked:
        model(source, None, source)
        with torch.no_grad():
            model.train()(source, None, source)
            states = model.eval().encoder(source)
            model.decoder(source[:, :1], states, incremental_state={})
    assert asked.kinds == []


def test_it_is_asked_for_by_name_alone(monkeypatch):
    monkeypatch.setattr(torch, "compile", None)
    for said in ("auto", "reference", "attention=reference"):
        monkeypatch.setenv(choice.VARIABLE, said)
        choice.forget()
        step(tiny.model(), metro_loss(tiny.batch()))
    choice.forget()


def test_it_is_logged_once_and_refused_without_a_compiler(monkeypatch, caplog):
    monkeypatch.setenv(choice.VARIABLE, "layers=compiled")
    choice.forget()
    with caplog.at_level("INFO"):
        monkeypatch.setattr(shutil, "which", lambda name: name)
        assert choice.asked("compiled", "cpu") and choice.asked("compiled", "cpu")
    assert sum("layers: compiled" in line for line in caplog.messages) == 1
    choice.forget()
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(choice, "has_triton", lambda: False)
    for device, reason in (("cpu", "no C.. compiler"), ("cuda", "Triton is not installed")):
        with pytest.raises(UserError, match=f"{reason}.*; set layers=reference"):
            choice.asked("compiled", device)
    choice.forget()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_as_a_user_has_it(monkeypatch):
    """By inductor, in machine code, at two shapes."""
    model = tiny.model(encoder_layers=2, auxiliary_layers=2, **UNDROPPED)
    losses = [metro_loss(tiny.batch(size)) for size in (3, 2)]
    expected = [step(model, loss) for loss in losses]
    with Asked(monkeypatch, backend="inductor"):
        for loss, numbers in zip(losses, expected, strict=True):
            assert_close(step(model, loss), numbers)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU on this machine")
def test_on_a_gpu_it_trains_the_same_around_the_kernels(monkeypatch):
    model = tiny.model(encoder_layers=2, auxiliary_layers=2, embed_dim=64, ffn_dim=128, **UNDROPPED)
    model, loss = model.cuda(), metro_loss(move_to_cuda(tiny.batch()))
    choice.forget()
    expected = step(model, loss)
    with Asked(monkeypatch, backend="inductor") as asked:
        found = step(model, loss)
    assert {"EncoderLayer", "DecoderLayer"} == set(asked.kinds)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-3, atol=1e-4, msg=name)
