"""The fused residual + bias + dropout + LayerNorm against float64; in Triton's interpreter, or a GPU.

Run by test_residual_norm.py in a process of its own.
"""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.checkpoint import checkpoint

from fairseq_metro.kernels import residual_norm_triton as kernels
from fairseq_metro.kernels.attention_mask import keep_scale
from fairseq_metro.kernels.residual_norm import (
    residual_norm_backward_op,
    residual_norm_fused,
    residual_norm_op,
    residual_norm_reference,
)
from fairseq_metro.kernels.residual_norm_mask import keep_mask
from tests.kernels.errors_of import DEVICE, DTYPES, assert_as_exact, gradients

NAMES = ("residual", "update", "weight", "bias", "update_bias")


def inputs_of(shape, dtype=torch.float32, shift=True, scale=1.0):
    dim = shape[-1]
    states = [(scale * torch.randn(shape)).to(DEVICE, dtype) for _ in range(2)]
    parameters = [torch.randn(dim).to(DEVICE, dtype) for _ in range(3)]
    return [*states, *parameters[: 3 if shift else 2], *([] if shift else [None])]


def seed(value=7):
    return torch.tensor([value], device=DEVICE)


def check(inputs, dropout=0.0, d_out=None):
    """Output and every gradient against float64 with the same mask."""
    if d_out is None:
        d_out = torch.randn(inputs[0].shape).to(DEVICE, inputs[0].dtype)
    options = dict(dropout=dropout, seed=seed())

    def run(version):
        return lambda r, u, w, b, s: version(r, u, w, b, update_bias=s, **options)

    ours = gradients(run(residual_norm_fused), inputs, d_out)
    plain = gradients(run(residual_norm_reference), inputs, d_out)
    doubles = [x if x is None else x.double() for x in inputs]
    exact = gradients(run(residual_norm_reference), doubles, d_out.double())
    assert_as_exact("out", ours[0], plain[0], exact[0])
    for name, *three in zip(NAMES, ours[1], plain[1], exact[1], strict=False):
        assert_as_exact(name, *three, factor=2.0 if name in NAMES[:2] else 3.0)


@settings(max_examples=8)
@given(
    st.integers(1, 9),
    st.integers(2, 70),
    st.sampled_from(DTYPES),
    st.sampled_from([0.0, 0.1, 0.5]),
    st.booleans(),
)
def test_output_and_gradients_of_any_shape(rows, dim, dtype, dropout, shift):
    torch.manual_seed(rows * 100 + dim)
    check(inputs_of((rows, dim), dtype, shift), dropout)


@pytest.mark.parametrize("shape", [(1, 1, 768), (3, 1030), (2, 2, 3), (130, 16), (1, 4)])
def test_odd_sizes(shape):
    check(inputs_of(shape), 0.1)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_program_of_the_backward_pass_may_take_many_rows(dtype, monkeypatch):
    monkeypatch.setattr(kernels, "MOST_PROGRAMS", 2)
    monkeypatch.setattr(kernels, "ELEMENTS", 32)
    check(inputs_of((19, 12), dtype), 0.2)


def test_no_row_gives_nothing_and_gradients_of_zero():
    inputs = inputs_of((0, 8))
    out, found = gradients(
        lambda *x: residual_norm_fused(*x[:4], update_bias=x[4], dropout=0.1),
        inputs,
        torch.zeros(0, 8, device=DEVICE),
    )
    assert out.shape == (0, 8) and all(not x.any() for x in found)


def test_strided_inputs_and_an_expanded_gradient():
    packed = torch.randn(4, 5, 3 * 20, device=DEVICE)
    inputs = inputs_of((4, 5, 20))
    inputs[0], inputs[1] = packed[..., :20], packed.transpose(0, 1)[..., 40:].transpose(0, 1)

    def run(*x):
        return residual_norm_fused(*x[:4], update_bias=x[4])

    views = run(*inputs)
    dense = run(*[x.contiguous() for x in inputs])
    assert torch.equal(views, dense)
    check(inputs, 0.1, torch.ones((), device=DEVICE).expand(4, 5, 20))
    inputs[0] = torch.randn(20, 5, 4, device=DEVICE).permute(2, 1, 0)  # no dense row at all
    assert torch.equal(run(*inputs), run(inputs[0].contiguous(), *inputs[1:]))


