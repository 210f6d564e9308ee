import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairseq_metro.scoring import batches as module
from fairseq_metro.scoring import token_batches

SHAPES = st.lists(st.tuples(st.integers(1, 5), st.integers(1, 30), st.integers(0, 9)))


@given(SHAPES, st.integers(1, 200))
def test_every_example_comes_once_and_the_padded_batch_keeps_the_budget(shapes, max_tokens):
    batches = list(token_batches(shapes, max_tokens))
    assert sorted(i for batch in batches for i in batch) == list(range(len(shapes)))
    for batch in batches:
        choices, source, target = (max(shapes[i][k] for i in batch) for k in range(3))
        padded = len(batch) * max(source, choices * target)
        assert padded <= max_tokens or len(batch) == 1


def test_a_batch_is_as_full_as_the_budget_allows():
    assert [len(batch) for batch in token_batches([(1, 10, 0)] * 7, 30)] == [3, 3, 1]


@given(
    st.lists(st.integers(1, 30), max_size=60),
    st.integers(30, 400),
)
def test_padding_stays_within_a_twentieth_but_for_small_batches(lengths, few):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "FEW_TOKENS", few)
        for batch in token_batches([(1, length, 0) for length in lengths], 10**6):
            sources = [lengths[i] for i in batch]
            if len(batch[:-1]) * max(sources) >= few:
                assert max(sources) * len(sources) <= 1.05 * sum(sources)


def test_a_batch_ends_before_a_much_shorter_source():
    lengths = [300] * 5 + [100] * 30
    shapes = [(1, length, 1) for length in lengths]
    assert [len(batch) for batch in token_batches(shapes, 10**6)] == [5, 30]
