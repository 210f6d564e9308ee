"""fairseq's trainer modes on our task: each trains as float32 does, or is refused in one line."""

import json
import sys
from types import SimpleNamespace

import pytest
import torch
from fairseq.trainer import Trainer
from fairseq.utils import apply_to_sample

from fairseq_metro.common.errors import UserError, user_message
from fairseq_metro.tasks import trainer_modes
from fairseq_metro.tasks.trainer_modes import MODES, check_trainer_modes
from tests import tiny
from tests.training import ROOT, call, command, equal, parameters, same_number, spawn, train

GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU on this machine")
SHORT = ["--max-update=4", "--disable-validation", "--no-initial-validation"]
T5 = ["--task=t5", "--criterion=t5"]


@pytest.fixture(scope="module")
def plain(tmp_path_factory, data):
    """Four updates in float32, dropout on: the log and the folder."""
    folder = tmp_path_factory.mktemp("plain")
    return train(data, folder, *SHORT), folder


def agree(ours, theirs, tolerance):
    assert ours.keys() == theirs.keys() and len(ours) == 4
    for update in ours:
        assert same_number(ours[update], theirs[update], rel=tolerance), (update, ours, theirs)


# Half precision draws other replacements now and then (a sum of probabilities rounds past the
# uniform number), each of which moves a loss of 50 RTD terms: hence per cent, not its 8 or 11 bits.
HALF = [
    (["--memory-efficient-fp16"], 0.01),
    (["--fp16", "--fp16-no-flatten-grads"], 0.01),
    (["--bf16"], 0.02),
    (["--memory-efficient-bf16"], 0.02),
]


@pytest.mark.parametrize("mode, tolerance", HALF, ids=lambda value: str(value))
def test_half_precision_trains_on_a_cpu_as_float32_does(mode, tolerance, plain, data, tmp_path):
    log = train(data, tmp_path, *SHORT, *mode)
    agree(log.losses(), plain[0].losses(), tolerance)
    state = torch.load(tmp_path / "checkpoint_last.pt", weights_only=True)
    assert state["cfg"]["common"]["tpu"] is False
    assert not equal(state["model"], parameters(plain[1] / "checkpoint_last.pt"))


def test_amp_on_a_cpu_is_float32(plain, data, tmp_path):
    log = train(data, tmp_path, *SHORT, "--amp")
    assert log.losses() == plain[0].losses()
    saved = [parameters(folder / "checkpoint_last.pt") for folder in (plain[1], tmp_path)]
    assert equal(*saved)


@pytest.mark.parametrize("mode", [mode for mode, _ in HALF], ids=str)
def test_a_half_precision_run_resumes_exactly(mode, data, tmp_path):
    options = ["--disable-validation", "--no-initial-validation", *mode]
    straight = train(data, tmp_path / "a", "--max-update=4", *options)
    train(data, tmp_path / "b", "--max-update=2", *options)
    resumed = train(data, tmp_path / "b", "--max-update=4", *options)
    assert resumed.losses() == {update: straight.losses()[update] for update in (3, 4)}
    a, b = (parameters(tmp_path / name / "checkpoint_last.pt") for name in "ab")
    assert equal(a, b)


def test_a_bfloat16_model_of_no_named_size_is_no_tpu_either(data, tmp_path):
    sizes = ["--encoder-layers=1", "--decoder-layers=1", "--auxiliary-layers=1"]
    options = [*SHORT, "--max-update=1", "--no-save", "--bf16", *sizes]
    assert len(train(data, tmp_path, *options, architecture="metro_t5").losses()) == 1


def test_the_options_of_table_4_train_in_half_precision_with_recomputed_activations(data, tmp_path):
    options = ["--copy-mechanism", "--weighted-lm-loss=yes", "--clm-positions=all", *SHORT]
    expected = train(data, tmp_path, *options, "--no-save").losses()
    half = ["--bf16", "--checkpoint-activations", "--no-save"]
    agree(train(data, tmp_path, *options, *half).losses(), expected, 0.02)


@pytest.mark.parametrize("objective", ["metro_t5", "t5"])
def test_recomputed_activations_change_nothing(objective, plain, data, tmp_path):
    words = [] if objective == "metro_t5" else T5
    name = "metro_t5_tiny" if objective == "metro_t5" else "t5_transformer_tiny"
    runs = []
    for option in ([], ["--checkpoint-activations"]):
        folder = tmp_path / str(len(runs))
        log = train(data, folder, *SHORT, *words, *option, architecture=name)
        runs.append((log.losses(), parameters(folder / "checkpoint_last.pt")))
    assert runs[0][0] == runs[1][0]
    assert equal(runs[0][1], runs[1][1])


