"""fairseq-train with --task t5: the paper's baseline, on METRO-T5's data, batches and model."""

import json
import shutil
import sys

import numpy as np
import pytest
import torch

from fairseq_metro.common.errors import UserError, user_message
from fairseq_metro.tasks.t5 import T5Task, T5TaskConfig
from fairseq_metro.vocabulary.folder import Vocabulary
from tests.training import ROOT, call, command, equal, launched, parameters, spawn, train

T5 = ["--task=t5", "--criterion=t5"]
SAVING = ["--save-interval-updates=4", "--validate-interval-updates=4"]


def t5_command(data, save_dir, *options):
    return command(data, save_dir, *T5, *options, architecture="t5_transformer_tiny")


def train_t5(data, save_dir, *options):
    return call("train", t5_command(data, save_dir, *options))


@pytest.fixture(scope="module")
def run(tmp_path_factory, data):
    """Twelve updates with dropout, validated and saved every four: the log and the run's folder."""
    save_dir = tmp_path_factory.mktemp("t5")
    return train_t5(data, save_dir, "--max-update=12", *SAVING), save_dir


def test_training_lowers_the_loss_and_validates(run):
    log, _ = run
    (start,), valid = log.lines("start"), log.lines("valid")
    assert float(valid[-1]["valid_lm_loss"]) < start["start_lm_loss"] - 0.05
    assert len(log.losses()) == 12


def test_validation_before_the_first_update_reports_every_metric(run):
    (start,) = run[0].lines("start")
    names = "loss lm_loss lm_accuracy unigram_accuracy target_share target_tokens".split()
    assert {f"start_{name}" for name in names} <= set(start)
    assert 0.1 < start["start_target_share"] < 0.5
    assert start["start_target_tokens"] == int(start["start_target_tokens"]) > 100


def test_a_checkpoint_says_with_which_symbols_its_decoder_started(run, data):
    cfg = torch.load(run[1] / "checkpoint_last.pt", weights_only=True)["cfg"]
    roles = Vocabulary.load(data / "vocab").roles
    assert cfg["model"]["_name"] == "t5_transformer_tiny"
    assert cfg["model"]["pretraining_decoder_start"] == roles["pretraining_decoder_start"]
    assert cfg["model"]["decoder_start"] == roles["decoder_start"]


def test_only_the_main_model_is_trained(run):
    names = {name.split(".")[0] for name in parameters(run[1] / "checkpoint_last.pt")}
    assert names == {"encoder", "decoder"}


def test_a_resumed_run_equals_an_undisturbed_one_bit_by_bit(run, data, tmp_path):
    log, save_dir = run
    first = train_t5(data, tmp_path, "--max-update=7", *SAVING)
    second = train_t5(data, tmp_path, "--max-update=12", *SAVING)
    assert {**first.losses(), **second.losses()} == log.losses()
    assert min(second.losses()) == 8
    assert second.lines("start") == []
    ours, theirs = (
        torch.load(d / "checkpoint_last.pt", weights_only=True) for d in (tmp_path, save_dir)
    )
    assert equal(ours["model"], theirs["model"])
    for key, state in ours["last_optimizer_state"]["state"].items():
        other = theirs["last_optimizer_state"]["state"][key]
        assert torch.equal(state["exp_avg_sq"], other["exp_avg_sq"])


def test_data_workers_change_nothing(run, data, tmp_path):
    log = train_t5(data, tmp_path, "--max-update=2", "--num-workers=2", "--no-save")
    expected = run[0].losses()
    assert log.losses() == {update: expected[update] for update in (1, 2)}


def test_updates_see_the_same_text_as_metro_pretraining(run, data, tmp_path):
    metro = train(data, tmp_path, "--max-update=3", "--no-save", "--disable-validation")
    words = [
        [line[key] for line in log.lines("train_inner")[:3] for key in ("bsz", "wpb")]
        for log in (run[0], metro)
    ]
    assert words[0] == words[1]


