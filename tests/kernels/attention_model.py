"""Whole models trained with the fused attention and with its reference; run by test_attention.py."""

import pytest
import torch

from fairseq_metro.criterions.metro_t5 import MetroT5Criterion
from fairseq_metro.kernels import choice
from fairseq_metro.kernels.attention import attention_reference
from fairseq_metro.models.hf_t5 import HfT5Config, HfT5Model
from fairseq_metro.models.hf_t5 import layers as hf_layers
from fairseq_metro.modules import attention as attention_module
from tests import tiny
from tests.kernels.apart import device, needs_gpu

# The interpreter takes its time for every head of every input.
ROWS = HEADS = 4 if torch.cuda.is_available() else 1
REFERENCES = (attention_module, hf_layers)


def metro():
    sizes = dict(encoder_layers=1, decoder_layers=1, attention_heads=HEADS)
    sizes["relative_position_buckets"] = 4
    model = tiny.model(dropout=0.1, attention_dropout=0.2, **sizes)
    criterion = MetroT5Criterion(tiny.task(), 50.0, 1.0, "recipe")
    return model, lambda sample: criterion(model, sample)[0], tiny.batch


def t5():
    cfg = HfT5Config(
        embed_dim=16, ffn_dim=24, attention_heads=HEADS, head_dim=8, encoder_layers=1, decoder_layers=1,
        attention_dropout=0.2, relative_position_buckets=4, relative_position_max_distance=20,
    )  # fmt: skip
    model = HfT5Model.build_model(cfg, tiny.task())

    def packed(size=2):
        """Two examples in every row, and padding."""
        tokens = torch.randint(4, 34, (size, 20))
        segments = torch.tensor([[1] * 8 + [2] * 9 + [0] * 3]).repeat(size, 1)
        return {"tokens": tokens, "segments": segments if torch.rand(()) < 0.5 else None}

    def loss(sample):
        tokens, segments = sample["tokens"], sample["segments"]
        options = {}
        if segments is not None:
            options = dict(source_segments=segments, target_segments=segments)
        logits = model(tokens, None, tokens, **options)[0]
        seen = torch.ones_like(tokens).bool() if segments is None else segments > 0
        return torch.nn.functional.cross_entropy(logits[seen], tokens[seen], reduction="sum")

    return model, loss, packed


def moved(sample, place):
    if isinstance(sample, dict):
        return {name: moved(value, place) for name, value in sample.items()}
    return sample.to(place) if isinstance(sample, torch.Tensor) else sample


def losses(build, steps, dtype=torch.float32):
    """The losses of training, and the weights after it."""
    torch.manual_seed(1)
    model, loss, draw = build()
    model = model.to(device(), dtype).train()
    # Not Adam: it makes steps of full size of gradients that are rounding alone.
    optimizer = torch.optim.SGD(model.parameters(), 1e-3)
    torch.manual_seed(5)
    samples = [moved(draw(ROWS), device()) for _ in range(3)]
    seen = []
    for step in range(steps):
        torch.manual_seed(step)
        value = loss(samples[step % 3])
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        seen.append(float(value.detach()))
    return torch.tensor(seen), [p.detach().clone() for p in model.parameters()]


@pytest.fixture(autouse=True)
def attention_alone(monkeypatch):
    """The other operations run in torch: this is about attention, and the interpreter is slow."""
    monkeypatch.setenv(
        choice.VARIABLE, "attention=fused,residual_norm=reference,head_loss=reference"
    )
    choice.forget()
    yield
    choice.forget()


def compare(monkeypatch, build, steps, dtype, tolerance):
    calls, fused = [], attention_module.attention_fused

    def counted(*inputs, **options):
        calls.append(options["dropout"])
        return fused(*inputs, **options)

    for module in REFERENCES:
        monkeypatch.setattr(module, "attention_fused", counted)
    found, weights = losses(build, steps, dtype)
    assert len(calls) >= 3 * steps and max(calls) == 0.2
    for module in REFERENCES:
        monkeypatch.setattr(module, "attention_fused", attention_reference)
    expected, others = losses(build, steps, dtype)
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=0)
    assert found[-1] != found[0]
    return weights, others


@pytest.mark.parametrize("build", [metro, t5])
def test_twenty_training_steps_are_those_of_the_reference_with_the_same_masks(monkeypatch, build):
    weights, others = compare(monkeypatch, build, 20, torch.float32, 1e-4)
    for ours, theirs in zip(weights, others, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


@needs_gpu
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("build, steps", [(metro, 10), (t5, 200)])
def test_a_course_on_a_gpu(monkeypatch, build, steps, dtype):
    """METRO-T5's draws of replacements turn on rounding: after some 15 steps of half precision two
    courses of it part, whatever computes them; model_cases.py has its 200."""
    compare(monkeypatch, build, steps, dtype, 2e-2)