@pytest.mark.parametrize("dtype", DTYPES)
def test_huge_and_constant_rows_stay_finite(dtype):
    inputs = inputs_of((6, 24), dtype, scale=1e4 / 4)
    inputs[0][2], inputs[1][2], inputs[4][:] = 3.0, -1.0, 0.5  # no variance at all
    out, found = gradients(
        lambda *x: residual_norm_fused(*x[:4], update_bias=x[4]),
        inputs,
        torch.randn(6, 24, device=DEVICE),
    )
    assert torch.isfinite(out).all() and all(torch.isfinite(x).all() for x in found[2:])
    # what has no variance is its own mean, whose normal form is zero
    torch.testing.assert_close(out[2], inputs[3], rtol=0, atol=1e-2)


def test_a_float32_residual_with_a_half_precision_update_as_autocast_has_them():
    inputs = inputs_of((5, 12))
    inputs[1] = inputs[1].half()
    out, found = gradients(
        lambda *x: residual_norm_fused(*x[:4], update_bias=x[4], dropout=0.1),
        inputs,
        torch.randn(5, 12, device=DEVICE),
    )
    assert out.dtype == torch.float32
    assert [x.dtype for x in found] == [x.dtype for x in inputs]


def test_the_kernels_mask_is_the_plain_one():
    for rows, dim, p in ((7, 21, 0.3), (130, 16, 0.1), (2, 1030, 0.9)):
        mask = kernels.keep_mask(seed(12345678901234567), rows, dim, p)
        assert torch.equal(mask, keep_mask(seed(12345678901234567), rows, dim, p))


def test_backward_drops_what_forward_dropped():
    """Without norm to blur it: the update's gradient is zero exactly where its element was."""
    inputs = inputs_of((6, 40), shift=False)
    mask = keep_mask(seed(3), 6, 40, 0.5)
    _, (d_residual, d_update, *_) = gradients(
        lambda r, u, w, b, s: residual_norm_fused(r, u, w, b, dropout=0.5, seed=seed(3)),
        inputs,
        torch.randn(6, 40, device=DEVICE),
    )
    torch.testing.assert_close(d_update, d_residual * mask * keep_scale(0.5))


def test_no_dropout_is_the_kernel_without_it_and_almost_all_stays_finite():
    r, u, w, b, s = inputs_of((6, 40))
    plain = residual_norm_fused(r, u, w, b, update_bias=s)
    assert torch.equal(plain, residual_norm_fused(r, u, w, b, update_bias=s, dropout=0.0))
    assert torch.isfinite(residual_norm_fused(r, u, w, b, update_bias=s, dropout=0.9999)).all()
    first, second = (residual_norm_fused(r, u, w, b, dropout=0.5) for _ in range(2))
    assert not torch.equal(first, second)  # a new seed every time


def test_nothing_is_kept_where_no_gradient_is_wanted():
    inputs = inputs_of((6, 40))
    kept = residual_norm_op(*inputs, None, 0.0, 1e-5, False)[1:]
    assert sum(x.numel() for x in kept) == 0


def test_a_recomputed_layer_drops_the_same():
    inputs = [x.requires_grad_() for x in inputs_of((6, 40))]

    def run(*x):
        return residual_norm_fused(*x[:4], update_bias=x[4], dropout=0.3)

    found = []
    for again in (False, True):
        torch.manual_seed(1)
        out = checkpoint(run, *inputs, use_reentrant=False) if again else run(*inputs)
        found.append([out.detach(), *torch.autograd.grad(out.square().sum(), inputs)])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_it_compiles_into_one_graph():
    inputs = [x.requires_grad_() for x in inputs_of((6, 40))]

    def run(*x):
        return residual_norm_fused(*x[:4], update_bias=x[4], dropout=0.3, seed=seed()) * 2

    compiled = torch.compile(run, backend="aot_eager", fullgraph=True)
    for version in (run, compiled):
        out = version(*inputs)
        found = [out.detach(), *torch.autograd.grad(out.square().sum(), inputs)]
        if version is run:
            expected = found
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_the_operators_keep_torchs_rules(dropout):
    inputs = [x.requires_grad_() for x in inputs_of((5, 24))]
    drawn = seed() if dropout else None
    torch.library.opcheck(residual_norm_op, (*inputs, drawn, dropout, 1e-5, True))
    kept = residual_norm_op(*inputs, drawn, dropout, 1e-5, True)[1:]
    d_out, kept = torch.randn(5, 24, device=DEVICE), [x.detach() for x in kept]
    arguments = (d_out, *kept, inputs[2].detach(), drawn, dropout)
    torch.library.opcheck(residual_norm_backward_op, arguments)
