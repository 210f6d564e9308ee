"""Head and loss: the kernel apart; here the reference, and the compiling for GPUs."""

import pytest
import torch

from fairseq_metro.kernels.head_loss import Draw, head_loss, head_loss_reference, sample_tokens
from tests.kernels.apart import run_apart


@pytest.mark.parametrize("interpreter", [True, False], ids=["in the interpreter", "on a GPU"])
@pytest.mark.timeout(1200)
def test_numbers_and_gradients(interpreter):
    run_apart("head_loss_cases.py", interpreter=interpreter)


def test_the_reference_equals_a_loop_over_rows():
    hidden, weight, bias = torch.randn(4, 3), torch.randn(7, 3), torch.randn(7)
    target, row_weight = torch.tensor([0, 6, 2, 2]), torch.rand(4)
    draw = Draw(torch.rand(4).double(), torch.full((2, 3), 9), torch.tensor([5, 0, 2, 3]))
    found = head_loss_reference(
        hidden, weight, target, bias=bias, row_weight=row_weight, draw=draw, temperature=0.5
    )
    loss = entropy = 0.0
    logits = hidden.double() @ weight.double().t() + bias.double()
    drawn = sample_tokens(logits, draw.uniform, 0.5)
    for row in range(4):
        p = logits[row].softmax(-1)
        loss -= row_weight[row].double() * p[target[row]].log()
        entropy -= (p * p.log()).sum()
        assert found.correct[row] == (p.argmax() == target[row])
        place = divmod(int(draw.masked_index[row]), 3)
        assert found.noised[place] == drawn[row]
        assert found.replaced[place] == (drawn[row] != target[row])
    torch.testing.assert_close(found.loss.double(), loss, rtol=1e-5, atol=0)
    torch.testing.assert_close(found.entropy.double(), entropy, rtol=1e-5, atol=0)
    assert found.noised.eq(9).sum() == 2 and not found.replaced[found.noised.eq(9)].any()


def test_the_reference_is_differentiable_in_float64():
    tensors = [torch.randn(3, 4), torch.randn(6, 4), torch.randn(6)]
    tensors = [x.double().requires_grad_() for x in tensors]
    target, row_weight = torch.tensor([1, 5, 0]), torch.rand(3).double()

    def loss(hidden, weight, bias):
        return head_loss_reference(hidden, weight, target, bias=bias, row_weight=row_weight).loss

    assert torch.autograd.gradcheck(loss, tensors)


def test_weights_of_rows_get_no_gradient_and_a_cpu_has_the_reference():
    hidden, weight = torch.randn(3, 4, requires_grad=True), torch.randn(6, 4)
    row_weight, target = torch.rand(3, requires_grad=True), torch.tensor([1, 5, 0])
    found = head_loss(hidden, weight, target, row_weight=row_weight)
    found.loss.backward()
    assert row_weight.grad is None and hidden.grad is not None
    expected = head_loss_reference(hidden, weight, target, row_weight=row_weight)
    assert torch.equal(found.loss, expected.loss)


ARGUMENTS = {
    **dict.fromkeys("logits bias".split(), "*bf16:16"),
    **dict.fromkeys("row_weight loss entropy".split(), "*fp32:16"),
    **dict.fromkeys("target index noised".split(), "*i64:16"),
    **dict.fromkeys("correct replaced".split(), "*i1:16"),
    **dict.fromkeys("temperature gradient_scale".split(), "fp32"),
    "uniform": "*fp64:16",
    "vocabulary": "i32",
}
AUXILIARY = dict(HAS_BIAS=False, HAS_WEIGHT=False, SAMPLE=True, TEMPERED=False, GRADIENT=True)
CORRECTIVE = {**AUXILIARY, "SAMPLE": False}
RELEASE = dict.fromkeys(AUXILIARY, True)
VALIDATION = {**AUXILIARY, "GRADIENT": False}


def compiles(switches, vocabulary, capability):
    pytest.importorskip("triton")
    from fairseq_metro.kernels import head_loss_triton as kernels
    from tests.kernels.compiled import check

    arguments = {**ARGUMENTS, **switches, **kernels.tiles(vocabulary)}
    check(kernels.rows_kernel, arguments, capability)


@pytest.mark.parametrize("capability", [80, 90, 100])
@pytest.mark.parametrize("switches", [AUXILIARY, CORRECTIVE], ids=["auxiliary", "corrective"])
def test_it_compiles_ahead_of_time(switches, capability):
    compiles(switches, 33280, capability)


@pytest.mark.slow
@pytest.mark.parametrize("capability", [80, 90, 100, 86, 120])
@pytest.mark.parametrize("vocabulary", [1133, 8133, 64512])
@pytest.mark.parametrize("switches", [RELEASE, VALIDATION], ids=["release", "validation"])
def test_other_forms_compile_ahead_of_time(switches, vocabulary, capability):
    compiles(switches, vocabulary, capability)
