from hypothesis import given
from hypothesis import strategies as st

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
