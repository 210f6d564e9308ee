"""Losses of prompt distillation against loops in float64, and what they must not depend on."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from fairseq_metro.common.errors import UserError
from fairseq_metro.criterions.distillation_losses import (
    attention_loss,
    attention_pairs,
    averaged_log_probs,
    cross_entropy,
    entropy,
    hidden_loss,
    hidden_pairs,
    label_cross_entropy,
    layer_pairs,
    top_k_cross_entropy,
)

V = 11


def logits(rows, seed, scale=3.0):
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(rows, V, generator=generator)


def softmax(row, temperature=1.0):
    """Of a list of floats, the slow way."""
    powers = [math.exp(x / temperature) for x in row]
    return [x / sum(powers) for x in powers]


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_cross_entropy_and_entropy_equal_a_loop(temperature):
    student, teacher = logits(4, 0), logits(4, 1)
    log_q = averaged_log_probs([teacher], temperature)
    found = cross_entropy(student, log_q, temperature).tolist(), entropy(log_q).tolist()
    for row in range(4):
        q = softmax(teacher[row].tolist(), temperature)
        s = softmax(student[row].tolist(), temperature)
        ce = -sum(a * math.log(b) for a, b in zip(q, s, strict=True))
        assert found[0][row] == pytest.approx(ce, rel=1e-6)
        assert found[1][row] == pytest.approx(-sum(a * math.log(a) for a in q), rel=1e-6)


def test_teachers_are_averaged_as_probabilities():
    parts = [logits(3, 1), logits(3, 2), logits(3, 3)]
    found = averaged_log_probs(parts, 2.0).exp()
    for row in range(3):
        each = [softmax(part[row].tolist(), 2.0) for part in parts]
        mean = [sum(one[i] for one in each) / 3 for i in range(V)]
        assert found[row].tolist() == pytest.approx(mean, rel=1e-5)


def test_the_direction_is_teacher_first():
    """The gradient with respect to the logits is s - q, which other directions do not have."""
    student, teacher = logits(2, 0).requires_grad_(), logits(2, 1)
    cross_entropy(student, averaged_log_probs([teacher])).sum().backward()
    torch.testing.assert_close(student.grad, student.detach().softmax(-1) - teacher.softmax(-1))


def test_equal_logits_have_no_divergence_and_no_gradient():
    student = logits(3, 0).requires_grad_()
    log_q = averaged_log_probs([student.detach()])
    kl = cross_entropy(student, log_q) - entropy(log_q)
    kl.sum().backward()
    assert kl.detach().abs().max() < 1e-6 and student.grad.abs().max() < 1e-6


@given(st.integers(0, 999), st.floats(0.1, 8), st.floats(-50, 50))
def test_divergence_is_not_negative_and_blind_to_constants(seed, temperature, constant):
    student, teacher = logits(3, seed), logits(3, seed + 1)
    log_q = averaged_log_probs([teacher], temperature)
    ce = cross_entropy(student, log_q, temperature)
    assert (ce - entropy(log_q)).min() > -1e-5
    moved = averaged_log_probs([teacher - constant], temperature)
    again = cross_entropy(student + constant, moved, temperature)
    torch.testing.assert_close(again, ce, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_cast_up_before_the_softmax(dtype):
    student, teacher = logits(3, 0).to(dtype), logits(3, 1).to(dtype)
    found = cross_entropy(student, averaged_log_probs([teacher]))
    assert found.dtype == torch.float32
    wide = cross_entropy(student.float(), averaged_log_probs([teacher.float()]))
    torch.testing.assert_close(found, wide)


def top(teacher, k):
    """ids (M, k) and log q (M, k + 1) of a teacher's logits, by sums of probabilities."""
    q = teacher.double().softmax(-1)
    values, ids = q.topk(k, dim=-1)
    rest = (1 - values.sum(-1, keepdim=True)).clamp_min(0)
    return ids, torch.cat((values, rest), dim=-1).log().float()