def test_no_number_of_a_batch_is_cast():
    """The uniforms that draw the replacements stay float64 in every mode."""
    sample = tiny.batch()
    assert sample["net_input"]["uniform"].dtype == torch.float64
    common = SimpleNamespace(fp16=True, bf16=False)
    trainer = SimpleNamespace(cfg=SimpleNamespace(common=common))
    cast = Trainer._fp_convert_sample(trainer, sample)

    def kinds(batch):
        found = []
        apply_to_sample(lambda tensor: found.append(tensor.dtype) or tensor, batch)
        return found

    assert kinds(cast) == kinds(sample)


# Refused


def modes(**changes):
    return SimpleNamespace(**{**dict.fromkeys(MODES, False), "cpu": True, **changes})


REFUSED = [
    (dict(fp16=True), "--fp16 on a CPU"),
    (dict(fp16=True, amp=True, memory_efficient_fp16=True), "--fp16 and --amp: give one"),
    (dict(bf16=True, amp=True), "--bf16 and --amp: give one"),
    (dict(bf16=True, fp16=True, memory_efficient_fp16=True), "--fp16 and --bf16: give one"),
    (dict(memory_efficient_bf16=True), "set common.bf16 as well"),
    (dict(memory_efficient_fp16=True), "set common.fp16 as well"),
    (dict(tpu=True), "--tpu, but torch_xla is not installed"),
]


@pytest.mark.parametrize("changes, words", REFUSED)
def test_modes_that_cannot_work_are_one_line(changes, words):
    with pytest.raises(UserError) as error:
        check_trainer_modes(modes(**changes))
    assert words in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        dict(bf16=True),
        dict(amp=True),
        dict(fp16=True, memory_efficient_fp16=True),
        dict(fp16=True, fp16_no_flatten_grads=True),
        dict(bf16="${common.bf16}", fp16="${common.fp16}"),  # a config made by a program
    ],
)
def test_modes_that_work_are_let_pass(changes):
    check_trainer_modes(modes(**changes))


@pytest.mark.parametrize(
    "options, words",
    [
        (["--fp16"], "--fp16 on a CPU"),
        (["--fp16", "--amp"], "--fp16 and --amp: give one"),
        (["--tpu"], "torch_xla is not installed"),
    ],
)
def test_fairseq_train_refuses_a_mode_before_training(options, words, data, tmp_path):
    with pytest.raises(UserError, match=words):
        train(data, tmp_path, *SHORT, *options)
    assert not list(tmp_path.glob("*.pt"))


@pytest.mark.parametrize("backend", ["pytorch_ddp", "c10d", "fully_sharded", "slowmo"])
def test_a_backend_for_gpus_is_refused_for_several_processes_on_a_cpu(backend, monkeypatch):
    several = SimpleNamespace(
        is_available=lambda: True, is_initialized=lambda: True, get_world_size=lambda: 2
    )
    monkeypatch.setattr(trainer_modes, "dist", several)
    with pytest.raises(UserError, match=f"{backend} with 2 processes .* --ddp-backend legacy_ddp"):
        check_trainer_modes(modes(ddp_backend=backend))
    for works in ("legacy_ddp", "no_c10d"):
        check_trainer_modes(modes(ddp_backend=works))


def test_fairseq_train_refuses_a_backend_for_gpus_before_training(data, tmp_path, monkeypatch):
    several = SimpleNamespace(
        is_available=lambda: True, is_initialized=lambda: True, get_world_size=lambda: 2
    )
    monkeypatch.setattr(trainer_modes, "dist", several)
    with pytest.raises(UserError, match="--ddp-backend pytorch_ddp with 2 processes"):
        train(data, tmp_path, *SHORT)


@pytest.mark.parametrize("backend", ["pytorch_ddp", "c10d", "fully_sharded", "slowmo"])
def test_one_process_may_name_any_backend(backend):
    check_trainer_modes(modes(ddp_backend=backend))


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU leaves an overflowing update out")
@pytest.mark.parametrize("mode", ["--memory-efficient-fp16", "--fp16-no-flatten-grads"])
def test_an_overflow_of_float16_on_a_cpu_is_one_line(mode, data, tmp_path):
    with pytest.raises(Exception) as caught:
        train(data, tmp_path, *SHORT, "--fp16", mode, "--fp16-init-scale=1000000")
    message = user_message(caught.value)
    assert "loss scale of 1e+06" in message and "--bf16 instead" in message


# Both routes


