"""Head and loss of training on a CPU, against the reference in float64."""

import pytest
import torch

from fairseq_metro.kernels.head_loss import Draw, head_loss_reference, sample_tokens
from fairseq_metro.modules import cpu_head_loss as module
from fairseq_metro.modules.cpu_head_loss import cpu_head_loss
from fairseq_metro.modules.heads import takes_targets
from tests import tiny

N, C, V = 23, 6, 40


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 5 * V)  # five rows, the last block is shorter


def case(biased=True, weighted=True, drawing=True, rows=N):
    """hidden, weight, bias or None; target; the options of head_loss."""
    tensors = [torch.randn(rows, C), torch.randn(V, C), torch.randn(V) if biased else None]
    options = {}
    if weighted:
        options["row_weight"] = torch.rand(rows)
    if drawing:
        tokens, places = torch.randint(V, (2, 16)), torch.randperm(32)[:rows]
        options["draw"] = Draw(torch.rand(rows, dtype=torch.float64), tokens, places)
    return tensors, torch.randint(V, (rows,)), options


def run(version, tensors, target, options, dtype=torch.float32):
    leaves = [x if x is None else x.to(dtype).requires_grad_() for x in map(copied, tensors)]
    found = version(*leaves[:2], target, bias=leaves[2], **options)
    there = [x for x in leaves if x is not None]
    return found, torch.autograd.grad(3.0 * found.loss, there)


def copied(x):
    return None if x is None else x.detach().clone()


@pytest.mark.parametrize("temperature", [1.0, 0.6])
@pytest.mark.parametrize("drawing", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("biased", [True, False])
def test_everything_equals_the_reference_in_float64(biased, weighted, drawing, temperature):
    tensors, target, options = case(biased, weighted, drawing)
    options["temperature"] = temperature
    ours, gradients = run(cpu_head_loss, tensors, target, options)
    exact, expected = run(head_loss_reference, tensors, target, options, torch.float64)
    plain, _ = run(head_loss_reference, tensors, target, options)
    assert ours.loss.dtype == torch.float32
    torch.testing.assert_close(ours.loss.double(), exact.loss, rtol=1e-6, atol=0)
    assert torch.equal(ours.correct, exact.correct)
    for a, b in zip(gradients, expected, strict=True):
        torch.testing.assert_close(a.double(), b, rtol=1e-5, atol=1e-5)
    if not drawing:
        assert ours.entropy is ours.noised is ours.replaced is None
        return
    torch.testing.assert_close(ours.entropy.double(), exact.entropy, rtol=1e-6, atol=0)
    assert torch.equal(ours.noised, plain.noised) and torch.equal(ours.replaced, plain.replaced)


def test_draws_are_those_of_the_plain_softmax_bit_by_bit():
    """At boundaries, too: u is the cumulative sum itself there."""
    (hidden, weight, _), target, _ = case(rows=300)
    logits = hidden @ weight.t()
    mass = torch.softmax(logits, -1).cumsum(-1)
    uniform = (mass.gather(1, target[:, None]) / mass[:, -1:]).squeeze(1).double().clamp_(max=0.99)
    draw = Draw(uniform, torch.zeros(1, 300, dtype=torch.long), torch.arange(300))
    found = cpu_head_loss(hidden, weight, target, draw=draw)
    assert torch.equal(found.noised.flatten(), sample_tokens(logits, uniform))


def test_large_and_equal_logits():
    """Scores of 1e4 lose nothing to cancellation; among equal ones the first is the likeliest."""
    hidden = torch.tensor([[1e4], [1e4], [0.0], [0.0]])
    weight = torch.tensor([[1.0], [1.001], [-1.0]])
    target = torch.tensor([0, 1, 0, 1])
    draw = Draw(torch.full((4,), 0.5), torch.zeros(1, 4, dtype=torch.long), torch.arange(4))
    tensors, options = [hidden, weight, None], dict(draw=draw)
    ours, gradients = run(cpu_head_loss, tensors, target, options)
    exact, expected = run(head_loss_reference, tensors, target, options, torch.float64)
    assert ours.correct.tolist() == [False, True, True, False] == exact.correct.tolist()
    torch.testing.assert_close(ours.loss.double(), exact.loss, rtol=1e-4, atol=0)
    torch.testing.assert_close(ours.entropy.double(), exact.entropy, rtol=1e-4, atol=0)
    for a, b in zip(gradients, expected, strict=True):
        torch.testing.assert_close(a.double(), b, rtol=1e-3, atol=1e-3)


def test_no_row_gives_no_loss_and_gradients_of_zero():
    tensors, target, options = case(rows=0)
    found, gradients = run(cpu_head_loss, tensors, target, options)
    assert found.loss == 0 and torch.equal(found.noised, options["draw"].tokens)
    assert [x.shape for x in gradients] == [x.shape for x in tensors]
    assert not any(x.any() for x in gradients)


def test_states_that_are_no_numbers_give_such_a_loss_and_tokens_of_the_vocabulary():
    tensors, target, options = case()
    tensors[0][3, 0] = float("nan")
    found, _ = run(cpu_head_loss, tensors, target, options)
    assert found.loss.isnan() and found.noised.min() >= 0 and found.noised.max() < V


def test_only_what_is_wanted_gets_a_gradient():
    (hidden, weight, bias), target, options = case()
    row_weight = options["row_weight"].requires_grad_()
    bias.requires_grad_()
    (gradient,) = torch.autograd.grad(
        cpu_head_loss(hidden, weight, target, bias=bias, **options).loss, bias
    )
    assert gradient.shape == bias.shape
    hidden.requires_grad_()
    found = cpu_head_loss(hidden, weight, target, **options)
    found.loss.backward()
    assert row_weight.grad is None and weight.grad is None and hidden.grad.any()
    assert not found.entropy.requires_grad
    with torch.no_grad():
        assert not cpu_head_loss(hidden, weight, target, **options).loss.requires_grad


def test_the_model_has_it_in_float32_alone():
    index, uniform = torch.tensor([1, 3]), torch.tensor([0.2, 0.7], dtype=torch.float64)
    tokens = torch.randint(4, 4 + tiny.ORDINARY, (1, 6))
    model = tiny.model()
    inputs = (tokens, None, tokens, index, uniform)
    logits = model(*inputs).mlm_logits
    given = model(*inputs, masked_target=tokens.flatten()[index])
    given.clm.loss(tokens.flatten()[index])
    assert all("logits" not in vars(head) for head in (given.auxiliary, given.clm))
    expected = torch.nn.functional.cross_entropy(logits, tokens.flatten()[index], reduction="sum")
    torch.testing.assert_close(given.mlm.loss, expected)
    given = model.double()(*inputs, masked_target=tokens.flatten()[index])
    assert "logits" in vars(given.auxiliary)
    with torch.autocast("cpu"):
        assert not takes_targets(torch.zeros(3, 2))