def test_two_gloo_processes_equal_one_that_accumulates_two_batches(data, tmp_path):
    options = ["--max-update=4", "--dropout=0", "--attention-dropout=0"]
    options += ["--validate-interval-updates=4"]
    one = train_t5(data, tmp_path / "one", "--update-freq=2", *options)
    words = t5_command(data, tmp_path / "two", *options)
    found = launched(2, words)
    assert len(found["train_inner"]) == 4
    names = "loss lm_loss lm_accuracy unigram_accuracy target_share target_tokens".split()
    for kind, prefix in (("train_inner", ""), ("start", "start_"), ("valid", "valid_")):
        for ours, theirs in zip(found[kind], one.lines(kind), strict=True):
            for name in names:
                value = float(theirs[prefix + name])
                assert float(ours[prefix + name]) == pytest.approx(value, rel=1e-5), name
    a, b = (parameters(tmp_path / d / "checkpoint_last.pt") for d in ("one", "two"))
    for key in a:
        torch.testing.assert_close(a[key], b[key], rtol=1e-4, atol=1e-6)


def test_all_tokens_as_the_target(data, tmp_path):
    log = train_t5(data, tmp_path, "--max-update=2", "--decoding-target=all", "--no-save")
    (start,) = log.lines("start")
    assert start["start_target_share"] == 1.0
    assert all(float(line["target_share"]) == 1.0 for line in log.lines("train_inner"))


def test_fairseq_validate_gives_the_training_runs_own_numbers(run, data):
    log, save_dir = run
    words = [data, f"--user-dir={ROOT / 'fairseq_metro'}", "--task=t5", "--cpu"]
    words += [f"--path={save_dir}/checkpoint_last.pt", "--valid-subset=valid", "--batch-size=4"]
    done = spawn([f"{sys.exec_prefix}/bin/fairseq-validate", *words, "--log-format=json"])
    assert done.returncode == 0, done.stderr
    (line,) = (x for x in (done.stdout + done.stderr).splitlines() if " | valid | {" in x)
    validated = json.loads(line[line.index("{") :])
    for name in ("lm_loss", "lm_accuracy", "target_tokens"):
        expected = float(log.lines("valid")[-1][f"valid_{name}"])
        assert float(validated[f"valid_{name}"]) == pytest.approx(expected, rel=1e-4)


def test_hydra_trains_the_same_model(run, data, tmp_path):
    cfg = torch.load(run[1] / "checkpoint_last.pt", weights_only=True)["cfg"]
    starts = ("decoder_start", "pretraining_decoder_start")
    fields = "embed_dim ffn_dim attention_heads encoder_layers decoder_layers dropout max_positions"
    fields += " attention_dropout relative_position_buckets relative_position_max_distance"
    model = {key: cfg["model"][key] for key in fields.split()}
    assert set(starts) <= set(cfg["model"])
    adam = {"adam_betas": "(0.9, 0.98)", "adam_eps": 1e-6, "weight_decay": 0.01}
    yaml = {
        "common": {"user_dir": str(ROOT / "fairseq_metro"), "cpu": True, "log_format": "json"},
        "task": {"_name": "t5", "data": str(data), "tokens_per_sample": 32},
        "criterion": {"_name": "t5"},
        "model": {"_name": "t5_transformer", **model},
        "dataset": {"batch_size": 4},
        "optimizer": {"_name": "fused_adam", **adam},
        "lr_scheduler": {"_name": "polynomial_decay", "warmup_updates": 2, "total_num_update": 40},
        "optimization": {"lr": [2e-3], "clip_norm": 2.0, "max_update": 2},
        "checkpoint": {"no_save": True, "save_dir": str(tmp_path)},
    }
    yaml["common"]["log_interval"] = 1
    (tmp_path / "t5.yaml").write_text("# @package _group_\n" + json.dumps(yaml))
    words = [f"{sys.exec_prefix}/bin/fairseq-hydra-train", "--config-dir", tmp_path]
    done = spawn([*words, "--config-name", "t5", f"hydra.run.dir={tmp_path}/hydra"])
    assert done.returncode == 0, done.stdout + done.stderr
    losses = {}
    for line in (tmp_path / "hydra" / "hydra_train.log").read_text().splitlines():
        if "train_inner" in line and "{" in line:
            values = json.loads(line[line.index("{") :])
            losses[int(values["num_updates"])] = values["loss"]
    expected = run[0].losses()
    assert losses == {update: expected[update] for update in (1, 2)}


