"""The fused head and loss against float64; in Triton's interpreter, or on a GPU.

Run by test_head_loss.py in a process of its own. Blocks of the vocabulary are small here, so that
small vocabularies have many.
"""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fairseq_metro.kernels import head_loss_triton as kernels
from fairseq_metro.kernels.head_loss import (
    Draw,
    head_loss_backward_op,
    head_loss_fused,
    head_loss_op,
    head_loss_reference,
)
from tests.kernels.errors_of import DEVICE, DTYPES, assert_as_exact

NAMES = ("hidden", "weight", "bias")


@pytest.fixture(autouse=True, scope="module")
def small_blocks():
    before = kernels.BLOCK, kernels.CHUNK
    kernels.BLOCK, kernels.CHUNK = 32, 150
    yield
    kernels.BLOCK, kernels.CHUNK = before


def case(rows, dim, vocabulary, dtype=torch.float32, biased=True, scale=1.0):
    """hidden, weight, bias or None; the options of head_loss; none of them with a gradient yet."""
    tensors = [
        torch.randn(rows, dim),
        scale * torch.randn(vocabulary, dim),
        torch.randn(vocabulary),
    ]
    tensors = [x.to(DEVICE, dtype) for x in tensors]
    places = rows + 5
    index = torch.randperm(places)[:rows].to(DEVICE)
    tokens = torch.randint(vocabulary, (1, places), device=DEVICE)
    uniform = torch.rand(rows, dtype=torch.float64).to(DEVICE)
    target = torch.randint(vocabulary, (rows,), device=DEVICE)
    options = dict(row_weight=torch.rand(rows).to(DEVICE), draw=Draw(uniform, tokens, index))
    return [*tensors[: 2 + biased], *[None] * (1 - biased)], target, options


def run(version, tensors, target, options, d_loss=1.0):
    tensors = [x if x is None else x.detach().clone().requires_grad_() for x in tensors]
    found = version(tensors[0], tensors[1], target, bias=tensors[2], **options)
    there = [x for x in tensors if x is not None]
    return found, torch.autograd.grad(found.loss * d_loss, there)


def boundary_distance(tensors, options, temperature):
    """How far each row's u lies from a boundary of the cumulative sum, float64."""
    hidden, weight, bias = (x if x is None else x.double() for x in tensors)
    logits = torch.nn.functional.linear(hidden, weight, bias)
    mass = (logits / temperature).softmax(-1).cumsum(-1)
    return (mass - options["draw"].uniform[:, None]).abs().min(-1).values


def check(tensors, target, options, temperature=1.0, allowed=1e-5):
    """All that comes out against float64; returns how many samples differ (all near a boundary)."""
    options = {**options, "temperature": temperature}
    ours, d_ours = run(head_loss_fused, tensors, target, options, 3.0)
    plain, d_plain = run(head_loss_reference, tensors, target, options, 3.0)
    doubles = [x if x is None else x.double() for x in tensors]
    exact, d_exact = run(head_loss_reference, doubles, target, options, 3.0)
    assert_as_exact("loss", ours.loss, plain.loss, exact.loss)
    assert_as_exact("entropy", ours.entropy, plain.entropy, exact.entropy)
    for name, *three in zip(NAMES, d_ours, d_plain, d_exact, strict=False):
        assert_as_exact(name, *three, factor=3.0)
    assert torch.equal(ours.correct, plain.correct)
    draw = options["draw"]
    if draw is None:
        return 0
    drawn, expected = (x.noised.flatten()[draw.masked_index] for x in (ours, plain))
    differ = drawn != expected
    assert (boundary_distance(tensors, options, temperature)[differ] < allowed).all()
    untouched = torch.ones_like(draw.tokens, dtype=torch.bool).view(-1)
    untouched[draw.masked_index] = False
    assert torch.equal(ours.noised.view(-1)[untouched], draw.tokens.view(-1)[untouched])
    assert torch.equal(ours.replaced.view(-1)[draw.masked_index], drawn != target)
    assert not ours.replaced.view(-1)[untouched].any()
    return int(differ.sum())


def test_the_first_of_equal_logits_is_the_prediction():
    """As torch.argmax's on a CPU; the equal ones in one block and in others."""
    (hidden, weight, bias), _, options = case(4, 8, 170)
    hidden, bias = torch.zeros_like(hidden), torch.zeros_like(bias)
    bias[[40, 41, 130]] = 1.0
    target = torch.tensor([40, 41, 130, 0], device=DEVICE)
    found = head_loss_fused(hidden, weight, target, bias=bias, **options)
    assert found.correct.tolist() == [True, False, False, False]


@settings(max_examples=8)
@given(
    st.integers(1, 9),
    st.integers(1, 20),
    st.integers(1, 70),
    st.booleans(),
    st.sampled_from([1.0, 0.7]),
)
def test_everything_of_any_shape(rows, dim, vocabulary, biased, temperature):
    torch.manual_seed(rows * 1000 + vocabulary)
    check(*case(rows, dim, vocabulary, biased=biased), temperature)


@pytest.mark.parametrize("dtype", DTYPES[1:])
def test_half_precision_errs_no_more_than_torch(dtype):
    """The logits are rounded as torch rounds them, so the samples are torch's, too."""
    check(*case(20, 24, 100, dtype, biased=False), allowed=0.02)


