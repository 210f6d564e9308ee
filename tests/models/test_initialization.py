"""Initial weights: their standard deviations, held to the rules of the docstrings."""

import math

import pytest
import torch
from torch import nn

from fairseq_metro.models.metro_t5 import ARCHITECTURES, MetroT5Config, MetroT5Model
from fairseq_metro.models.metro_t5.initialization import INITIALIZATIONS
from fairseq_metro.models.symbols import Symbols
from fairseq_metro.modules.heads import RTDHead
from fairseq_metro.modules.transformer import CrossAttention, SelfAttention

V = 3000


def model_of(initialization, **changes):
    torch.manual_seed(1)
    sizes = {**ARCHITECTURES["tiny"], "initialization": initialization, **changes}
    model = MetroT5Model(MetroT5Config(**sizes), Symbols(V))
    INITIALIZATIONS[initialization](model)
    return model


def close(weight, std):
    """Whether a sample's spread is that of N(0, std): within five standard errors."""
    count = weight.numel()
    spread = weight.double().square().mean().sqrt().item()
    return abs(spread / std - 1) < 5 / math.sqrt(2 * count)


def packed_of(model):
    """{weight: outputs of one of its parts} of the projections that are several in one."""
    packed = {}
    for module in model.modules():
        if isinstance(module, SelfAttention):
            packed[module.qkv_proj.weight] = module.qkv_proj.out_features // 3
        elif isinstance(module, CrossAttention):
            packed[module.kv_proj.weight] = module.kv_proj.out_features // 2
    return packed


def last_layers(model):
    return {id(m.out) for m in model.modules() if isinstance(m, RTDHead)}


def test_the_papers_linear_maps_have_the_spread_of_their_outputs():
    model = model_of("paper")
    packed, zero, looked_at = packed_of(model), last_layers(model), 0
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and id(module) not in zero:
            outputs = packed.get(module.weight, module.out_features)
            assert close(module.weight, (2 * outputs) ** -0.5), name
            assert module.bias is None or not module.bias.any(), name
            looked_at += 1
    assert looked_at > 20


def test_the_papers_embeddings_have_the_spread_of_berts_and_a_pad_row_of_zeros():
    for name, module in model_of("paper").named_modules():
        if isinstance(module, nn.Embedding):
            rows = [row for row in range(module.num_embeddings) if row != module.padding_idx]
            assert close(module.weight[rows], 0.02), name
            assert module.padding_idx is None or not module.weight[module.padding_idx].any()


def test_the_releases_tables():
    model = model_of("release")
    table = model.encoder.embed_tokens
    assert close(table.weight, (2 * V) ** -0.5)
    assert table.weight[table.padding_idx].any()  # drawn like the others
    for part in (model.encoder, model.decoder):
        positions = part.embedding.positions
        bound = math.sqrt(3 / (2 * positions.embedding_dim))  # of a uniform distribution
        assert close(positions.weight, bound / math.sqrt(3))
        assert 0.99 * bound < positions.weight.abs().max() <= bound


def test_the_releases_auxiliary_model_is_drawn_as_berts():
    model = model_of("release", share_auxiliary="token")
    shared = {id(module) for module in model.encoder.modules()}
    for name, module in model.auxiliary.named_modules():
        packed = any(word in name for word in ("qkv_proj", "kv_proj"))
        if isinstance(module, nn.Linear) and id(module) not in shared and not packed:
            assert close(module.weight, 0.02), name


@pytest.mark.parametrize("initialization", ["paper", "release"])
def test_the_rtd_heads_last_layer_begins_at_zero(initialization):
    model = model_of(initialization)
    (head,) = (module for module in model.modules() if isinstance(module, RTDHead))
    assert not head.out.weight.any() and not head.out.bias.any()
