"""The tolerance of every kernel test: twice the error of torch's own operations in that precision."""

import torch

from tests.kernels.apart import device

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
DEVICE = device()


def relative_error(found, exact):
    """|found - exact| / |exact|, both norms; of a tensor of zeros the norm of what was found."""
    exact = exact.double()
    return float((found.double() - exact).norm().detach() / (exact.norm().detach() or 1.0))


def assert_as_exact(name, ours, plain, exact, factor=2.0):
    """ours errs at most ``factor`` times as much as plain, torch's in the same dtype, and a last
    place of that dtype; exact: float64."""
    assert ours.dtype == plain.dtype and ours.shape == exact.shape, name
    assert torch.isfinite(ours).all(), name
    allowed = factor * relative_error(plain, exact) + 2 * torch.finfo(ours.dtype).eps
    error = relative_error(ours, exact)
    assert error <= allowed, f"{name}: {error:.2e} > {allowed:.2e}"


def gradients(function, inputs, d_out):
    """Output of function(*inputs) and the gradients of those inputs that are tensors."""
    inputs = [x if x is None else x.detach().clone().requires_grad_() for x in inputs]
    out = function(*inputs)
    there = [x for x in inputs if x is not None]
    return out.detach(), torch.autograd.grad(out, there, d_out.to(out.dtype).expand_as(out))