def hydra(data, folder, common, **optimization):
    """fairseq-hydra-train for a very small model: (CompletedProcess, losses by update)."""
    sizes = dict(
        embed_dim=16, ffn_dim=24, attention_heads=2, encoder_layers=2, decoder_layers=2,
        auxiliary_layers=1, relative_position_buckets=8, relative_position_max_distance=20,
        max_positions=64,
    )  # fmt: skip
    yaml = {
        "common": {
            "user_dir": str(ROOT / "fairseq_metro"), "log_format": "json", "log_interval": 1,
            **common,
        },
        "task": {"_name": "metro_t5", "data": str(data), "tokens_per_sample": 32,
                 "no_initial_validation": True},
        "criterion": {"_name": "metro_t5"},
        "model": {"_name": "metro_t5", **sizes},
        "dataset": {"batch_size": 4, "disable_validation": True},
        "distributed_training": {"distributed_world_size": 1},
        "optimizer": {"_name": "fused_adam", "adam_betas": "(0.9, 0.98)", "adam_eps": 1e-6,
                      "weight_decay": 0.01},
        "lr_scheduler": {"_name": "polynomial_decay", "warmup_updates": 2, "total_num_update": 40},
        "optimization": {"lr": [2e-3], "clip_norm": 2.0, "max_update": 4, **optimization},
        "checkpoint": {"no_save": True, "save_dir": str(folder)},
    }  # fmt: skip
    (folder / "metro.yaml").write_text("# @package _group_\n" + json.dumps(yaml))
    program = f"{sys.exec_prefix}/bin/fairseq-hydra-train"
    options = ["--config-dir", folder, "--config-name", "metro", f"hydra.run.dir={folder}/out"]
    done = spawn([program, *options])
    losses = {}
    for line in done.stdout.splitlines():
        if "train_inner" in line and "{" in line:
            values = json.loads(line[line.index("{") :])
            losses[int(values["num_updates"])] = values["loss"]
    return done, losses


def test_bfloat16_through_hydra_equals_fairseq_train_bit_by_bit(data, tmp_path):
    expected = train(data, tmp_path, *SHORT, "--no-save", "--bf16").losses()
    done, losses = hydra(data, tmp_path, {"cpu": True, "bf16": True})
    assert done.returncode == 0, done.stdout + done.stderr
    assert losses == expected


@GPU
@pytest.mark.parametrize("mode", ["--fp16", "--memory-efficient-fp16", "--bf16", "--amp"])
def test_half_precision_trains_on_a_gpu_as_float32_does(mode, data, tmp_path):
    words = [word for word in command(data, tmp_path, *SHORT, mode) if word != "--cpu"]
    options = ["--dropout=0", "--attention-dropout=0"]  # masks differ between CPU and GPU
    expected = train(data, tmp_path / "cpu", *SHORT, *options).losses()
    words += [*options, "--distributed-world-size=1"]
    agree(call("train", words).losses(), expected, 0.02)


@GPU
def test_bfloat16_through_hydra_trains_on_a_gpu(data, tmp_path):
    done, losses = hydra(data, tmp_path, {"bf16": True})
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(losses) == 4


# Restarts with something reset


def test_a_run_goes_on_with_a_new_optimizer_state(plain, data, tmp_path):
    """Weights are taken over, updates count from 0, and the averages are those of new batches."""
    start = plain[1] / "checkpoint_last.pt"
    reset = [f"--restore-file={start}", "--reset-optimizer", "--reset-lr-scheduler"]
    reset += ["--reset-meters", "--reset-dataloader"]
    frozen = ["--lr=1e-12", "--weight-decay=0", "--max-update=2"]
    log = train(data, tmp_path, *SHORT, *reset, *frozen)
    assert list(log.losses()) == [1, 2]
    state = torch.load(tmp_path / "checkpoint_last.pt", weights_only=True)
    for name, value in parameters(start).items():
        torch.testing.assert_close(state["model"][name], value, rtol=0, atol=1e-7)
    steps = {entry["step"] for entry in state["last_optimizer_state"]["state"].values()}
    assert steps == {2}
    # Better than an untrained model at the same batches, by its own weights.
    assert float(log.losses()[1]) < float(plain[0].losses()[1])


def test_a_run_goes_on_with_another_optimizer(plain, data, tmp_path):
    start = plain[1] / "checkpoint_last.pt"
    options = [f"--restore-file={start}", "--reset-optimizer", "--max-update=2"]
    words = [word for word in command(data, tmp_path, *SHORT, *options) if "adam" not in word]
    log = call("train", [*words, "--optimizer=nag"])
    assert list(log.losses()) == [1, 2]
    history = torch.load(tmp_path / "checkpoint_last.pt", weights_only=True)["optimizer_history"]
    assert history[-1]["optimizer_name"] == "FairseqNAG"
