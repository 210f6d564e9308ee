"""On a GPU: nothing in forward, loss and backward waits for the device."""

import pytest
import torch
from fairseq.utils import move_to_cuda

from fairseq_metro.criterions.metro_t5 import MetroT5Criterion
from tests import tiny

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU on this machine")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_training_step_never_waits_for_the_device(dtype):
    model = tiny.model(embed_dim=64, ffn_dim=128).to("cuda", dtype).train()
    criterion = MetroT5Criterion(tiny.task(), 50.0, 1.0, "recipe")
    samples = [move_to_cuda(tiny.batch(size)) for size in (3, 4)]
    criterion(model, samples[0])[0].backward()  # first use compiles and allocates
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        loss, _, logs = criterion(model, samples[1])
        loss.backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert torch.isfinite(loss)
    assert all(torch.isfinite(value).all() for value in logs.values() if torch.is_tensor(value))


def test_gpu_and_cpu_losses_agree():
    model, sample = tiny.model(), tiny.batch()
    criterion = MetroT5Criterion(tiny.task(), 50.0, 1.0, "recipe")
    expected = criterion(model, sample)[0]
    ours = criterion(model.cuda(), move_to_cuda(sample))[0].cpu()
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)
