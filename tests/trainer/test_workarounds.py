"""Each workaround: what stock does stays wrong without it, and is right with it."""

import pickle
from argparse import Namespace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from fairseq import options
from fairseq.file_io import PathManager
from fairseq.logging.progress_bar import format_stat
from fairseq.models import ARCH_CONFIG_REGISTRY
from fairseq.optim.dynamic_loss_scaler import DynamicLossScaler

import fairseq_metro.models.metro_t5  # noqa: F401  registers the architectures
from fairseq_metro.common.errors import UserError
from fairseq_metro.trainer import workarounds

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


def parsed(**options):
    """The options as fairseq-train's parser leaves them before it asks the architecture."""
    return Namespace(**{"bf16": False, "tpu": False, "arch": "metro_t5_tiny", **options})


@pytest.mark.parametrize("architecture", ["metro_t5", "metro_t5_tiny", "t5_transformer_base"])
def test_bf16_asks_for_no_tpu_where_there_is_none(architecture, monkeypatch):
    args = parsed(bf16=True, tpu=True, arch=architecture)
    monkeypatch.setattr(workarounds, "has_xla", lambda: True)
    ARCH_CONFIG_REGISTRY[architecture](args)
    assert args.tpu  # a machine with torch_xla keeps what fairseq made of it
    monkeypatch.setattr(workarounds, "has_xla", lambda: False)
    ARCH_CONFIG_REGISTRY[architecture](args)
    assert args.bf16 and not args.tpu


def test_a_tpu_that_was_asked_for_without_bf16_is_left_alone(monkeypatch):
    monkeypatch.setattr(workarounds, "has_xla", lambda: False)
    args = parsed(tpu=True)
    workarounds.undo_tpu_of_bf16(args)
    assert args.tpu


def test_stock_fairseq_still_takes_bf16_for_a_tpu():
    """Should this fail, the workaround has had its day."""
    parser = options.get_training_parser()
    words = ["data", "--bf16", "--arch=transformer_tiny", "--task=translation"]
    assert options.parse_args_and_arch(parser, words).tpu


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU leaves an overflowing update out")
def test_an_overflow_on_a_cpu_is_explained_and_other_gradients_pass():
    optimizer = SimpleNamespace(scaler=DynamicLossScaler(init_scale=128.0))
    for _ in range(2):  # wrapped once
        workarounds.explain_fp16_overflow_on_cpu(optimizer)
    optimizer.scaler.check_overflow(3.0)
    with pytest.raises(UserError, match=r"loss scale of 128, .* give --bf16"):
        optimizer.scaler.check_overflow(float("inf"))


def test_an_optimizer_without_a_loss_scale_is_left_alone():
    workarounds.explain_fp16_overflow_on_cpu(SimpleNamespace())
    workarounds.explain_fp16_overflow_on_cpu(SimpleNamespace(scaler=None))


def test_a_copied_checkpoint_takes_its_place_whole(tmp_path, monkeypatch):
    source, last = tmp_path / "checkpoint_1_2.pt", tmp_path / "checkpoint_last.pt"
    source.write_bytes(b"new" * 1000)
    last.write_bytes(b"old")
    with open(last, "rb") as reader:  # one who reads while it is written keeps what he opened
        assert PathManager.copy(str(source), str(last), overwrite=True)
        assert reader.read() == b"old"
    assert last.read_bytes() == source.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == [source.name, last.name]

    def half(_, target):
        Path(target).write_bytes(b"ha")
        raise OSError(28, "No space left on device", target)

    monkeypatch.setattr("shutil.copyfile", half)
    with pytest.raises(OSError):
        PathManager.copy(str(source), str(last), overwrite=True)
    assert last.read_bytes() == source.read_bytes()


def test_a_progress_bar_prints_no_tensor_of_many_numbers():
    """fairseq-validate logs each batch's output as it is: stock prints every number."""
    output = {"loss": torch.tensor(1.5), "n": 3, "histogram": torch.ones(2, 2048).double()}
    assert len(str(format_stat(output["histogram"]))) > 16000
    brief = workarounds.printed_briefly(output)
    assert str(format_stat(brief["histogram"])) == "(4096 numbers)"
    assert format_stat(brief["loss"]) == 1.5 and format_stat(brief["n"]) == "3"
    # Sums, and what is sent to other processes, are as without it.
    sent = pickle.loads(pickle.dumps(brief["histogram"]))
    total = sum(one["histogram"] for one in (brief, {"histogram": sent}))
    assert torch.equal(total.as_subclass(torch.Tensor), 2 * output["histogram"])
