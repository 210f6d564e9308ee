"""fairseq-train on the plugin: what a user runs, on a corpus of made-up sentences."""

import json
import os
import shutil
import subprocess
import sys
from collections import defaultdict

import pytest
import torch

from fairseq_metro.common.errors import UserError
from fairseq_metro.vocabulary.folder import Vocabulary
from tests.training import ROOT, command, equal, launched, parameters, same_number, spawn, train


@pytest.fixture(scope="module")
def run(tmp_path_factory, data):
    """Twelve updates with dropout, validated and saved every four: the log and the run's folder."""
    save_dir = tmp_path_factory.mktemp("run")
    options = ["--max-update=12", "--save-interval-updates=4", "--validate-interval-updates=4"]
    return train(data, save_dir, *options, f"--tensorboard-logdir={save_dir}/tensorboard"), save_dir


def test_training_lowers_the_mlm_loss_and_validates(run):
    log, _ = run
    start, valid = log.lines("start"), log.lines("valid")
    assert len(start) == 1
    assert float(valid[-1]["valid_mlm_loss"]) < start[0]["start_mlm_loss"] - 0.05
    assert len(log.losses()) == 12


def test_validation_before_the_first_update_reports_every_metric(run):
    (start,) = run[0].lines("start")
    names = (
        "loss mlm_loss rtd_loss clm_loss mlm_accuracy mlm_entropy clm_accuracy_replaced "
        "unigram_accuracy rtd_auc replace_rate replace_rate_masked"
    ).split()
    assert {f"start_{name}" for name in names} <= set(start)
    assert start["start_rtd_auc"] == 0.5  # the RTD head starts at zero
    assert 0.1 < start["start_replace_rate"] < 0.2


def test_a_checkpoint_loads_weights_only_and_carries_its_stamp(run, data):
    log, save_dir = run
    state = torch.load(save_dir / "checkpoint_last.pt", weights_only=True)
    stamp, data_stamp = state["task_state"]["stamp"], json.loads((data / "stamp.json").read_text())
    assert stamp["vocabulary"] == data_stamp["vocabulary"]
    assert stamp["data"] == [data_stamp["data"]]
    assert stamp["fairseq_metro"] and stamp["commit"] and "fairseq-train" in stamp["command"]
    (start,) = log.lines("start")
    kept = state["task_state"]["initial_validation"]
    assert {f"start_{name}": value for name, value in kept.items()} == start


def test_a_checkpoint_says_with_which_symbols_its_decoder_started(run, data):
    cfg = torch.load(run[1] / "checkpoint_last.pt", weights_only=True)["cfg"]["model"]
    roles = Vocabulary.load(data / "vocab").roles
    assert cfg["pretraining_decoder_start"] == roles["mask"]
    assert cfg["decoder_start"] == "</s>"


def test_the_vocabulary_lies_beside_the_checkpoints(run, data):
    assert Vocabulary.load(run[1] / "vocab").hash == Vocabulary.load(data / "vocab").hash


def test_tensorboard_files_are_written(run):
    assert list((run[1] / "tensorboard").rglob("events.out.tfevents.*"))


@pytest.mark.parametrize("stop", [1, 5, 7])
def test_a_resumed_run_equals_an_undisturbed_one_bit_by_bit(stop, run, data, tmp_path):
    log, save_dir = run
    options = ["--save-interval-updates=4", "--validate-interval-updates=4"]
    first = train(data, tmp_path, f"--max-update={stop}", *options)
    second = train(data, tmp_path, "--max-update=12", *options)
    assert {**first.losses(), **second.losses()} == log.losses()
    assert min(second.losses()) == stop + 1
    assert second.lines("start") == []  # not validated before the first update again
    ours, theirs = (
        torch.load(d / "checkpoint_last.pt", weights_only=True) for d in (tmp_path, save_dir)
    )
    assert equal(ours["model"], theirs["model"])
    assert ours["task_state"]["initial_validation"] == theirs["task_state"]["initial_validation"]
    for key, state in ours["last_optimizer_state"]["state"].items():
        other = theirs["last_optimizer_state"]["state"][key]
        assert torch.equal(state["exp_avg_sq"], other["exp_avg_sq"])


