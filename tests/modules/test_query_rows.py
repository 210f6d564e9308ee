"""The queries of some rows alone give what all queries give at these rows, gradients too."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from fairseq_metro.modules import cpu_attention
from fairseq_metro.modules import transformer as module
from fairseq_metro.modules.query_rows import QueryRows
from fairseq_metro.modules.relative_position import RelativePositionBias
from fairseq_metro.modules.segments import OwnSegment
from fairseq_metro.modules.transformer import DecoderLayer, EncoderLayer

B, T, S, H, C = 3, 7, 5, 2, 8
P = 0.3
# In no order, one sequence with none, its first and last position among the others.
ROWS = torch.tensor([20, 0, 14, 3, 6, 17])


def test_a_slot_for_every_row_and_as_many_for_every_sequence():
    at = QueryRows(ROWS, B, T)
    assert at.width == 3 and at.position.shape == (B, 3)
    x = torch.randn(len(ROWS), 4)
    spread = at.spread(x)
    assert spread.shape == (B, 3, 4) and not spread[1].any()
    assert torch.equal(at.gathered(spread), x)
    place = at.position + torch.arange(B).unsqueeze(1) * T
    assert torch.equal(at.gathered(place), ROWS)
    assert QueryRows(ROWS[:0], B, T).spread(x[:0]).shape == (B, 1, 4)


@pytest.fixture
def one_mask(monkeypatch):
    """Dropout of attention leaves out the same weights for all queries and for some of them."""
    kept = {n: (torch.rand(B, H, T, n) > P).float() for n in (T, S)}
    width = QueryRows(ROWS, B, T)

    def drawn(shape, p, dtype):
        mask = kept[shape[-1]]
        if shape[-2] != T:
            mask = mask[torch.arange(B).unsqueeze(1), :, width.position].transpose(1, 2)
        return mask.reshape(shape).to(dtype)

    monkeypatch.setattr(cpu_attention, "kept_elements", drawn)


CFG = SimpleNamespace(
    embed_dim=C, ffn_dim=12, attention_heads=H, dropout=0.0, attention_dropout=P, max_positions=9
)
PADDING = torch.arange(T) >= torch.tensor([[7], [4], [6]])
SEGMENTS = torch.tensor([[1, 1, 1, 2, 2, 2, 2], [1] * 4 + [0] * 3, [1, 2, 2, 2, 2, 2, 0]])
ENCODER = {
    "all seen": {},
    "padding": dict(key_padding_mask=PADDING),
    "packed": dict(visible=OwnSegment(SEGMENTS, SEGMENTS)),
}
DECODER = {
    "causal": {},
    "padding": dict(key_padding_mask=PADDING[:, 2:]),
    "packed": dict(
        visible=(
            OwnSegment(SEGMENTS, SEGMENTS, causal=True),
            OwnSegment(SEGMENTS, SEGMENTS[:, :S]),
        )
    ),
}


def gradients(layer, inputs, run):
    for parameter in layer.parameters():
        parameter.grad = None
    inputs = [x.clone().requires_grad_() for x in inputs]
    out = run(*inputs)
    (out * torch.linspace(-1, 2, out.numel()).view_as(out)).sum().backward()
    found = [x.grad for x in inputs] + [p.grad for p in layer.parameters()]
    return out, [torch.zeros(()) if x is None else x for x in found]


def check(layer, inputs, run, monkeypatch):
    ours = gradients(layer, inputs, run)
    calls = []
    with monkeypatch.context() as patched:
        patched.setattr(module, "queries_at", lambda *given: calls.append(given))
        expected = gradients(layer, inputs, run)
    assert len(calls) == 1 and ours[0].shape == (len(ROWS), C)
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("use", ENCODER)
def test_of_an_encoder_layer(use, one_mask, monkeypatch):
    layer = EncoderLayer(CFG).train()
    layer.bias = RelativePositionBias(8, 6, H, 9)
    nn.init.normal_(layer.bias.weight)
    x = torch.randn(B, T, C)
    check(layer, [x], lambda x: layer(x, layer.bias, rows=ROWS, **ENCODER[use]), monkeypatch)


@pytest.mark.parametrize("use", DECODER)
def test_of_a_decoder_layer(use, one_mask, monkeypatch):
    layer = DecoderLayer(CFG).train()
    x, states = torch.randn(B, T, C), torch.randn(B, S, C)
    run = lambda x, states: layer(x, states, rows=ROWS, **DECODER[use])  # noqa: E731
    check(layer, [x, states], run, monkeypatch)


def test_fewer_weights_are_computed_in_training_alone(monkeypatch):
    layer, x, drawn = EncoderLayer(CFG), torch.randn(B, T, C), []
    draw = cpu_attention.kept_elements
    monkeypatch.setattr(
        cpu_attention, "kept_elements", lambda *given: drawn.append(given[0]) or draw(*given)
    )
    layer.train()(x, rows=ROWS)
    layer(x)
    assert drawn == [(B * H, 3, T), (B * H, T, T)]
    assert module.queries_at(ROWS, x, None, H, 0.0) is None
    assert module.queries_at(None, x, None, H, P) is None
    assert module.queries_at(ROWS, x.double(), None, H, P) is None
    learned = RelativePositionBias(8, 6, H, 9)
    assert module.queries_at(ROWS, x, learned, H, 0.0) is not None
