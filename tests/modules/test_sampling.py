import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from fairseq_metro.modules.sampling import sample_tokens


def slow_sample(logits, u):
    """Inversion one token at a time in float64."""
    weights = [float(x) for x in torch.softmax(logits.double(), -1)]
    total, mass = sum(weights), 0.0
    for token, weight in enumerate(weights):
        mass += weight
        if u * total < mass:
            return token
    return len(weights) - 1


def test_samples_equal_a_float64_loop_except_within_rounding():
    torch.manual_seed(0)
    logits, uniform = torch.randn(300, 57) * 2, torch.rand(300, dtype=torch.float64)
    ours = sample_tokens(logits, uniform)
    for row in range(300):
        expected = slow_sample(logits[row], float(uniform[row]))
        if ours[row] != expected:
            mass = torch.softmax(logits[row].double(), -1).cumsum(-1)
            assert (mass - uniform[row]).abs().min() < 1e-6


def test_the_distribution_is_the_softmax():
    logits = torch.tensor([[0.0, 1.0, -1.0, 2.0, 0.5]])
    n = 20000
    uniform = torch.from_numpy(np.random.default_rng(3).random(n))
    ours = sample_tokens(logits.expand(n, -1), uniform)
    expected = torch.softmax(logits[0].double(), -1).numpy() * n
    assert chisquare(np.bincount(ours, minlength=5), expected).pvalue > 1e-3


@given(st.integers(0, 2**30), st.integers(1, 40))
def test_only_tokens_with_mass_are_drawn(seed, vocabulary):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(8, vocabulary, generator=generator) * 5
    possible = torch.rand(8, vocabulary, generator=generator) < 0.5
    possible[:, seed % vocabulary] = True
    logits = logits.masked_fill(~possible, -float("inf"))
    for u in (0.0, 0.3, 1 - 2**-53):
        drawn = sample_tokens(logits, torch.full((8,), u, dtype=torch.float64))
        assert possible.gather(1, drawn[:, None]).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_logits_are_summed_in_float32(dtype):
    # In half precision a cumulative sum over 4096 equal masses would stall far below 1.
    logits = torch.zeros(1, 4096, dtype=dtype)
    u = torch.tensor([0.9], dtype=torch.float64)
    assert abs(int(sample_tokens(logits, u)) - int(0.9 * 4096)) <= 1


def test_no_masked_token_gives_no_sample():
    assert sample_tokens(torch.zeros(0, 5), torch.zeros(0, dtype=torch.float64)).shape == (0,)
