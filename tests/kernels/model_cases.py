"""METRO-T5 trained by the fused kernels and by their references, under the same dropout masks.

Run by test_model.py in a process of its own.
"""

import pytest
import torch
from fairseq.utils import move_to_cuda

from fairseq_metro.criterions.metro_t5 import MetroT5Criterion
from fairseq_metro.kernels import attention, choice, head_loss, residual_norm
from fairseq_metro.modules import attention as attention_module
from fairseq_metro.modules import heads, norm
from fairseq_metro.optim.fused_adam import FusedAdamW
from tests import tiny
from tests.kernels.apart import device, needs_gpu
from tests.modules.compiled_layers import Asked

# One layer of a kind: the interpreter takes its time for every head of every input.
SIZES = dict(encoder_layers=1, decoder_layers=1, auxiliary_layers=1)
ROWS = 2

FUSED = (
    (attention_module, attention, "attention"),
    (norm, residual_norm, "residual_norm"),
    (heads, head_loss, "head_loss"),
)


def reference_of(kernels, operation, calls):
    """The reference in the fused version's place; it drops the same elements."""
    reference = getattr(kernels, f"{operation}_reference")

    def run(*inputs, **options):
        calls[operation] = calls.get(operation, 0) + 1
        if operation == "residual_norm" and options["dropout"]:
            options["seed"] = attention.draw_seed(inputs[0].device)
        return reference(*inputs, **options)

    return run


def train(steps, patch, fused, dtype=torch.float32, **changes):
    """Losses and counts of every step; how often each reference was called."""
    calls = {}
    torch.manual_seed(1)  # the initial weights
    with patch.context() as patched:
        for module, kernels, operation in FUSED if not fused else ():
            patched.setattr(module, f"{operation}_fused", reference_of(kernels, operation, calls))
        sizes = {**SIZES, "dropout": 0.1, "attention_dropout": 0.1, **changes}
        model = tiny.model(**sizes).train()
        model, data = model.to(device(), dtype), tiny.dataset()
        criterion = MetroT5Criterion(tiny.task(), 50.0, 1.0, "yes")
        # A large eps: a gradient that is rounding alone makes no step of full size.
        optimizer = FusedAdamW(model.parameters(), lr=1e-3, eps=1e-4)
        torch.manual_seed(5)
        logs = []
        for step in range(steps):
            batch = data.collater([data[(ROWS * step + i) % len(data)] for i in range(ROWS)])
            if device() == "cuda":
                batch = move_to_cuda(batch)
            loss, size, log = criterion(model, batch)
            optimizer.zero_grad()
            (loss / max(1, size)).backward()
            optimizer.step()
            logs.append({name: float(x) for name, x in log.items() if x is not None
                         and not (torch.is_tensor(x) and x.numel() > 1)})  # fmt: skip
    return logs, calls


def assert_same_course(ours, expected, rel):
    for step, (a, b) in enumerate(zip(ours, expected, strict=True)):
        for name in ("loss", "mlm_loss", "rtd_loss", "clm_loss", "mlm_entropy"):
            assert a[name] == pytest.approx(b[name], rel=rel), (step, name)
        if rel < 1e-3:
            assert a["n_replaced"] == b["n_replaced"], step


@pytest.fixture(autouse=True)
def decided_anew():
    choice.forget()
    yield
    choice.forget()


def test_twenty_steps_are_the_references(monkeypatch):
    ours, _ = train(20, monkeypatch, fused=True)
    expected, calls = train(20, monkeypatch, fused=False)
    assert calls.keys() == {operation for _, _, operation in FUSED}
    assert_same_course(ours, expected, 1e-4)
    assert ours[-1]["loss"] < ours[0]["loss"]


def test_compiled_layers_train_the_same(monkeypatch):
    """torch.compile around the kernels reads each layer into one graph (fullgraph)."""
    sizes = dict(SIZES, encoder_layers=2, auxiliary_layers=2, decoder_layers=2)
    expected, _ = train(2, monkeypatch, fused=True, **sizes)
    backend = "inductor" if device() == "cuda" else "aot_eager"  # the interpreter is no compiler
    with Asked(monkeypatch, backend, kernels="fused") as asked:
        ours, _ = train(2, monkeypatch, fused=True, **sizes)
    assert set(asked.kinds) == {"EncoderLayer", "DecoderLayer"}
    assert_same_course(ours, expected, 1e-4)


@pytest.mark.parametrize("changes", [dict(mlm_head="transform"), dict(checkpoint_activations=True)])
def test_other_heads_and_recomputed_layers(changes, monkeypatch):
    ours, _ = train(2, monkeypatch, fused=True, **changes)
    expected, _ = train(2, monkeypatch, fused=False, **changes)
    assert_same_course(ours, expected, 1e-4)


@needs_gpu
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_two_hundred_steps_in_half_precision(dtype, monkeypatch):
    """Step by step until rounding flips a draw of replacements; then how far both come: two courses
    of the references alone, one of them with attention in float32, end up to 13 % apart."""
    sizes = dict(embed_dim=64, ffn_dim=128)  # heads of 32
    ours, _ = train(200, monkeypatch, fused=True, dtype=dtype, **sizes)
    expected, _ = train(200, monkeypatch, fused=False, dtype=dtype, **sizes)
    assert_same_course(ours[:10], expected[:10], 2e-2)
    head, *tails = (
        sum(log["loss"] / log["sample_size"] for log in logs)
        for logs in (expected[:20], ours[-20:], expected[-20:])
    )
    assert tails[0] == pytest.approx(tails[1], rel=0.25) and max(tails) < 0.5 * head