def test_the_script_starts_a_run_on_the_cpu(data, tmp_path):
    small = ["--embed-dim=16", "--ffn-dim=24", "--max-update=1", "--disable-validation"]
    done = spawn(
        ["bash", ROOT / "train_scripts/pretrain_t5.sh", *small],
        **{"DATA": str(data), "ARCH": "tiny", "SAVE": str(tmp_path / "run")},
        PATH=f"{sys.exec_prefix}/bin:/usr/bin:/bin",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    state = torch.load(tmp_path / "run" / "checkpoint_last.pt", weights_only=True)
    assert state["cfg"]["task"]["_name"] == state["cfg"]["criterion"]["_name"] == "t5"


# What a user can get wrong


def message_of(data, save_dir, *options, architecture="t5_transformer_tiny"):
    """The line that a failing run would print."""
    words = command(data, save_dir, *T5, *options, architecture=architecture)
    with pytest.raises(Exception) as caught:
        call("train", words)
    message = user_message(caught.value)
    assert message and "\n" not in message, repr(caught.value)
    return message


def test_a_vocabulary_with_too_few_sentinels(data, tmp_path):
    broken = shutil.copytree(data, tmp_path / "data")
    tokenizer = broken / "vocab" / "tokenizer.json"
    settings = json.loads(tokenizer.read_text())
    settings["roles"]["sentinels"] = settings["roles"]["sentinels"][:2]
    tokenizer.write_text(json.dumps(settings))
    stamp = json.loads((broken / "stamp.json").read_text())
    stamp["vocabulary"] = Vocabulary.load(broken / "vocab").hash
    (broken / "stamp.json").write_text(json.dumps(stamp))
    message = message_of(broken, tmp_path / "run")
    assert "has 2 sentinels, but a block of --tokens-per-sample 32 needs up to 4" in message


def test_an_architecture_with_an_auxiliary_model(data, tmp_path):
    message = message_of(data, tmp_path, architecture="metro_t5_tiny")
    assert "give --arch t5_transformer_tiny" in message


def test_a_run_of_another_task_is_not_gone_on_with(run, data):
    """METRO-T5's auxiliary model would be left out without a word, or be missing."""
    before = (run[1] / "checkpoint_last.pt").read_bytes()
    with pytest.raises(UserError, match="of --task t5, which metro_t5 cannot go on from") as caught:
        train(data, run[1], "--max-update=14")
    assert "--init-from, and another --save-dir" in str(caught.value)
    assert (run[1] / "checkpoint_last.pt").read_bytes() == before


def test_another_objectives_criterion(data, tmp_path):
    assert "give --criterion t5" in message_of(data, tmp_path, "--criterion=metro_t5")


def test_targets_longer_than_the_models_positions(data, tmp_path):
    message = message_of(data, tmp_path, "--mask-prob=0.9", "--max-positions=32")
    assert "targets can be" in message and "--max-positions 32" in message


@pytest.mark.parametrize(
    "option", ["--mask-multiple-length=0", "--empty-prob=1", "--empty-prob=-1"]
)
def test_impossible_noise(option, data, tmp_path):
    assert option.split("=")[0] in message_of(data, tmp_path, option)


@pytest.mark.parametrize("recipe", ["paper", "release"])
def test_only_the_release_masks_special_tokens(recipe, data):
    options = T5TaskConfig(
        data=str(data), recipe=recipe, tokens_per_sample=64, mask_prob=0.5, sample_break_mode="none"
    )
    options.seed, options.mask_multiple_length = 1, 5
    task = T5Task.setup_task(options)
    task.load_dataset("train")
    samples = [task.datasets["train"][i] for i in range(40)]
    kept = sum(sample["source"][0] == task.dictionary.bos() for sample in samples)
    assert kept == 40 if recipe == "paper" else 10 < kept < 30
    for sample in samples:
        both = np.concatenate([sample["source"], sample["target"]])
        sentinels = np.isin(both, task.vocabulary.sentinel_indices).sum()
        assert len(both) == sample["size"] + sentinels + 1  # and the symbol that ends the target