def test_a_run_begun_again_after_its_last_update_makes_no_more(data, tmp_path):
    train(data, tmp_path, "--max-update=3")
    before = (tmp_path / "checkpoint_last.pt").read_bytes()
    with pytest.raises(SystemExit) as done:
        train(data, tmp_path, "--max-update=3")
    assert done.value.code == 0 and (tmp_path / "checkpoint_last.pt").read_bytes() == before
    assert min(train(data, tmp_path, "--max-update=4").losses()) == 4


@pytest.mark.parametrize(
    "option, said",
    [
        ("--rtd-on=decoder", "trained with rtd_on encoder, and not decoder"),
        ("--copy-mechanism", "trained with copy_mechanism False, and not True"),
        ("--clm-positions=all", "trained with clm_positions masked, and not all"),
        ("--mask-pattern=span", "trained with mask_pattern iid, and not span"),
        ("--clm-head=projection", "trained with clm_head linear, and not projection"),
    ],
)
def test_a_run_does_not_go_on_with_another_objective(option, said, run, data):
    before = (run[1] / "checkpoint_last.pt").read_bytes()
    with pytest.raises(UserError, match=said) as caught:
        train(data, run[1], option, "--max-update=14")
    assert "another --save-dir" in str(caught.value) and "\n" not in str(caught.value)
    assert (run[1] / "checkpoint_last.pt").read_bytes() == before


def test_data_workers_change_nothing(run, data, tmp_path):
    log = train(data, tmp_path, "--max-update=4", "--num-workers=2", "--no-save")
    expected = run[0].losses()
    assert log.losses() == {update: expected[update] for update in (1, 2, 3, 4)}


def test_another_seed_gives_another_run(run, data, tmp_path):
    log = train(data, tmp_path, "--max-update=2", "--seed=2", "--no-save")
    assert log.losses()[2] != run[0].losses()[2]


LOSSES = ("loss", "mlm_loss", "rtd_loss", "clm_loss", "rtd_auc", "replace_rate")


def test_two_gloo_processes_equal_one_that_accumulates_two_batches(data, tmp_path):
    options = [
        "--max-update=5",
        "--dropout=0",
        "--attention-dropout=0",
        "--validate-interval-updates=5",
    ]
    one = train(data, tmp_path / "one", "--update-freq=2", *options)
    words, found = command(data, tmp_path / "two", *options), defaultdict(list)
    for until in (3, 5):  # the two go on together from where they were stopped
        for kind, lines in launched(2, [*words, f"--max-update={until}"]).items():
            found[kind] += lines
    assert len(found["train_inner"]) == 5
    for ours, theirs in zip(found["train_inner"], one.lines("train_inner"), strict=True):
        for name in LOSSES:
            assert same_number(ours[name], theirs[name]), (name, ours, theirs)
    for name, value in one.lines("start")[0].items():
        assert found["start"][0][name] == pytest.approx(value, rel=1e-5), name
    for name in ("valid_mlm_loss", "valid_clm_accuracy_replaced", "valid_rtd_auc"):
        ours, theirs = found["valid"][-1][name], one.lines("valid")[-1][name]
        assert float(ours) == pytest.approx(float(theirs), rel=1e-5), name
    a, b = (parameters(tmp_path / d / "checkpoint_last.pt") for d in ("one", "two"))
    for key in a:
        torch.testing.assert_close(a[key], b[key], rtol=1e-4, atol=1e-6)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
@pytest.mark.parametrize("backend", ["c10d", "legacy_ddp"])
def test_two_gpus_equal_one_that_accumulates_two_batches(backend, data, tmp_path):
    found = []
    for number, more in ((1, ["--update-freq=2"]), (2, [f"--ddp-backend={backend}"])):
        undropped = ["--max-update=5", "--dropout=0", "--attention-dropout=0"]
        words = command(data, tmp_path / str(number), *undropped, *more)
        found.append(launched(number, words, os.environ["PATH"])["train_inner"])
    assert len(found[0]) == 5
    for ours, theirs in zip(*found, strict=True):
        for name in LOSSES:
            assert same_number(ours[name], theirs[name]), (name, ours, theirs)
    a, b = (parameters(tmp_path / str(number) / "checkpoint_last.pt") for number in (1, 2))
    for key in a:
        torch.testing.assert_close(a[key], b[key], rtol=1e-4, atol=1e-6)


