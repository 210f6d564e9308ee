"""Losses of half-precision logits are computed in float32: float64's to float32's accuracy."""

import pytest
import torch
import torch.nn.functional as F

from fairseq_metro.criterions.metro_t5 import (
    MetroT5Criterion,
    summed_cross_entropy,
    summed_rtd_loss,
)
from fairseq_metro.modules.heads import copy_mixture
from fairseq_metro.modules.sampling import sample_tokens
from tests import tiny

HALF = pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
ROWS, WORDS = 300, 500  # so many that a sum in half precision would be far off


def logits_of(dtype, *shape, scale=4.0):
    return (scale * torch.randn(*shape)).to(dtype)


def close(ours, exact):
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours.double(), exact, rtol=1e-5, atol=1e-5)


@HALF
def test_cross_entropy(dtype):
    logits, target = logits_of(dtype, ROWS, WORDS), torch.randint(WORDS, (ROWS,))
    exact = F.cross_entropy(logits.double(), target, reduction="sum")
    close(summed_cross_entropy(logits, target), exact)


@HALF
def test_rtd_loss(dtype):
    logits, replaced = logits_of(dtype, 20, 50), torch.rand(20, 50) < 0.15
    real = torch.rand(20, 50) < 0.9
    p = logits.double().sigmoid()
    exact = -torch.where(replaced, p.log(), (1 - p).log())[real].sum()
    close(summed_rtd_loss(logits, replaced, real), exact)


@HALF
def test_copy_mixture(dtype):
    logits, copied = logits_of(dtype, ROWS, WORDS), torch.randint(WORDS, (ROWS,))
    rtd_logits = logits_of(dtype, ROWS, scale=6.0)
    p_original = torch.sigmoid(-rtd_logits.double()).unsqueeze(-1)
    mixture = (1 - p_original) * logits.double().softmax(-1)
    mixture += p_original * F.one_hot(copied, WORDS)
    close(copy_mixture(logits, copied, rtd_logits), mixture.log())


@HALF
@pytest.mark.parametrize("copies", [False, True])
def test_weighted_clm_loss(dtype, copies):
    sample, task = tiny.batch(8), tiny.task()
    index = sample["net_input"]["masked_index"]
    shape = sample["target"].shape
    words = len(task.source_dictionary)
    clm_logits = logits_of(dtype, len(index), words)
    out = tiny.output(
        sample,
        mlm_logits=logits_of(dtype, len(index), words),
        noise=torch.randint(4, words, shape),
        rtd_logits=logits_of(dtype, *shape),
        clm_logits=clm_logits,
        copies=copies,
    )
    loss = MetroT5Criterion(task, 50.0, 1.0, "yes").clm(out, sample).loss
    p = clm_logits.double().softmax(-1)
    p_replaced = out.rtd_logits.double().sigmoid().flatten()[index]
    if copies:
        copied = F.one_hot(out.src_noise.flatten()[index], words)
        p = p_replaced.unsqueeze(-1) * p + (1 - p_replaced).unsqueeze(-1) * copied
    target = sample["target"].flatten()[index]
    close(loss, -(p_replaced * p.gather(1, target.unsqueeze(-1)).squeeze(-1).log()).sum())


@HALF
def test_a_half_precision_model_has_finite_float32_losses_and_gradients(dtype):
    model = tiny.model(copy_mechanism=True).to(dtype).train()
    criterion = MetroT5Criterion(tiny.task(), 50.0, 1.0, "yes")
    loss, _, logs = criterion(model, tiny.batch(4))
    loss.backward()
    assert loss.dtype == torch.float32
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
    assert all(logs[name].dtype == torch.float64 for name in ("mlm_entropy", "n_replaced"))


@HALF
def test_replacements_are_drawn_from_float32_probabilities(dtype):
    """In half precision a cumulative sum stops growing: words at its end would never be drawn."""
    uniform = torch.rand(2000, dtype=torch.float64)
    drawn = sample_tokens(torch.zeros(2000, 5000, dtype=dtype), uniform)
    assert (drawn - (uniform * 5000).long()).abs().max() <= 1
