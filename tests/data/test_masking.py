import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from fairseq_metro.data import randomness
from fairseq_metro.data.masking import choose_masked, masked_count


@given(st.lists(st.booleans(), max_size=200), st.integers(0, 2**32))
def test_exactly_the_rounded_share_of_ordinary_tokens_is_masked(ordinary, seed):
    ordinary = np.array(ordinary, dtype=bool)
    masked = choose_masked(ordinary, 0.15, np.random.default_rng(seed))
    n = int(ordinary.sum())
    assert len(masked) == round(0.15 * n)
    assert len(set(masked.tolist())) == len(masked)
    assert ordinary[masked].all()
    assert (np.diff(masked) > 0).all()


@pytest.mark.parametrize("prob", [0.01, 0.05, 0.15])
def test_a_block_of_four_tokens_is_never_left_without_a_mask(prob):
    assert [masked_count(n, prob) for n in (4, 5, 6)] == [1, 1, 1]


def test_every_position_is_equally_likely():
    ordinary = np.ones(20, dtype=bool)
    counts = np.zeros(20)
    for index in range(4000):
        rng = randomness.generator(1, 1, index, randomness.MASKING)
        counts[choose_masked(ordinary, 0.15, rng)] += 1
    assert counts.sum() == 4000 * 3
    assert chisquare(counts).pvalue > 1e-3


def test_masks_change_with_seed_epoch_and_index_and_with_nothing_else():
    def draw(seed, epoch, index):
        rng = randomness.generator(seed, epoch, index, randomness.MASKING)
        return choose_masked(np.ones(200, dtype=bool), 0.15, rng).tolist()

    base = draw(1, 1, 1)
    assert draw(1, 1, 1) == base
    assert all(draw(*place) != base for place in [(2, 1, 1), (1, 2, 1), (1, 1, 2)])


def test_a_uniform_belongs_to_its_position():
    some = randomness.uniforms(1, 2, 3, np.array([4, 9]))
    more = randomness.uniforms(1, 2, 3, np.array([0, 4, 5, 9, 30]))
    assert some.tolist() == more[[1, 3]].tolist()


def test_uniforms_of_many_places_are_uniform_and_uncorrelated():
    draws = np.array([randomness.uniforms(7, 1, i, np.arange(8)) for i in range(2000)])
    bins = np.bincount((draws.ravel() * 20).astype(int), minlength=20)
    assert chisquare(bins).pvalue > 1e-3
    neighbours = np.corrcoef(draws[:-1, 0], draws[1:, 0])[0, 1]
    assert abs(neighbours) < 4 / np.sqrt(2000)


def test_preferred_tokens_are_drawn_in_proportion():
    rng, ordinary = np.random.default_rng(0), np.array([True, True, False, True, True])
    preference = np.array([1.0, 3.0, 50.0, 0.5, 0.5])
    counts = np.zeros(5)
    for _ in range(2000):
        masked = choose_masked(ordinary, 0.2, rng, preference)  # one of four
        assert len(masked) == 1
        counts[masked] += 1
    assert counts[2] == 0
    assert counts / 2000 == pytest.approx([0.2, 0.6, 0, 0.1, 0.1], abs=0.04)
    everything = choose_masked(ordinary, 1.0, rng, preference)
    assert everything.tolist() == [0, 1, 3, 4]
