"""The sampler against a slow walk, and in long runs."""

import tracemalloc
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairseq_metro.common.errors import UserError
from fairseq_metro.data.mixture_sampling import MixtureSampler

TASKS = st.lists(st.tuples(st.integers(0, 30), st.integers(1, 12)), min_size=1, max_size=6).filter(
    lambda tasks: any(size for size, _ in tasks)
)


def joined(lists):
    return [item for one in lists for item in one]


def rows_by_task(sampler, epochs):
    """Rows of each task, epoch after epoch: a dict of lists of lists."""
    seen = {}
    for e in epochs:
        tasks, rows = sampler.epoch(e)
        for task in range(len(sampler.sizes)):
            seen.setdefault(task, []).append(rows[tasks == task].tolist())
    return seen


@given(tasks=TASKS, seed=st.integers(0, 2**63 - 1))
def test_an_epoch_holds_the_capped_tasks_in_order(tasks, seed):
    sizes, caps = map(list, zip(*tasks, strict=True))
    found, rows = MixtureSampler(sizes, caps, seed=seed).epoch(3)
    assert (found.dtype, rows.dtype) == (np.int32, np.int64)
    expected = [task for task, (size, cap) in enumerate(tasks) for _ in range(min(size, cap))]
    assert found.tolist() == expected
    assert all(0 <= row < sizes[task] for task, row in zip(found, rows, strict=True))


@given(tasks=TASKS, seed=st.integers(0, 1000))
def test_every_row_comes_once_before_any_repeats(tasks, seed):
    sizes, caps = map(list, zip(*tasks, strict=True))
    for task, epochs in rows_by_task(MixtureSampler(sizes, caps, seed=seed), range(1, 8)).items():
        walk, size = joined(epochs), sizes[task]
        if not size:
            assert not walk
            continue
        for start in range(0, len(walk) - size + 1, size):
            assert sorted(walk[start : start + size]) == list(range(size))
        assert len(set(walk[len(walk) // size * size :])) == len(walk) % size


def test_a_window_of_the_same_order_goes_round():
    """Epoch e of a task with more rows than its cap: places e * cap ... of one permutation."""
    seen = rows_by_task(MixtureSampler([10, 4], [4, 4]), range(1, 11))
    walk = joined(seen[0])
    order = walk[:10]
    assert order != sorted(order)
    assert walk == [order[place % 10] for place in range(40)]
    assert all(rows == [0, 1, 2, 3] for rows in seen[1])


def test_tasks_and_seeds_have_orders_of_their_own():
    def order(task, seed):
        return tuple(MixtureSampler([50, 50], [49, 49], seed=seed).epoch(1)[1][49 * task :][:49])

    assert len({order(task, seed) for task in (0, 1) for seed in (1, 2)}) == 4


def test_orders_are_uniform():
    firsts = Counter(
        int(MixtureSampler([4], [1], seed=seed).epoch(1)[1][0]) for seed in range(2000)
    )
    assert max(abs(firsts[row] - 500) for row in range(4)) < 80  # four standard deviations


def test_shares_of_a_long_draw_match_the_rates():
    rates, sizes = [1.0, 2.5, 0.0, 6.5, 5.0], [7, 1000, 10, 300, 0]
    sampler = MixtureSampler(sizes, [1] * 5, rates=rates, examples=50_000)
    tasks = np.concatenate([sampler.epoch(e)[0] for e in (1, 2, 3, 4)])
    counts = np.bincount(tasks, minlength=5)
    shares = np.array([0.1, 0.25, 0, 0.65, 0])
    deviation = np.sqrt(200_000 * shares * (1 - shares))
    assert len(tasks) == 200_000 and (np.abs(counts - 200_000 * shares) <= 4 * deviation).all()
    assert len({tuple(np.bincount(sampler.epoch(e)[0])) for e in (1, 2)}) == 2  # drawn, not fixed


@given(
    tasks=st.lists(st.tuples(st.integers(0, 30), st.floats(0, 100)), min_size=1, max_size=6).filter(
        lambda tasks: any(size and rate for size, rate in tasks)
    ),
    examples=st.integers(1, 100),
    seed=st.integers(0, 1000),
)
def test_drawn_tasks_walk_their_rows_over_the_epochs(tasks, examples, seed):
    sizes, rates = map(list, zip(*tasks, strict=True))
    sampler = MixtureSampler(sizes, [1] * len(sizes), rates, seed, examples)
    epochs = range(1, 6)
    assert all(len(sampler.epoch(e)[0]) == examples for e in epochs)
    for task, seen in rows_by_task(sampler, epochs).items():
        walk, size = joined(seen), sizes[task]
        if not size or not rates[task]:
            assert not walk
        else:
            assert walk == [walk[place % size] for place in range(len(walk))]
            assert len(set(walk)) == min(size, len(walk))


@pytest.mark.parametrize("rates", [None, [1.0, 3.0, 2.0]])
def test_an_epoch_depends_on_seed_and_number_alone(rates):
    def sampler():
        return MixtureSampler([100, 20, 30], [30, 50, 7], rates=rates, seed=5)

    used = sampler()
    for e in (1, 2, 3):
        used.epoch(e)
    for ours, fresh in zip(used.epoch(4), sampler().epoch(4), strict=True):
        assert np.array_equal(ours, fresh)
    assert not np.array_equal(used.epoch(4)[1], used.epoch(5)[1])


def test_an_epoch_without_a_length_is_as_long_as_the_rates_add_up_to():
    assert MixtureSampler([5, 5, 0], [1, 1, 1], rates=[2.0, 5.0, 9.0]).examples == 7
    assert MixtureSampler([5, 2], [3, 3]).examples == 5


def test_memory_goes_with_the_epoch_and_a_task_not_with_all_rows():
    sampler = MixtureSampler([10**6] * 40, [100] * 40)
    tracemalloc.start()
    sampler.epoch(2)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * 8 * 10**6  # bytes: an order of one task, not of forty


@pytest.mark.parametrize(
    "kwargs, message",
    [
        (dict(sizes=[3, -1], caps=[1, 1]), "sizes must be whole numbers"),
        (dict(sizes=[3, 2.5], caps=[1, 1]), "sizes must be whole numbers"),
        (dict(sizes=[3, 2], caps=[1]), "1 caps for 2 tasks"),
        (dict(sizes=[3, 2], caps=[1, 0]), "cap of task 1 is 0, must be 1 or more"),
        (dict(sizes=[3, 2], caps=[1, 1], rates=[1, -1]), "rate of task 1 is -1.0, must be 0 or"),
        (dict(sizes=[3, 2], caps=[1, 1], rates=[1, float("nan")]), "rate of task 1 is nan"),
        (dict(sizes=[3, 0], caps=[1, 1], rates=[0, 1]), "no task with rows has a rate above 0"),
        (dict(sizes=[0, 0], caps=[1, 1]), "0 examples an epoch"),
        (dict(sizes=[3], caps=[1], rates=[1], examples=0), "0 examples an epoch"),
    ],
)
def test_impossible_numbers_are_refused(kwargs, message):
    with pytest.raises(UserError, match=message):
        MixtureSampler(**kwargs)
    with pytest.raises(ValueError, match="count from 1"):
        MixtureSampler([1], [1]).epoch(0)