def test_nearly_all_of_many_samples_are_the_references():
    tensors, target, options = case(80, 8, 81)
    assert check(tensors, target, options) <= 1


def test_samples_at_the_ends_and_beside_tokens_without_mass():
    """u = 0 and u just below 1, which is 1 in float32; tokens whose logit is -inf are never drawn."""
    vocabulary = 40
    bias = torch.full((vocabulary,), -float("inf"), device=DEVICE)
    possible = torch.tensor([3, 4, 17, 30], device=DEVICE)
    bias[possible] = torch.randn(4, device=DEVICE)
    uniform = torch.tensor([0.0, 0.3, 0.6, 1 - 2**-53], dtype=torch.float64, device=DEVICE)
    hidden, weight = torch.zeros(4, 2, device=DEVICE), torch.zeros(vocabulary, 2, device=DEVICE)
    index, tokens = (
        torch.arange(4, device=DEVICE),
        torch.zeros(2, 2, dtype=torch.long, device=DEVICE),
    )
    draw = Draw(uniform, tokens, index)
    drawn = [
        version(hidden, weight, possible, bias=bias, draw=draw).noised.flatten()
        for version in (head_loss_fused, head_loss_reference)
    ]
    assert torch.equal(*drawn) and drawn[0][0] == 3 and drawn[0][3] == 30
    assert all(token in possible for token in drawn[0])


def test_one_logit_that_is_no_number_draws_a_token_of_the_vocabulary():
    tensors, target, options = case(2, 3, 20)
    tensors[0][0, 0] = float("nan")
    found, _ = run(head_loss_fused, tensors, target, options)
    assert found.noised.max() < 20 and found.noised.min() >= 0 and found.loss.isnan()


@pytest.mark.parametrize("dtype", DTYPES)
def test_huge_scores_stay_finite(dtype):
    tensors, target, options = case(6, 4, 50, dtype, scale=2e3)
    found, gradients = run(head_loss_fused, tensors, target, options)
    assert torch.isfinite(found.loss) and torch.isfinite(found.entropy)
    assert all(torch.isfinite(x).all() for x in gradients)
    if dtype == torch.float32:
        check(tensors, target, options)


def test_no_masked_token_gives_no_loss_and_gradients_of_zero():
    tensors, target, options = case(0, 4, 30)
    found, gradients = run(head_loss_fused, tensors, target, options)
    assert float(found.loss) == 0 and torch.equal(found.noised, options["draw"].tokens)
    assert all(x.shape == y.shape and not x.any() for x, y in zip(gradients, tensors, strict=True))


def test_strided_states_and_no_options():
    tensors, target, _ = case(9, 6, 33)
    tensors[0] = torch.randn(6, 9, device=DEVICE).t()
    tensors[1] = torch.randn(33, 12, device=DEVICE)[:, ::2]
    check(tensors, target, dict(row_weight=None, draw=None))


def test_small_gradients_of_float16_are_not_rounded_away():
    """A row that is nearly sure: p of the others is below float16's smallest number."""
    hidden, weight = torch.ones(1, 1).half().to(DEVICE), torch.zeros(30, 1).half().to(DEVICE)
    weight[3] = 17.0  # the others have p = 4e-8
    target = torch.tensor([3], device=DEVICE)
    hidden.requires_grad_()
    loss = head_loss_fused(hidden, weight, target).loss * 2.0**14  # as the loss scaler has it
    (found,) = torch.autograd.grad(loss, hidden)
    p = 29 / (29 + torch.tensor(17.0, dtype=torch.float64).exp())
    exact = -(2.0**14) * 17 * p
    # 1 - p is 20 units of float32's last place, and exp may be two of them off.
    assert float(found) == pytest.approx(float(exact), rel=0.15)


def test_a_loss_scale_that_is_too_large_overflows_for_the_loss_scaler_to_see():
    tensors, target, options = case(6, 4, 50, torch.float16)
    _, gradients = run(head_loss_fused, tensors, target, options, 1e6)
    assert any(not torch.isfinite(x).all() for x in gradients)


def test_nothing_is_computed_for_a_gradient_that_nobody_wants():
    tensors, target, options = case(6, 4, 50)
    found = head_loss_op(*tensors, target, None, None, None, None, 1.0, False)
    assert all(x.numel() == 0 for x in found[3:])
    with torch.no_grad():
        assert not head_loss_fused(*tensors[:2], target, **options).loss.requires_grad


def test_it_compiles_into_one_graph():
    tensors, target, options = case(6, 4, 50)

    def step(hidden, weight, bias):
        found = head_loss_fused(hidden, weight, target, bias=bias, **options)
        return found.loss * 2

    tensors = [x.requires_grad_() for x in tensors]
    found = []
    for version in (step, torch.compile(step, backend="aot_eager", fullgraph=True)):
        loss = version(*tensors)
        found.append([loss.detach(), *torch.autograd.grad(loss, tensors)])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_the_operators_keep_torchs_rules():
    tensors, target, options = case(6, 4, 40)
    tensors = [x.requires_grad_() for x in tensors]
    arguments = (*tensors, target, options["row_weight"], *options["draw"], 1.0, True)
    torch.library.opcheck(head_loss_op, arguments)
    gradient = torch.randn(6, 4, device=DEVICE)
    d_loss = torch.tensor(2.0, device=DEVICE)
    torch.library.opcheck(head_loss_backward_op, (gradient, d_loss, torch.float16))
