"""planning/costs.py: estimates against the facts' arithmetic, the paper's hours, and autograd."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from fairseq_metro.data.span_corruption import choose_spans
from fairseq_metro.models.metro_t5 import MetroT5Config, MetroT5Model, T5TransformerConfig
from fairseq_metro.models.metro_t5.architectures import sizes_of
from fairseq_metro.recipes import costs
from fairseq_metro.recipes.plan import AUTHORS_RUNS
from fairseq_metro.recipes.table import pretraining


def config(size, recipe="paper"):
    return MetroT5Config(**sizes_of(size, MetroT5Config, recipe))


# Parameters


def test_the_parts_add_up_to_the_counts_of_the_released_models():
    """The release's own count, less what ours lacks: two position rows each of three tables."""
    found = costs.parameters("metro_t5", config("base", "release"), 33280)
    assert found["token table"] == 25_559_040
    main = sum(found[part] for part in ("token table", "encoder", "decoder"))
    assert main == 225_618_432 - 2 * 2 * 768
    assert found["auxiliary model"] + found["MLM head"] == 29_767_936 - 2 * 768
    assert found["RTD head"] == 592_897
    t5 = T5TransformerConfig(**sizes_of("base", T5TransformerConfig))
    assert sum(costs.parameters("t5", t5, 33280).values()) == main


# Floating-point operations


def test_base_takes_1597_mflop_for_a_token():
    for recipe in ("paper", "release"):
        flops = costs.flops_per_token("metro_t5", config("base", recipe), 512, 32768)
        assert flops == pytest.approx(1597e6, rel=0.005)
    everywhere = costs.flops_per_token(
        "metro_t5", config("base", "release"), 512, 32768, clm_share=1
    )
    assert everywhere == pytest.approx(1725e6, rel=0.005)


@pytest.mark.parametrize(
    "size, vocabulary, at_masked, at_all",
    [("base", 32768, 0.140, 0.151), ("basepp", 64000, 0.150, 0.173), ("largepp", 64000, 0.089, 0.095)],
)  # fmt: skip
def test_the_authors_hours_give_their_utilization(size, vocabulary, at_masked, at_all):
    row, (gpus, hours) = pretraining("metro_t5", size), AUTHORS_RUNS[size]
    for share, expected in ((None, at_masked), (1.0, at_all)):
        cfg = config(size)
        flops = costs.flops_per_token("metro_t5", cfg, 512, vocabulary, clm_share=share)
        mfu = costs.model_flops_utilization(row.updates * row.update, gpus, hours, flops, 312)
        assert mfu == pytest.approx(expected, abs=0.001)


# Activations


def saved_bytes(model, run):
    """Bytes of the storages that autograd saves in ``run()``, parameters and buffers aside."""
    own = {p.untyped_storage().data_ptr() for p in [*model.parameters(), *model.buffers()]}
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        result = run()
    return sum(storage.nbytes() for storage in kept.values()), result


SMALL = MetroT5Config(
    embed_dim=96, ffn_dim=256, attention_heads=3, encoder_layers=3, decoder_layers=3,
    auxiliary_layers=2, max_positions=64, attention_dropout=0.0,
)  # fmt: skip


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize(
    "changes",
    [
        {"dropout": 0.0},
        {"dropout": 0.1},
        {"mlm_head": "transform", "clm_head": "projection", "rtd_head": "simple"},
        {"embed_dim": 192, "encoder_layers": 1, "decoder_layers": 5},
        {"checkpoint_activations": True, "encoder_layers": 6, "decoder_layers": 6},
    ],
)
def test_activations_are_what_autograd_keeps_within_three_percent(changes, padded):
    """In float32; a CPU's dropout masks are floats.

    A CPU has fused attention only without dropout of its weights and for a bias without gradient.
    """
    cfg = replace(SMALL, **changes)
    model = MetroT5Model(cfg, costs.Symbols(50)).train()
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("relative_positions" not in name)
    rows, length = 6, 64
    tokens = torch.randint(4, 50, (rows, length))
    masked = torch.randperm(rows * length)[: round(0.15 * rows * length)]
    if padded:
        tokens[:, -1] = 1
    run = dict(masked_index=masked, uniform=torch.rand(len(masked)).double(), padded=padded)

    def logits():
        out = model(tokens, None, tokens, **run)
        return out.mlm_logits, out.clm_logits

    measured, (_, clm_logits) = saved_bytes(model, logits)
    assert clm_logits.shape == (len(masked), 50)
    mask = 4 if cfg.dropout > 0 else 0
    estimate = costs.kept_bytes("metro_t5", cfg, length, 4, mask=mask, padded=padded)
    assert estimate * rows * length == pytest.approx(measured, rel=0.03)


def test_halving_an_element_halves_what_is_not_statistics():
    whole, half = (costs.activation_bytes("metro_t5", config("base"), 512, e) for e in (4, 2))
    assert 0.5 * whole < half < 0.53 * whole


def test_recomputation_keeps_little():
    cfg = config("base")
    lean = replace(cfg, checkpoint_activations=True)
    sizes = [costs.activation_bytes("metro_t5", c, 512, 2) for c in (cfg, lean)]
    assert sizes[1] < 0.25 * sizes[0]


def test_the_baselines_source_and_target_have_the_shares_that_are_assumed():
    ordinary = np.ones(512, dtype=bool)
    ordinary[0] = False
    sources = targets = 0
    for seed in range(100):
        masked, starts = choose_spans(
            ordinary, np.random.default_rng(seed), mask_prob=0.15, empty_prob=0.1, longest_span=5,
            sentinels=512, longest_source=512,
        )  # fmt: skip
        sources += 512 - masked.sum() + len(starts)
        targets += masked.sum() + len(starts) + 1
    assert sources / 51200 == pytest.approx(costs.T5_SOURCE_SHARE, abs=0.01)
    assert targets / 51200 == pytest.approx(costs.T5_TARGET_SHARE, abs=0.01)
