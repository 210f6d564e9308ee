"""METRO's, T0's and FLAN's rules against sums done by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairseq_metro.common.errors import UserError
from fairseq_metro.data.mixture_sampling import MixtureSampler
from fairseq_metro.prompts.mixtures import (
    MixtureSet,
    MixtureTask,
    caps_and_rates,
    cyclic_assignment,
)
from fairseq_metro.prompts.mixtures.rules import cyclic_rows


def tasks_of(dataset, n, known=0, **kwargs):
    one = MixtureSet(dataset, dataset, **kwargs)
    return [MixtureTask(f"{dataset}_{i}", one, index=i, of=n, known=known) for i in range(n)]


@pytest.mark.parametrize(
    "rule, rows, templates, cap, rate",
    [
        ("metro", 1_000, 3, 166_666, 1_000),
        ("metro", 400_000, 3, 166_666, 166_666),  # below T0's limit, and capped all the same
        ("metro", 600_000, 4, 125_000, 125_000),
        ("t0", 1_000, 3, 1_000, 1_000),
        ("t0", 500_000, 3, 500_000, 500_000),  # the limit itself is not above it
        ("t0", 500_001, 3, 500_001, 166_666),
        ("flan", 1_000, 10, 100, 100),
        ("flan", 20_000, 10, 2_000, 300),
        ("flan", 90_000, 10, 3_000, 300),
        ("flan", 9, 10, 1, 0),  # not one whole group of rows
    ],
)
def test_caps_and_rates_of_a_data_set(rule, rows, templates, cap, rate):
    tasks = tasks_of("a", templates)
    caps, rates = caps_and_rates(rule, {"a": rows}, tasks)
    assert caps == {task.name: cap for task in tasks}
    assert rates == {task.name: rate for task in tasks}


def test_t0_divides_by_all_the_templates_of_a_data_set_whichever_take_part():
    """t-zero's tasks.py: the original-prompts mixtures keep the caps of the whole one."""
    tasks = tasks_of("a", 2, known=9)
    assert set(caps_and_rates("t0", {"a": 600_000}, tasks)[1].values()) == {500_000 // 9}
    assert set(caps_and_rates("metro", {"a": 600_000}, tasks)[0].values()) == {250_000}


sizes = st.lists(st.integers(1, 10**7), min_size=1, max_size=9)


@given(sizes, st.floats(0.1, 20), st.none() | st.integers(1, 10**6), st.integers(1, 4))
def test_temperature_mixing_is_seqios(sizes, temperature, cap, templates):
    """seqio's mixing_rate_num_examples of each task, and the shares of a draw, in a plain loop."""
    rows = {f"set{i}": size for i, size in enumerate(sizes)}
    tasks = [task for name in rows for task in tasks_of(name, templates)]
    caps, rates = caps_and_rates("temperature", rows, tasks, cap=cap, temperature=temperature)
    expected, total = {}, 0.0
    for name, size in rows.items():
        counted = size
        if cap is not None and counted > cap:
            counted = cap
        for i in range(templates):
            expected[f"{name}_{i}"] = float(counted) ** (1.0 / temperature)
            total += expected[f"{name}_{i}"]
    assert rates == pytest.approx(expected, rel=1e-12)
    assert caps == {task.name: rows[task.dataset] for task in tasks}
    sampler = MixtureSampler(
        [rows[t.dataset] for t in tasks], list(caps.values()), list(rates.values())
    )
    shares = [expected[task.name] / total for task in tasks]
    assert sampler._shares.tolist() == pytest.approx(shares, rel=1e-9)


def test_temperature_makes_sets_more_alike_and_one_leaves_them_in_proportion():
    rows, tasks = {"a": 100, "b": 10_000}, [*tasks_of("a", 1), *tasks_of("b", 1)]
    ratios = []
    for temperature in (None, 1, 2, 4):
        _, rates = caps_and_rates("temperature", rows, tasks, temperature=temperature)
        ratios.append(rates["b_0"] / rates["a_0"])
    assert ratios == pytest.approx([100, 100, 10, 10**0.5])


def test_each_data_set_is_capped_by_its_own_number_of_templates():
    tasks = [*tasks_of("a", 2), *tasks_of("b", 5)]
    caps, _ = caps_and_rates("metro", {"a": 10**6, "b": 10**6}, tasks)
    assert set(list(caps.values())[:2]) == {250_000} and set(list(caps.values())[2:]) == {100_000}


def test_a_sets_own_cap_comes_before_the_mixtures():
    tasks = [*tasks_of("a", 2, cap=10), *tasks_of("b", 2)]
    caps, _ = caps_and_rates("metro", {"a": 100, "b": 100}, tasks, cap=40)
    assert list(caps.values()) == [5, 5, 20, 20]


def test_rates_count_only_the_rows_that_take_part():
    caps, rates = caps_and_rates("t0", {"a": 100}, tasks_of("a", 1, first=50, leave_every=5))
    assert rates == {"a_0": 40} and caps == {"a_0": 40}


def test_a_missing_number_of_rows_is_one_line():
    with pytest.raises(UserError, match="no number of rows of a;"):
        caps_and_rates("metro", {"b": 3}, tasks_of("a", 1))


@given(rows=st.integers(0, 200), n=st.integers(1, 12))
def test_rows_take_templates_in_turn_and_the_last_group_is_whole(rows, n):
    turns = cyclic_assignment(rows, n)
    assert len(turns) == rows - rows % n
    assert turns.tolist() == [i % n for i in range(len(turns))]


@given(rows=st.integers(0, 200), n=st.integers(1, 12), cap=st.integers(1, 150))
def test_flans_tasks_share_the_first_rows_each_row_once(rows, n, cap):
    given_rows = np.arange(0, 2 * rows, 2)
    parts = [cyclic_rows(given_rows, task, cap) for task in tasks_of("a", n)]
    kept = min(rows, cap) // n * n
    assert sorted(np.concatenate(parts).tolist()) == given_rows[:kept].tolist()
    for i, part in enumerate(parts):
        assert (part // 2 % n == i).all()
