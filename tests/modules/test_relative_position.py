import math

import numpy as np
import pytest
import torch

from fairseq_metro.modules.relative_position import RelativePositionBias, relative_position_bucket


def slow_bucket(r, num_buckets, max_distance):
    """The facts' formula, one distance at a time."""
    half = num_buckets // 2
    exact = half // 2
    n = abs(r)
    if n < exact:
        b = n
    else:
        steps = math.log(n / exact) / math.log((max_distance - 1) / exact) * (half - 1 - exact)
        b = min(half - 1, exact + math.ceil(steps))
    return (b if r > 0 else -b) + half - 1


@pytest.mark.parametrize("buckets, distance", [(32, 128), (64, 128), (128, 256), (8, 20)])
def test_buckets_follow_the_formula_of_the_release(buckets, distance):
    distances = np.arange(-700, 701)
    ours = relative_position_bucket(distances, buckets, distance)
    assert ours.tolist() == [slow_bucket(int(r), buckets, distance) for r in distances]


def test_all_but_the_last_bucket_are_used():
    used = set(relative_position_bucket(np.arange(-600, 601), 32, 128).tolist())
    assert used == set(range(31))


def test_keys_before_and_after_the_query_have_different_buckets():
    ours = relative_position_bucket(np.array([-3, 3]), 32, 128)
    assert ours[0] < 15 < ours[1]


def test_bias_is_the_table_row_of_key_minus_query_for_every_head():
    torch.manual_seed(0)
    bias = RelativePositionBias(8, 20, 3, max_positions=40)
    torch.nn.init.normal_(bias.weight)
    out = bias(11)
    assert out.shape == (3, 11, 11)
    for h in range(3):
        for i in range(11):
            for j in range(11):
                assert out[h, i, j] == bias.weight[slow_bucket(j - i, 8, 20), h]


def test_gradient_of_the_table_sums_over_all_pairs_of_a_bucket():
    bias = RelativePositionBias(8, 20, 2, max_positions=16).double()
    upstream = torch.randn(2, 9, 9, dtype=torch.float64)
    (bias(9) * upstream).sum().backward()
    slow = torch.zeros(8, 2, dtype=torch.float64)
    for i in range(9):
        for j in range(9):
            slow[slow_bucket(j - i, 8, 20)] += upstream[:, i, j]
    torch.testing.assert_close(bias.weight.grad, slow)
