import pytest
import torch

from fairseq_metro.modules.segments import positions_within, see_own_segment
from fairseq_metro.modules.transformer import CrossAttention
from tests.torch_twins import randomize


def test_nobody_sees_another_example_and_padding_has_a_key():
    queries = torch.tensor([[1, 1, 2, 0], [1, 2, 3, 3]])
    keys = torch.tensor([[1, 2, 2, 0, 0], [1, 2, 2, 3, 3]])
    visible = see_own_segment(queries, keys)
    for b in range(2):
        for i, query in enumerate(queries[b].tolist()):
            for j, key in enumerate(keys[b].tolist()):
                assert bool(visible[b, i, j]) == (query == 0 or query == key)


def test_positions_begin_anew_and_count_up():
    segments = torch.tensor([[1, 1, 2, 2, 2, 0], [1, 2, 3, 3, 0, 0]])
    expected = [[0, 1, 0, 1, 2, 0], [0, 0, 0, 1, 0, 1]]
    assert positions_within(segments).tolist() == expected


@pytest.mark.parametrize("choices", [1, 3])
def test_folded_targets_equal_repeated_inputs(choices):
    torch.manual_seed(3)
    layer = randomize(CrossAttention(12, 3, 0.1))
    x, states = torch.randn(2 * choices, 4, 12), torch.randn(2, 7, 12)
    padding = torch.tensor([[0] * 7, [0, 0, 0, 0, 1, 1, 1]]).bool()
    repeated = layer(x, states.repeat_interleave(choices, 0), padding.repeat_interleave(choices, 0))
    torch.testing.assert_close(layer(x, states, padding), repeated, rtol=1e-6, atol=1e-6)


def test_keys_and_values_of_folded_targets_are_computed_once_and_not_copied(monkeypatch):
    seen = []
    stock = torch.nn.functional.scaled_dot_product_attention

    def spy(query, key, value, **kwargs):
        seen.append((query.shape, key.shape, value.untyped_storage().nbytes()))
        return stock(query, key, value, **kwargs)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", spy)
    layer = CrossAttention(12, 3, 0.0)
    layer(torch.randn(2 * 5, 4, 12), torch.randn(2, 7, 12))
    ((query, key, stored),) = seen
    assert query == (2, 3, 5 * 4, 4) and key == (2, 3, 7, 4)
    assert stored == 2 * 7 * 2 * 12 * 4  # keys and values of one projection, float32


def test_targets_that_cannot_be_shared_out_are_an_error():
    layer = CrossAttention(12, 3, 0.0)
    with pytest.raises(ValueError, match="3 targets cannot belong to 2 inputs"):
        layer(torch.randn(3, 4, 12), torch.randn(2, 7, 12))
