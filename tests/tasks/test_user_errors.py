"""What a user can get wrong ends in one line that names the place and the remedy."""

import json
import re
import shutil

import pytest
import torch

from fairseq_metro.common.errors import UserError, user_message
from tests.training import train


@pytest.fixture
def broken(data, tmp_path):
    """A copy of the data folder to break."""
    return shutil.copytree(data, tmp_path / "data")


def message_of(*words, **changes):
    """The line that a failing run would print."""
    with pytest.raises(Exception) as caught:  # fairseq may wrap ours in its own
        train(*words, **changes)
    message = user_message(caught.value)
    assert message and "\n" not in message, repr(caught.value)
    return message


def test_a_missing_data_folder(tmp_path):
    assert "no such data folder" in message_of(tmp_path / "nowhere", tmp_path / "run")


def test_a_data_folder_without_a_vocabulary(broken, tmp_path):
    shutil.rmtree(broken / "vocab")
    assert "vocab" in message_of(broken, tmp_path / "run")


def test_a_permuted_dictionary(broken, tmp_path):
    lines = (broken / "dict.txt").read_text().splitlines()
    (broken / "dict.txt").write_text("\n".join([lines[1], lines[0], *lines[2:]]) + "\n")
    assert "ids mean other tokens" in message_of(broken, tmp_path / "run")


def test_data_of_another_vocabulary(broken, tmp_path):
    stamp = json.loads((broken / "stamp.json").read_text())
    (broken / "stamp.json").write_text(json.dumps({**stamp, "vocabulary": "0" * 64}))
    assert "its data was made with vocabulary 000000000000" in message_of(broken, tmp_path / "run")


def test_a_checkpoint_of_another_vocabulary(data, tmp_path):
    train(data, tmp_path, "--max-update=1", "--disable-validation")
    path = tmp_path / "checkpoint_last.pt"
    state = torch.load(path, weights_only=True)
    state["task_state"]["stamp"]["vocabulary"] = "0" * 64
    torch.save(state, path)
    assert "trained with vocabulary 000000000000" in message_of(data, tmp_path, "--max-update=2")


def test_a_save_dir_with_another_vocabulary_is_refused_before_training(data, tmp_path):
    shutil.copytree(data / "vocab", tmp_path / "run" / "vocab")
    (tmp_path / "run" / "vocab" / "dict.txt").write_text("other 1\n")
    assert "holds another vocabulary" in message_of(data, tmp_path / "run", "--max-update=1")


def test_a_truncated_bin_file(broken, tmp_path):
    content = (broken / "train.bin").read_bytes()
    (broken / "train.bin").write_bytes(content[: len(content) // 2])
    message = message_of(broken, tmp_path / "run", "--disable-validation")
    assert "train" in message and "truncated" in message


def test_blocks_longer_than_the_models_positions(data, tmp_path):
    message = message_of(data, tmp_path, "--tokens-per-sample=65")
    assert "--max-positions 64" in message


def test_blocks_that_padding_makes_longer_than_the_positions(data, tmp_path):
    message = message_of(data, tmp_path, "--tokens-per-sample=62", "--max-positions=62")
    assert "padded to 64" in message


def test_a_checkpoint_of_another_architecture(data, tmp_path):
    train(data, tmp_path, "--max-update=1", "--disable-validation")
    message = message_of(data, tmp_path, "--max-update=2", "--encoder-layers=3")
    assert "another architecture" in message and "encoder.layers.2" in message


@pytest.mark.parametrize("mask_prob, what", [("1.0", "everything"), ("1e-9", "nothing")])
def test_a_split_of_which_nothing_or_everything_is_masked(mask_prob, what, data, tmp_path):
    options = ["--sample-break-mode=eos"] if what == "everything" else []
    if what == "nothing":
        pytest.importorskip("fairseq_metro.prepare.binarize")
        options = ["--tokens-per-sample=4", "--sample-break-mode=none"]
    assert f"{what} in it is masked" in message_of(
        data, tmp_path, f"--mask-prob={mask_prob}", *options
    )


@pytest.mark.parametrize("mask_prob", ["0", "-1", "1.5"])
def test_an_impossible_mask_probability(mask_prob, data, tmp_path):
    assert "--mask-prob is" in message_of(data, tmp_path, f"--mask-prob={mask_prob}")


def test_a_start_symbol_that_is_not_in_the_dictionary(data, tmp_path):
    assert "<start>" in message_of(data, tmp_path, "--pretraining-decoder-start=<start>")


def test_a_truncated_last_checkpoint_does_not_stop_a_restart(data, tmp_path):
    options = ["--save-interval-updates=2", "--validate-interval-updates=2"]
    train(data, tmp_path, "--max-update=4", *options)
    path = tmp_path / "checkpoint_last.pt"
    path.write_bytes(path.read_bytes()[:1000])
    log = train(data, tmp_path, "--max-update=5", *options)
    assert list(log.losses()) == [5]
    assert any("takes its place" in text for _, text in log.records)


def test_a_criterion_or_model_of_another_objective(data, tmp_path):
    assert "give --criterion metro_t5" in message_of(data, tmp_path, "--criterion=cross_entropy")
    message = message_of(data, tmp_path, architecture="t5_transformer_tiny")
    assert "t5_transformer_tiny is not" in message


def test_processes_that_do_not_know_of_each_other_are_refused(data, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    assert "independent copies" in message_of(data, tmp_path)


def test_an_unwritten_run_leaves_no_checkpoint(broken, tmp_path):
    (broken / "valid.idx").unlink()
    message_of(broken, tmp_path / "run")
    assert not list((tmp_path / "run").glob("*.pt"))


def test_user_errors_are_value_errors():
    assert issubclass(UserError, ValueError)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--max-tokens=6"], "--max-tokens 6: .* has a block of "),
        (["--update-freq=0"], r"--update-freq is \[0\], must be whole numbers from 1 up"),
        (["--encoder-layers=0"], "--encoder-layers is 0, must be a whole number from 1"),
        (["--attention-heads=0"], "--attention-heads is 0, must be a whole number from 1"),
        (["--auxiliary-temperature=nan"], "--auxiliary-temperature is nan, must be above 0"),
    ],
)
def test_options_that_cannot_be_meant(options, expected, data, tmp_path):
    message = message_of(data, tmp_path / "run", *options, "--max-update=1", "--disable-validation")
    assert re.search(expected, message), message
    assert not (tmp_path / "run" / "checkpoint_last.pt").exists()
