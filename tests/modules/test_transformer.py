"""Layers against torch's own post-LN layers with copied weights."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from fairseq_metro.common.errors import UserError
from fairseq_metro.modules.norm import add_dropout_norm
from fairseq_metro.modules.transformer import DecoderLayer, Embedding, EncoderLayer
from tests.torch_twins import copy_into_torch, randomize

CFG = SimpleNamespace(
    embed_dim=12, ffn_dim=20, attention_heads=3, dropout=0.1, attention_dropout=0.1, max_positions=9
)


def copy_common(ours, theirs):
    theirs.self_attn = copy_into_torch(ours.self_attn, 12)
    theirs.linear1.load_state_dict(ours.ffn.fc1.state_dict())
    theirs.linear2.load_state_dict(ours.ffn.fc2.state_dict())
    theirs.norm1.load_state_dict(ours.self_attn_layer_norm.state_dict())
    return theirs.eval()


def test_encoder_layer_equals_torchs_post_norm_layer():
    torch.manual_seed(0)
    ours = randomize(EncoderLayer(CFG))
    theirs = copy_common(ours, nn.TransformerEncoderLayer(12, 3, 20, batch_first=True))
    theirs.norm2.load_state_dict(ours.final_layer_norm.state_dict())
    x, bias = torch.randn(2, 5, 12), torch.randn(3, 5, 5)
    expected = theirs(x, src_mask=bias.repeat(2, 1, 1))
    torch.testing.assert_close(ours(x, bias), expected, rtol=1e-4, atol=1e-4)


def test_decoder_layer_equals_torchs_post_norm_layer():
    torch.manual_seed(1)
    ours = randomize(DecoderLayer(CFG))
    theirs = copy_common(ours, nn.TransformerDecoderLayer(12, 3, 20, batch_first=True))
    theirs.multihead_attn = copy_into_torch(ours.encoder_attn, 12)
    theirs.norm2.load_state_dict(ours.encoder_attn_layer_norm.state_dict())
    theirs.norm3.load_state_dict(ours.final_layer_norm.state_dict())
    x, states = torch.randn(2, 5, 12), torch.randn(2, 7, 12)
    padding = torch.tensor([[0] * 7, [0, 0, 0, 0, 0, 1, 1]]).bool()
    causal = nn.Transformer.generate_square_subsequent_mask(5)
    expected = theirs(x, states, tgt_mask=causal, memory_key_padding_mask=padding)
    torch.testing.assert_close(ours(x, states, padding), expected, rtol=1e-4, atol=1e-4)


def test_norm_comes_after_the_residual():
    norm = nn.LayerNorm(4).double()
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    x, update = torch.randn(3, 4).double(), torch.randn(3, 4).double()
    total = x + update
    centred = total - total.mean(-1, keepdim=True)
    expected = centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
    expected = expected * norm.weight + norm.bias
    torch.testing.assert_close(add_dropout_norm(x, update, norm), expected)


def test_dropout_applies_to_the_update_and_not_to_the_residual():
    norm = nn.Identity()
    out = add_dropout_norm(torch.ones(1000), torch.ones(1000), norm, dropout=0.5, training=True)
    assert set(out.tolist()) == {1.0, 3.0}


def test_an_input_longer_than_the_positions_is_one_line():
    embedding, table = Embedding(CFG, 12), nn.Embedding(10, 12)
    with pytest.raises(UserError, match="10 tokens, but the model has 9 positions"):
        embedding(torch.zeros(1, 10, dtype=torch.long), table)


def test_positions_are_added_before_the_norm():
    torch.manual_seed(2)
    embedding, table = Embedding(CFG, 12).eval(), nn.Embedding(10, 12)
    tokens = torch.tensor([[3, 7, 3]])
    expected = nn.functional.layer_norm(
        table.weight[tokens] + embedding.positions.weight[2:5], (12,)
    )
    torch.testing.assert_close(embedding(tokens, table, first_position=2), expected)
