"""The model alone; that it computes what transformers does is tested with its converters."""

import dataclasses
from types import SimpleNamespace

import pytest
import torch
from fairseq.models import ARCH_CONFIG_REGISTRY, ARCH_MODEL_REGISTRY

from fairseq_metro.common.errors import UserError
from fairseq_metro.models.roberta import ARCHITECTURES, RobertaMLMConfig, RobertaMLMModel
from tests import tiny

PAD, V = 1, len(tiny.dictionary())


def config(**changes):
    sizes = dict(
        embed_dim=20, ffn_dim=28, attention_heads=4, encoder_layers=3, max_positions=24
    )  # fmt: skip
    return RobertaMLMConfig(**{**sizes, **changes})


def build(**changes):
    """A small model all of whose parameters are non-zero, in evaluation mode."""
    torch.manual_seed(5)
    task = SimpleNamespace(source_dictionary=tiny.dictionary())
    model = RobertaMLMModel.build_model(config(**changes), task)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model.eval()


def tokens(*sizes, width=None, seed=1):
    """Right-padded random inputs (B, T)."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.full((len(sizes), width or max(sizes)), PAD)
    for row, size in enumerate(sizes):
        x[row, :size] = torch.randint(4, V, (size,), generator=generator)
    return x


def test_masked_rows_are_rows_of_all_logits():
    model, x = build(), tokens(7, 4, 6)
    index = torch.tensor([0, 5, 8, 19])
    everything, some = model(x), model(x, masked_index=index)
    assert everything.shape == (3, 7, V) and some.shape == (4, V)
    torch.testing.assert_close(some, everything.flatten(0, 1)[index])
    torch.testing.assert_close(model.project(model.mask_vector(x, index)), some)
    assert model(x, masked_index=index[:0]).shape == (0, V)


def test_the_head_sees_masked_rows_only():
    model, seen = build(), []
    model.lm_head.register_forward_hook(lambda *call: seen.append(call[1][0].shape))
    model(tokens(7, 4), masked_index=torch.tensor([3, 9]))
    assert seen == [(2, 20)]


def test_the_last_layer_computes_the_rows_asked_for_alone():
    model, x, seen = build(), tokens(7, 4), []
    for layer in model.encoder.layers:
        layer.ffn.register_forward_hook(lambda *call: seen.append(tuple(call[2].shape[:-1])))
    index = torch.tensor([3, 9, 10])
    model(x, masked_index=index)
    assert seen == [(11,), (11,), (3,)]  # of 14 positions, 3 are padding
    with pytest.raises(ValueError, match="of all positions"):
        model.encode(x, hidden=True, rows=index)


@pytest.mark.parametrize("asked", [None, [0, 5, 8, 18], [0, 20]])
def test_padding_is_left_out_and_changes_nothing(asked, monkeypatch):
    """Of a batch with padding, against each row alone, and gradients against the padded way."""
    model, sizes = build(), (7, 4, 6)
    x = tokens(*sizes)
    index = None if asked is None else torch.tensor(asked)
    logits, found = model(x, masked_index=index), []
    for at in range(21) if asked is None else asked:
        row, place = divmod(at, 7)
        if place < sizes[row]:
            alone = model(x[row : row + 1, : sizes[row]])[0, place]
            ours = logits[row, place] if asked is None else logits[asked.index(at)]
            torch.testing.assert_close(ours, alone, rtol=1e-4, atol=1e-5)
    for padding in (False, True):
        if padding:
            monkeypatch.setattr("fairseq_metro.models.roberta.model.leaves_out", lambda *_: False)
        model.zero_grad()
        logits = model(x, masked_index=index)
        (logits[x.ne(PAD)] if asked is None else logits[:1]).square().sum().backward()
        found.append({name: p.grad.clone() for name, p in model.named_parameters()})
    for name, gradient in found[0].items():
        torch.testing.assert_close(gradient, found[1][name], rtol=1e-3, atol=1e-4, msg=name)


def test_gradients_of_rows_are_those_of_all_logits():
    model, x, index = build(), tokens(7, 4), torch.tensor([3, 9, 10])
    found = []
    for logits in (model(x).flatten(0, 1)[index], model(x, masked_index=index)):
        model.zero_grad()
        logits.square().sum().backward()
        found.append({name: p.grad.clone() for name, p in model.named_parameters()})
    for name, gradient in found[0].items():
        torch.testing.assert_close(found[1][name], gradient, rtol=1e-4, atol=1e-5)


def test_states_and_scores_come_only_when_they_are_asked_for():
    model, x = build(), tokens(7, 4)
    plain = model.encode(x)
    assert plain.hidden == plain.attention == ()
    both = model.encode(x, hidden=True, attention=True)
    assert len(both.hidden) == 4 and len(both.attention) == 3
    real = x.ne(PAD)
    torch.testing.assert_close(both.last[real], plain.last[real])  # fused kernels or not
    assert both.hidden[-1] is both.last
    assert {scores.shape for scores in both.attention} == {(2, 4, 7, 7)}


def test_scores_equal_a_loop_in_float64():
    model, x = build().double().requires_grad_(False), tokens(5, 3)
    states = model.encode(x, hidden=True, attention=True)
    for layer, below, scores in zip(
        model.encoder.layers, states.hidden[:-1], states.attention, strict=True
    ):
        weight, bias = layer.self_attn.qkv_proj.weight, layer.self_attn.qkv_proj.bias
        for row in range(2):
            q, k = ((below[row] @ w.T + b).view(5, 4, 5)
                    for w, b in zip(weight.chunk(3)[:2], bias.chunk(3)[:2], strict=True))  # fmt: skip
            for head in range(4):
                for i in range(5):
                    for j in range(5):
                        expected = float(q[i, head] @ k[j, head]) / 5**0.5
                        assert abs(float(scores[row, head, i, j]) - expected) < 1e-9


def test_padding_on_either_side_changes_nothing():
    model, x = build(), tokens(6)
    expected = model(x)[0]
    right, left = torch.full((1, 10), PAD), torch.full((1, 10), PAD)
    right[0, :6], left[0, 4:] = x[0], x[0]
    torch.testing.assert_close(model(right)[0, :6], expected)
    torch.testing.assert_close(model(left)[0, 4:], expected)
    torch.testing.assert_close(model(x, padded=False)[0], expected)


def test_positions_count_tokens_from_the_padding_symbols_id():
    x = torch.tensor([[0, 5, PAD, 6, PAD], [PAD, PAD, 5, 0, 7]])
    expected = [[2, 3, 1, 4, 1], [1, 1, 2, 3, 4]]
    assert build().encoder.positions(x).tolist() == expected


def test_an_input_may_be_as_long_as_the_table_whatever_its_padding():
    model = build()
    assert len(model.encoder.embed_positions.weight) == 26  # two rows that no position has
    assert model(tokens(24, 3, width=32)).shape == (2, 32, V)
    with pytest.raises(UserError, match="an input of 25 tokens, but the model has 24 positions"):
        model(tokens(25))


def test_heads_that_do_not_share_the_width_are_refused():
    with pytest.raises(UserError, match="--embed-dim 20 is no multiple of --attention-heads 3"):
        build(attention_heads=3)


def test_dropout_is_on_in_training_only():
    model, x = build(), tokens(6)
    assert torch.equal(model(x), model(x))
    model.train()
    assert not torch.equal(model(x), model(x))
    assert not torch.equal(model.encode(x, attention=True).last, model.encode(x).last)


def test_new_parameters_are_berts():
    task = SimpleNamespace(source_dictionary=tiny.dictionary())
    model = RobertaMLMModel.build_model(config(embed_dim=64), task)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            assert parameter.eq(0).all(), name
        elif "norm" in name:
            assert parameter.eq(1).all(), name
        else:
            assert 0.015 < parameter.std() < 0.025, name
    for table in (model.encoder.embed_tokens, model.encoder.embed_positions):
        assert table.weight[PAD].eq(0).all()


# RobertaForMaskedLM of roberta-base, -large and distilroberta-base, less their row of token types.
PUBLISHED = {"base": 124_697_433 - 768, "large": 355_412_057 - 1024, "distil": 82_170_201 - 768}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_named_sizes(name):
    options = SimpleNamespace(ffn_dim=80) if name == "small" else SimpleNamespace()
    assert ARCH_MODEL_REGISTRY[f"roberta_mlm_{name}"] is RobertaMLMModel
    ARCH_CONFIG_REGISTRY[f"roberta_mlm_{name}"](options)
    cfg = RobertaMLMConfig(**vars(options))
    sizes = dataclasses.asdict(cfg)
    expected = {**ARCHITECTURES[name], **({"ffn_dim": 80} if name == "small" else {})}
    assert {key: sizes[key] for key in expected} == expected
    if name in PUBLISHED:
        words = type("Words", (), {"__len__": lambda _: 50_265, "pad": lambda _: 1})()
        with torch.device("meta"):
            model = RobertaMLMModel(cfg, words)
        assert sum(p.numel() for p in model.parameters()) == PUBLISHED[name]
