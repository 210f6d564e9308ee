"""On a GPU: scores and packed logits are those of the CPU."""

import pytest
import torch

from fairseq_metro.scoring import best
from tests import tiny
from tests.models.test_packing import packed, two_rows
from tests.scoring.test_choices import RAGGED, ours, random_examples

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU on this machine")


def test_scores_on_a_gpu_are_those_of_the_cpu():
    model, (inputs, targets) = tiny.t5(), random_examples(RAGGED)
    expected, found = ours(model, inputs, targets), ours(model.cuda(), inputs, targets)
    for row, other in zip(expected, found, strict=True):
        assert other.device.type == "cpu"
        torch.testing.assert_close(row, other, rtol=1e-4, atol=1e-4)
    assert best(found) == best(expected)


def test_packed_logits_on_a_gpu_are_those_of_the_cpu():
    model, batch = tiny.t5(), packed(two_rows())
    with torch.no_grad():
        expected = model(**batch)[0]
        batch = {name: x if x is None else x.cuda() for name, x in batch.items()}
        found = model.cuda()(**batch)[0].cpu()
    real = batch["target_segments"].gt(0).cpu()
    torch.testing.assert_close(found[real], expected[real], rtol=1e-4, atol=1e-4)
