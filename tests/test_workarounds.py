"""Each workaround: what stock does stays wrong without it, and is right with it."""

import pytest
import torch

from fairseq_metro import workarounds
from fairseq_metro.errors import UserError

LAUNCHER = ("WORLD_SIZE", "RANK", "LOCAL_RANK")


@pytest.fixture
def launcher(monkeypatch):
    """Set the environment of a launcher; torch.distributed is as the second argument says."""

    def start(environment, initialized=False):
        for name in LAUNCHER:
            monkeypatch.delenv(name, raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(workarounds.dist, "is_initialized", lambda: initialized)

    return start


@pytest.mark.parametrize("rank", [{"RANK": "0"}, {"LOCAL_RANK": "1"}, {"RANK": "1"}])
def test_two_processes_that_do_not_know_of_each_other_are_refused(launcher, rank):
    launcher({"WORLD_SIZE": "2", **rank})
    with pytest.raises(UserError) as error:
        workarounds.refuse_independent_copies()
    assert "\n" not in str(error.value)
    for word in ("WORLD_SIZE=2", "--distributed-no-spawn", "--ddp-backend", "train_scripts/"):
        assert word in str(error.value)


@pytest.mark.parametrize(
    "environment",
    [{}, {"WORLD_SIZE": "2"}, {"WORLD_SIZE": "1", "RANK": "0"}, {"WORLD_SIZE": "", "RANK": "0"}],
)
def test_one_process_is_let_pass(launcher, environment):
    launcher(environment)
    workarounds.refuse_independent_copies()


def test_processes_that_know_of_each_other_are_let_pass(launcher):
    launcher({"WORLD_SIZE": "2", "RANK": "1"}, initialized=True)
    workarounds.refuse_independent_copies()


def masks(seed, update_num, rank, micro_batches=2):
    """Dropout masks of one update, drawn as fairseq's trainer and our task go about it."""
    torch.manual_seed(seed + update_num)  # Trainer._set_seed
    drawn = []
    for _ in range(micro_batches):
        workarounds.own_dropout_stream(seed, update_num, rank)
        drawn.append(torch.nn.functional.dropout(torch.ones(64), 0.5))
    return torch.cat(drawn).tolist()


def test_ranks_updates_and_micro_batches_all_draw_masks_of_their_own():
    streams = [masks(seed, update, rank) for seed in (1, 2) for update in (0, 1, 2, 3)
               for rank in (0, 1, 2)]  # fmt: skip
    # Rank 0 keeps fairseq's own seed + update_num, where (1, 1) and (2, 0) are one: 3 such pairs.
    assert len({tuple(stream) for stream in streams}) == len(streams) - 3
    for stream in streams:
        assert stream[:64] != stream[64:]


def test_a_repeated_update_draws_the_same_masks_again():
    assert masks(1, 5, 3) == masks(1, 5, 3)


def test_rank_0_keeps_the_masks_of_stock_fairseq():
    torch.manual_seed(6)
    stock = torch.nn.functional.dropout(torch.ones(64), 0.5).tolist()
    assert masks(1, 5, 0)[:64] == stock


def test_a_negative_seed_is_mixed_too():
    assert masks(-3, 1, 1) != masks(-3, 1, 0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_the_gpu_draws_masks_of_its_own_too():
    drawn = []
    for rank in (0, 1):
        torch.manual_seed(1)
        workarounds.own_dropout_stream(1, 0, rank)
        drawn.append(torch.nn.functional.dropout(torch.ones(64, device="cuda"), 0.5).tolist())
    assert drawn[0] != drawn[1]
