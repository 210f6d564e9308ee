"""fairseq-train with --task masked_lm_blocks: RoBERTa on METRO-T5's data and batches."""

import pytest
import torch

from fairseq_metro.common.errors import user_message
from fairseq_metro.interchange.roberta import load_roberta
from tests.training import OPTIMIZATION, QUIET, ROOT, call, equal, launched, parameters

SIZES = ["--embed-dim=16", "--ffn-dim=24", "--attention-heads=2", "--max-positions=64"]
SAVING = ["--save-interval-updates=4", "--validate-interval-updates=4"]
NAMES = "loss mlm_loss mlm_accuracy unigram_accuracy masked_share".split()


def command(data, save_dir, *options):
    return [
        str(data), f"--user-dir={ROOT / 'fairseq_metro'}", "--task=masked_lm_blocks",
        "--criterion=masked_lm_blocks", "--arch=roberta_mlm_tiny", "--tokens-per-sample=32",
        "--batch-size=4", f"--save-dir={save_dir}", "--cpu", "--num-workers=0", *SIZES,
        *OPTIMIZATION, *QUIET, *options,
    ]  # fmt: skip


def train(data, save_dir, *options):
    return call("train", command(data, save_dir, *options))


@pytest.fixture(scope="module")
def run(tmp_path_factory, data):
    """Twelve updates with dropout, validated and saved every four: the log and the run's folder."""
    save_dir = tmp_path_factory.mktemp("roberta")
    return train(data, save_dir, "--max-update=12", "--lr=1e-2", *SAVING), save_dir


def test_training_lowers_the_loss_and_reports_every_metric(run):
    log, _ = run
    (start,), valid = log.lines("start"), log.lines("valid")
    assert float(valid[-1]["valid_mlm_loss"]) < start["start_mlm_loss"] - 0.3
    assert len(log.losses()) == 12
    assert {f"start_{name}" for name in NAMES} <= set(start)
    assert {f"valid_{name}" for name in NAMES} <= set(valid[-1])
    assert 0.1 < start["start_masked_share"] < 0.16
    assert 0 < start["start_unigram_accuracy"] < 0.5


def test_a_resumed_run_equals_an_undisturbed_one_bit_by_bit(run, data, tmp_path):
    log, save_dir = run
    first = train(data, tmp_path, "--max-update=7", "--lr=1e-2", *SAVING)
    second = train(data, tmp_path, "--max-update=12", "--lr=1e-2", *SAVING)
    assert {**first.losses(), **second.losses()} == log.losses()
    assert min(second.losses()) == 8
    ours, theirs = (
        torch.load(d / "checkpoint_last.pt", weights_only=True) for d in (tmp_path, save_dir)
    )
    assert equal(ours["model"], theirs["model"])
    for key, state in ours["last_optimizer_state"]["state"].items():
        other = theirs["last_optimizer_state"]["state"][key]
        assert torch.equal(state["exp_avg_sq"], other["exp_avg_sq"])


def test_the_runs_folder_is_a_model_with_its_tokenizer(run, data, tmp_path):
    log, save_dir = run
    model, tokenizer = load_roberta(save_dir)
    assert equal(model.state_dict(), parameters(save_dir / "checkpoint_last.pt"))
    assert (save_dir / "vocab" / "dict.txt").read_text() == (data / "dict.txt").read_text()
    assert len(tokenizer) == len(model.lm_head.bias) and tokenizer.mask > 3
    # And training can begin with it: what it says first is what the run said last.
    again = train(data, tmp_path, "--max-update=1", f"--init-from={save_dir}", "--no-save")
    (start,) = again.lines("start")
    last = float(log.lines("valid")[-1]["valid_mlm_loss"])
    assert float(start["start_mlm_loss"]) == pytest.approx(last, rel=1e-4)


def test_two_gloo_processes_equal_one_that_accumulates_two_batches(data, tmp_path):
    options = ["--max-update=3", "--dropout=0", "--attention-dropout=0"]
    options += ["--validate-interval-updates=3"]
    one = train(data, tmp_path / "one", "--update-freq=2", *options)
    words = command(data, tmp_path / "two", *options)
    found = launched(2, words)
    assert len(found["train_inner"]) == 3
    for kind, prefix in (("train_inner", ""), ("start", "start_"), ("valid", "valid_")):
        for ours, theirs in zip(found[kind], one.lines(kind), strict=True):
            for name in NAMES:
                value = float(theirs[prefix + name])
                assert float(ours[prefix + name]) == pytest.approx(value, rel=1e-5), name
    a, b = (parameters(tmp_path / d / "checkpoint_last.pt") for d in ("one", "two"))
    for key in a:
        torch.testing.assert_close(a[key], b[key], rtol=1e-4, atol=1e-6)


def message_of(data, save_dir, *options):
    """The line that a failing run would print."""
    with pytest.raises(Exception) as caught:
        train(data, save_dir, *options)
    message = user_message(caught.value)
    assert message and "\n" not in message, repr(caught.value)
    return message


def test_what_a_user_can_get_wrong(run, data, tmp_path):
    message = message_of(data, tmp_path, "--criterion=t5")
    assert "give --criterion masked_lm_blocks" in message
    assert "--max-positions 16" in message_of(data, tmp_path, "--max-positions=16")
    message = message_of(data, tmp_path, f"--init-from={run[1]}", "--embed-dim=32")
    assert "it has --embed-dim 16, but here it is 32; give its" in message
    message = message_of(data, run[1], "--embed-dim=32", "--restore-file=checkpoint_last.pt")
    assert "the checkpoint is of another architecture" in message


def test_an_architecture_without_a_masked_lm_head(data, tmp_path):
    words = command(data, tmp_path)
    words[words.index("--arch=roberta_mlm_tiny")] = "--arch=t5_transformer_tiny"
    with pytest.raises(Exception) as caught:
        call("train", words)
    assert "give --arch roberta_mlm_base" in user_message(caught.value)