@given(st.integers(0, 999), st.floats(0.3, 3))
def test_top_k_and_rest_grows_with_k_to_the_whole_divergence(seed, scale):
    student, teacher = logits(4, seed, scale), logits(4, seed + 1, scale)
    log_q = averaged_log_probs([teacher])
    full = cross_entropy(student, log_q) - entropy(log_q)
    last = torch.zeros(4)
    for k in range(1, V + 1):
        ids, known = top(teacher, k)
        kl = top_k_cross_entropy(student, ids, known) - entropy(known)
        assert (kl >= last - 1e-5).all() and (kl <= full + 1e-5).all()
        last = kl
    torch.testing.assert_close(last, full, rtol=1e-4, atol=1e-5)


def test_top_k_equals_a_loop_and_its_gradient_is_finite_with_everything_chosen():
    student, teacher = logits(2, 0), logits(2, 1)
    ids, known = top(teacher, 3)
    found = top_k_cross_entropy(student, ids, known).tolist()
    for row in range(2):
        s, q = softmax(student[row].tolist()), softmax(teacher[row].tolist())
        chosen = sorted(range(V), key=lambda i: -q[i])[:3]
        total = -sum(q[i] * math.log(s[i]) for i in chosen)
        total -= (1 - sum(q[i] for i in chosen)) * math.log(1 - sum(s[i] for i in chosen))
        assert found[row] == pytest.approx(total, rel=1e-5)
    student.requires_grad_()
    top_k_cross_entropy(student, *top(teacher, V)).sum().backward()
    torch.testing.assert_close(student.grad, student.detach().softmax(-1) - teacher.softmax(-1))


def test_label_words_alone():
    student, words, label = logits(3, 0), torch.tensor([7, 2, 5]), torch.tensor([2, 0, 1])
    found = label_cross_entropy(student, words, label).tolist()
    for row in range(3):
        s = softmax([float(student[row, i]) for i in (7, 2, 5)])
        assert found[row] == pytest.approx(-math.log(s[int(label[row])]), rel=1e-5)


# Layers


def test_pairs_of_a_distil_and_a_base_model():
    assert hidden_pairs(6, 12) == [(0, 0), (1, 2), (2, 4), (3, 6), (4, 8), (5, 10), (6, 12)]
    assert attention_pairs(6, 12) == [(0, 1), (1, 3), (2, 5), (3, 7), (4, 9), (5, 11)]
    assert hidden_pairs(2, 2) == [(0, 0), (1, 1), (2, 2)]
    with pytest.raises(UserError, match="no multiple of the student's 4"):
        layer_pairs(4, 6)


def states(count, *shape, seed):
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(shape, generator=generator) for _ in range(count))


def test_layer_losses_equal_loops_over_real_tokens():
    sizes, width, heads = (4, 2), 3, 2
    real = torch.arange(4)[None, :] < torch.tensor(sizes)[:, None]
    student, teacher = states(2, 2, 4, width, seed=1), states(3, 2, 4, width, seed=2)
    found = hidden_loss(student, teacher, real).tolist()
    ours, theirs = states(1, 2, heads, 4, 4, seed=3), states(2, 2, heads, 4, 4, seed=4)
    attention = attention_loss(ours, theirs, real).tolist()
    for row, size in enumerate(sizes):
        total = 0.0
        for m, g in ((0, 0), (1, 2)):
            squares = [
                float(student[m][row, t, c] - teacher[g][row, t, c]) ** 2
                for t in range(size) for c in range(width)
            ]  # fmt: skip
            total += sum(squares) / len(squares)
        assert found[row] == pytest.approx(total, rel=1e-5)
        total = 0.0
        for head in range(heads):
            squares = [
                float(ours[0][row, head, t, u] - theirs[1][row, head, t, u]) ** 2
                for t in range(size) for u in range(size)
            ]  # fmt: skip
            total += sum(squares) / len(squares)
        assert attention[row] == pytest.approx(total, rel=1e-5)


def test_layer_losses_do_not_see_padding():
    real = torch.tensor([[True, True, False]])
    student, teacher = states(2, 1, 3, 4, seed=1), states(2, 1, 3, 4, seed=2)
    before = hidden_loss(student, teacher, real)
    for one in student:
        one[0, 2] = float("nan")
    torch.testing.assert_close(hidden_loss(student, teacher, real), before)
    wider = tuple(F.pad(one, (0, 0, 0, 2)) for one in student)
    padded = tuple(F.pad(one, (0, 0, 0, 2)) for one in teacher)
    more = F.pad(real, (0, 2))
    torch.testing.assert_close(hidden_loss(wider, padded, more), before)
