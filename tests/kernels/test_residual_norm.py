"""Residual + bias + dropout + LayerNorm: kernels apart, here the mask, the choice, the compiling."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from fairseq_metro.kernels import choice
from fairseq_metro.kernels.attention_mask import keep_scale
from fairseq_metro.kernels.residual_norm import residual_norm, residual_norm_reference, runs_fused
from fairseq_metro.kernels.residual_norm_mask import keep_mask
from fairseq_metro.modules.norm import add_dropout_norm, adds_bias
from tests.kernels.apart import run_apart

SEED = torch.tensor([4711])


@pytest.mark.parametrize("interpreter", [True, False], ids=["in the interpreter", "on a GPU"])
@pytest.mark.timeout(1200)
def test_numbers_and_gradients(interpreter):
    run_apart("residual_norm_cases.py", interpreter=interpreter)


@pytest.mark.parametrize("dropout", [0.1, 0.5])
def test_as_many_elements_are_kept_as_asked_for(dropout):
    kept = keep_mask(SEED, 1000, 1001, dropout)
    n = kept.numel()
    assert abs(kept.float().mean() - (1 - dropout)) < 4 * (dropout * (1 - dropout) / n) ** 0.5


def test_elements_are_dropped_independently_of_neighbours_and_of_other_seeds():
    kept = keep_mask(SEED, 512, 512, 0.5).float() * 2 - 1
    bound = 4 / kept.numel() ** 0.5
    others = [kept.roll(1, 0), kept.roll(1, 1), kept.roll(8, 1)]
    others += [keep_mask(SEED + step, 512, 512, 0.5).float() * 2 - 1 for step in (1, 2**32)]
    assert all(abs((kept * other).mean()) < bound for other in others)


def test_the_mean_over_many_seeds_is_the_update_itself():
    masks = torch.stack([keep_mask(SEED + n, 4, 24, 0.3) for n in range(300)]).double()
    assert (masks.mean(0) * keep_scale(0.3) - 1).abs().max() < 5 * (0.3 / 0.7 / 300) ** 0.5


def test_the_reference_is_differentiable_in_float64_under_a_given_mask():
    inputs = [torch.randn(3, 5, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    inputs += [torch.randn(5, dtype=torch.float64, requires_grad=True) for _ in range(3)]

    def run(r, u, w, b, s):
        return residual_norm_reference(r, u, w, b, update_bias=s, dropout=0.4, seed=SEED)

    assert torch.autograd.gradcheck(run, inputs)
    r, u, w, b, s = inputs
    dropped = (u + s) * keep_mask(SEED, 3, 5, 0.4) * keep_scale(0.4)
    torch.testing.assert_close(run(*inputs), F.layer_norm(r + dropped, (5,), w, b))


@pytest.fixture
def undecided(monkeypatch):
    monkeypatch.delenv(choice.VARIABLE, raising=False)
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    choice.forget()
    yield monkeypatch
    choice.forget()


def test_a_cpu_has_the_reference_and_so_has_what_the_kernel_does_not_take(undecided):
    x = torch.randn(2, 6)
    assert not runs_fused(x, x)
    undecided.setattr(choice, "obstacle", lambda device: None)
    undecided.setenv(choice.VARIABLE, "residual_norm=fused")
    choice.forget()
    assert runs_fused(x, x)
    for wrong, reason in ((x.double(), "float64"), (torch.zeros(1, 20000), "wider than 8192")):
        with pytest.raises(choice.UserError, match=reason):
            runs_fused(wrong, wrong)


def test_the_module_asks_the_choice_and_leaves_watched_maps_their_bias(undecided):
    calls = []

    def fused(*inputs, **options):
        calls.append(options)
        return residual_norm_reference(*inputs, **options)

    undecided.setattr("fairseq_metro.modules.norm.residual_norm_fused", fused)
    undecided.setattr("fairseq_metro.modules.norm.runs_fused", lambda *tensors: True)
    norm, linear, x = nn.LayerNorm(6), nn.Linear(6, 6), torch.randn(2, 6)
    assert adds_bias(x, linear) and not adds_bias(x, nn.Linear(6, 6, bias=False))
    out = add_dropout_norm(x, F.linear(x, linear.weight), norm, update_bias=linear.bias)
    torch.testing.assert_close(out, norm(x + linear(x)))
    assert calls[0]["update_bias"] is linear.bias and calls[0]["dropout"] == 0.0
    linear.register_forward_hook(lambda *_: None)
    assert not adds_bias(x, linear)


def test_where_the_reference_runs_it_is_the_function():
    r, u = torch.randn(2, 2, 6)
    w, b = torch.randn(2, 6)
    assert torch.equal(residual_norm(r, u, w, b), residual_norm_reference(r, u, w, b))


ARGUMENTS = {
    **dict.fromkeys("residual update update_bias weight bias out total d_out".split(), "*bf16:16"),
    **dict.fromkeys("d_residual d_update".split(), "*bf16:16"),
    **dict.fromkeys("means rstds partial".split(), "*fp32:16"),
    **dict.fromkeys("dim residual_stride update_stride d_out_stride".split(), "i32:16"),
    **dict.fromkeys("rows lowest".split(), "i32"),
    **dict.fromkeys("scale eps".split(), "fp32"),
    **dict.fromkeys("HAS_UPDATE_BIAS DROPOUT KEEP_TOTAL".split(), True),
    "seed": "*i64:16",
}


def compiles(dim, capability):
    pytest.importorskip("triton")
    from fairseq_metro.kernels import residual_norm_triton as kernels
    from tests.kernels.compiled import check

    for kernel in (kernels.forward_kernel, kernels.backward_kernel):
        check(kernel, {**ARGUMENTS, **kernels.tiles(dim)}, capability)


@pytest.mark.parametrize("capability", [80, 90, 100])
def test_it_compiles_ahead_of_time(capability):
    compiles(768, capability)  # and so 1024: the same tile


@pytest.mark.slow
@pytest.mark.parametrize("capability", [80, 90, 100, 86, 120])
@pytest.mark.parametrize("dim", [64, 128, 512, 2048, 4096, 8192])
def test_other_widths_compile_ahead_of_time(dim, capability):
    compiles(dim, capability)