def test_shards_are_trained_on_in_turn(data, tmp_path):
    other = tmp_path / "2024-01-01T10:00:00"  # a folder that exists wins over a list
    shutil.copytree(data, other)
    options = ["--max-epoch=2", "--no-save", "--disable-validation"]
    log = train(f"{data}:{other}", tmp_path / "run", *options)
    read = [text.split(": ")[0] for name, text in log.records if " blocks; " in text]
    # fairseq prepares the next epoch's data before it sees that the run is over.
    assert read == [f"{data}/train", f"{other}/train", f"{data}/train"]


def test_fairseq_validate_gives_the_training_runs_own_numbers(run, data):
    log, save_dir = run
    words = [data, f"--user-dir={ROOT / 'fairseq_metro'}", "--task=metro_t5", "--cpu"]
    words += [f"--path={save_dir}/checkpoint_last.pt", "--valid-subset=valid", "--batch-size=4"]
    done = spawn([f"{sys.exec_prefix}/bin/fairseq-validate", *words, "--log-format=json"])
    assert done.returncode == 0, done.stderr
    (line,) = (x for x in (done.stdout + done.stderr).splitlines() if " | valid | {" in x)
    validated = json.loads(line[line.index("{") :])
    for name in ("mlm_loss", "rtd_auc", "clm_accuracy_unreplaced"):
        assert same_number(validated[f"valid_{name}"], log.lines("valid")[-1][f"valid_{name}"])


def test_interactive_generation_needs_nothing_but_the_runs_folder(run):
    _, save_dir = run
    words = [f"{sys.exec_prefix}/bin/fairseq-interactive", save_dir, "--task=metro_t5", "--cpu"]
    words += [f"--user-dir={ROOT / 'fairseq_metro'}", f"--path={save_dir}/checkpoint_last.pt"]
    done = subprocess.run(
        [*map(str, words), "--beam=2", "--max-len-b=6"],
        input="the old river follows the small stone .\n",
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    kinds = {line.split("-")[0] for line in done.stdout.splitlines()}
    assert {"S", "H", "D"} <= kinds


def test_hydra_trains_the_same_model(run, data, tmp_path):
    """The YAML holds what the architecture function fills in under fairseq-train."""
    cfg = torch.load(run[1] / "checkpoint_last.pt", weights_only=True)["cfg"]
    model = {key: cfg["model"][key] for key in cfg["model"] if key in MODEL_FIELDS}
    yaml = {
        "common": {
            "user_dir": str(ROOT / "fairseq_metro"),
            "cpu": True,
            "log_format": "json",
            "log_interval": 1,
        },
        "task": {"_name": "metro_t5", "data": str(data), "tokens_per_sample": 32},
        "criterion": {"_name": "metro_t5"},
        "model": {"_name": "metro_t5", **model},
        "dataset": {"batch_size": 4},
        "optimizer": {
            "_name": "fused_adam",
            "adam_betas": "(0.9, 0.98)",
            "adam_eps": 1e-6,
            "weight_decay": 0.01,
        },
        "lr_scheduler": {"_name": "polynomial_decay", "warmup_updates": 2, "total_num_update": 40},
        "optimization": {"lr": [2e-3], "clip_norm": 2.0, "max_update": 3},
        "checkpoint": {"no_save": True, "save_dir": str(tmp_path)},
    }
    (tmp_path / "metro.yaml").write_text("# @package _group_\n" + json.dumps(yaml))
    words = [
        f"{sys.exec_prefix}/bin/fairseq-hydra-train",
        "--config-dir",
        tmp_path,
        "--config-name",
        "metro",
    ]
    done = spawn([*words, f"hydra.run.dir={tmp_path}/hydra"])
    assert done.returncode == 0, done.stdout + done.stderr
    text = (tmp_path / "hydra" / "hydra_train.log").read_text() + done.stdout
    losses = {}
    for line in text.splitlines():
        if "train_inner" in line and "{" in line:
            values = json.loads(line[line.index("{") :])
            losses[int(values["num_updates"])] = values["loss"]
    expected = run[0].losses()
    assert losses == {update: expected[update] for update in (1, 2, 3)}


MODEL_FIELDS = (
    "embed_dim ffn_dim attention_heads encoder_layers decoder_layers auxiliary_layers dropout "
    "attention_dropout relative_position_buckets relative_position_max_distance max_positions"
).split()
