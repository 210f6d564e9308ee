"""Attention's kernels: in the interpreter, on a GPU where there is one; its dropout, in plain torch."""

import pytest
import torch

from fairseq_metro.kernels.attention import unfit
from fairseq_metro.kernels.attention_mask import keep_mask, keep_scale, lowest_kept
from tests.kernels.apart import run_apart

# Other processes of this machine may be busy too: a limit for the slowest.
pytestmark = pytest.mark.timeout(1800)


@pytest.mark.parametrize("interpreter", [True, False], ids=["in the interpreter", "on a GPU"])
@pytest.mark.parametrize(
    "name", ["attention_numbers.py", "attention_dropout.py", "attention_model.py"]
)
def test_numbers_gradients_and_dropout_masks(name, interpreter):
    run_apart(name, interpreter=interpreter)


def test_machine_code_for_gpus_that_are_not_there():
    run_apart("attention_compiled.py", interpreter=False, gpu=False)


@pytest.mark.slow
def test_machine_code_of_every_configuration():
    run_apart("attention_compiled.py", "-m", "slow", interpreter=False, gpu=False)


SEED = torch.tensor([98765])


@pytest.mark.parametrize("dropout", [0.1, 0.5, 0.9])
def test_as_many_weights_are_kept_as_asked_for(dropout):
    kept = keep_mask(SEED, 2, 2, 500, 510, dropout)
    n, p = kept.numel(), dropout
    assert abs(kept.float().mean() - (1 - p)) < 4 * (p * (1 - p) / n) ** 0.5
    assert abs(1 / keep_scale(dropout) - (1 - p)) < 2**-16


def test_weights_are_dropped_independently():
    kept = keep_mask(SEED, 2, 2, 512, 512, 0.5).float() * 2 - 1
    bound = 4 / kept.numel() ** 0.5
    for dim in range(4):
        shifted = kept.roll(1, dim)
        assert abs((kept * shifted).mean()) < bound, dim
    for steps in (8, 64):  # keys of one call, and of the next block
        assert abs((kept * kept.roll(steps, 3)).mean()) < bound
    for other in (SEED + 1, SEED + 2**32):
        assert abs((kept * (keep_mask(other, 2, 2, 512, 512, 0.5).float() * 2 - 1)).mean()) < bound


def test_over_many_seeds_every_weight_is_kept_equally_often():
    kept = torch.stack([keep_mask(SEED + n, 1, 1, 20, 70, 0.3) for n in range(400)]).float()
    assert (kept.mean(0) - 0.7).abs().max() < 5 * (0.21 / 400) ** 0.5


def test_a_mask_does_not_depend_on_the_lengths():
    large = keep_mask(SEED, 1, 2, 30, 150, 0.3)
    assert torch.equal(keep_mask(SEED, 1, 2, 7, 65, 0.3), large[:, :, :7, :65])
    assert lowest_kept(0.99999) < 2**16  # something may be kept still


def test_what_the_kernels_do_not_take_is_said():
    assert unfit(torch.float32, 64, "cuda") is None
    assert "float64" in unfit(torch.float64, 64, "cpu")
    assert "256 wide" in unfit(torch.float16, 256, "cuda")
