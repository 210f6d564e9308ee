import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairseq_metro.common.errors import UserError
from fairseq_metro.smash.truncation import cut, shared_out

LENGTHS = st.lists(st.integers(0, 12), min_size=1, max_size=5)


def one_at_a_time(lengths, budget):
    lengths = list(lengths)
    while sum(lengths) > budget:
        longest = max(lengths)
        last = max(i for i, length in enumerate(lengths) if length == longest)
        lengths[last] -= 1
    return lengths


@given(LENGTHS, st.integers(0, 70))
def test_the_longest_loses_its_end_first(lengths, budget):
    assert shared_out(lengths, budget) == one_at_a_time(lengths, budget)


@st.composite
def parts_and_fixed(draw):
    parts = draw(st.lists(st.lists(st.integers(0, 99), max_size=9), min_size=1, max_size=6))
    fixed = draw(st.lists(st.booleans(), min_size=len(parts), max_size=len(parts)))
    return parts, fixed


@given(parts_and_fixed(), st.integers(0, 40))
def test_tail_and_head_are_slices(case, most):
    parts, fixed = case
    flat = [i for part in parts for i in part]
    for truncation, expected in (("tail", flat[:most]), ("head", flat[max(0, len(flat) - most) :])):
        kept, trimmed = cut(parts, fixed, most, truncation)
        assert [i for part in kept for i in part] == expected
        assert trimmed == (len(flat) > most) and len(kept) == len(parts)


@given(parts_and_fixed(), st.integers(0, 40))
def test_a_budget_cuts_ends_of_sentences_alone(case, most):
    parts, fixed = case
    if sum(len(part) for part, keep in zip(parts, fixed, strict=True) if keep) > most:
        with pytest.raises(UserError, match="of the prompt itself"):
            cut(parts, fixed, most, "budget")
        return
    kept, trimmed = cut(parts, fixed, most, "budget")
    for part, short, keep in zip(parts, kept, fixed, strict=True):
        assert short == part[: len(short)]
        assert short == part or not keep
    total = sum(map(len, parts))
    assert sum(map(len, kept)) == min(total, most) and trimmed == (total > most)


def test_an_unknown_way_is_said():
    with pytest.raises(UserError, match="must be one of budget, tail, head"):
        cut([[1, 2]], [False], 1, "middle")
