"""What a user can get wrong in prompt fine-tuning ends in one line with the remedy, and no run."""

import json
import shutil

import pytest
import torch

from fairseq_metro.common.errors import user_message
from tests import prompted
from tests.tasks.test_prompt_finetuning import finetune
from tests.training import train


@pytest.fixture(scope="module")
def whole(tmp_path_factory, vocabulary):
    return prompted.folder(tmp_path_factory.mktemp("whole") / "data", vocabulary)


@pytest.fixture
def broken(whole, tmp_path):
    """A copy of the data folder to break."""
    return shutil.copytree(whole, tmp_path / "data")


def message_of(data, save_dir, *options, **changes):
    """The line that a failing run would print; nothing was trained."""
    with pytest.raises(Exception) as caught:  # fairseq may wrap ours in its own
        finetune(data, save_dir, "--max-update=1", *options, **changes)
    message = user_message(caught.value)
    assert message and "\n" not in message, repr(caught.value)
    assert not list(save_dir.glob("scores/*")) and not list(save_dir.glob("*_last.pt"))
    return message


@pytest.mark.parametrize(
    "option, part",
    [
        ("--max-source-length=2", "--max-source-length is 2"),
        ("--max-target-length=1", "--max-target-length is 1"),
        ("--train-subset=heldout", "is called train"),
        ("--sentence-avg", "mean over target tokens"),
        ("--label-smoothing=1.5", "--label-smoothing is 1.5"),
        ("--max-source-length=65", "--max-source-length 65 (padded to 72) is more than"),
        ("--max-target-length=70", "--max-positions 64"),
        ("--max-tokens=24", "--max-tokens 24: the longest example has"),
        ("--criterion=t5", "give --criterion prompt_finetuning"),
        ("--init-from=nowhere", "nowhere: no such file or folder"),
        ("--finetune-from-model=nowhere.pt", "--init-from also takes a folder"),
        ("--restore-file=nowhere.pt", "--restore-file nowhere.pt: no such file"),
    ],
)
def test_options_that_cannot_be(option, part, whole, tmp_path):
    assert part in message_of(whole, tmp_path / "run", option)


def test_two_ways_to_begin(whole, tmp_path):
    message = message_of(whole, tmp_path / "run", "--init-from=a", "--finetune-from-model=b")
    assert "give one of them" in message


@pytest.mark.parametrize(
    "architecture, part",
    [
        ("metro_t5_tiny", "give --arch t5_transformer_tiny"),
        ("metro_t5", "give --arch t5_transformer"),
        ("transformer_tiny", "not a model that prompt_finetuning can train"),
    ],
)
def test_models_that_cannot_be_trained(architecture, part, whole, tmp_path):
    from fairseq_metro.tasks.starting_models import refuse_unfit_model
    from tests.tiny import config

    options = type("Options", (), dict(pack=False, max_source_length=8, max_target_length=8))
    with pytest.raises(Exception) as caught:
        refuse_unfit_model(architecture, config(), options)
    assert part in user_message(caught.value)


# Folders


def test_a_missing_folder(tmp_path):
    assert "no such data folder" in message_of(tmp_path / "nowhere", tmp_path / "run")


def test_no_folder(tmp_path):
    assert "no data folder given" in message_of("", tmp_path / "run")


def test_a_folder_of_pretraining(data, tmp_path):
    message = message_of(data, tmp_path / "run")
    assert "so no folder of prompted pairs; make one with fairseq-metro prompts" in message


def test_a_folder_without_a_vocabulary(broken, tmp_path):
    shutil.rmtree(broken / "vocab")
    assert "by --vocab" in message_of(broken, tmp_path / "run")


def test_data_of_another_vocabulary(broken, tmp_path):
    stamp = json.loads((broken / "prompted.json").read_text())
    (broken / "prompted.json").write_text(json.dumps({**stamp, "vocabulary": "0" * 64}))
    assert "its data was made with vocabulary 000000000000" in message_of(broken, tmp_path / "run")


def test_a_permuted_dictionary(broken, tmp_path):
    lines = (broken / "dict.txt").read_text().splitlines()
    (broken / "dict.txt").write_text("\n".join([lines[1], lines[0], *lines[2:]]) + "\n")
    assert "ids mean other tokens" in message_of(broken, tmp_path / "run")


@pytest.mark.parametrize("content", ["{", "[]", '{"splits": {}}'])
def test_a_damaged_stamp(content, broken, tmp_path):
    (broken / "prompted.json").write_text(content)
    assert "prompted.json: not" in message_of(broken, tmp_path / "run")


def test_a_split_that_is_not_there(whole, tmp_path):
    message = message_of(whole, tmp_path / "run", "--valid-subset=heldou")
    assert "heldou" in message and "heldout" in message


def first(data, pattern):
    return sorted(data.glob(pattern))[0]


@pytest.mark.parametrize(
    "pattern, part",
    [
        ("train/*/*.src.bin", "truncated"),
        ("train/*/*.tgt.idx", "truncated"),
        ("valid/*/*.choices.bin", "truncated"),
        ("valid/*/*.gold.npy", "not an array"),
        ("train/mixture.json", "not valid JSON"),
        ("train/data_cap.json", "not valid JSON"),
    ],
)
def test_half_a_file(pattern, part, broken, tmp_path):
    path = first(broken, pattern)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert part in message_of(broken, tmp_path / "run")


@pytest.mark.parametrize("pattern", ["train/*/*.src.idx", "valid/*/*.gold.npy"])
def test_a_file_that_is_missing(pattern, broken, tmp_path):
    first(broken, pattern).unlink()
    assert "no such file" in message_of(broken, tmp_path / "run")


def test_lines_that_do_not_end(broken, tmp_path):
    path = first(broken, "train/*/*.src.bin")
    path.write_bytes(path.read_bytes().replace(b"\x02\x00", b"\x09\x00"))
    assert "does not end in </s>" in message_of(broken, tmp_path / "run")


def test_a_mixture_of_rate_zero(broken, tmp_path):
    path = broken / "train" / "mixture.json"
    facts = json.loads(path.read_text())
    facts["rule"] = "flan"
    for task in facts["tasks"]:
        task["rate"] = 0
    path.write_text(json.dumps(facts))
    assert "no task with rows has a rate above 0" in message_of(broken, tmp_path / "run")


# Checkpoints


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory, data):
    save_dir = tmp_path_factory.mktemp("pretrained")
    train(data, save_dir, "--max-update=1", "--disable-validation")
    return save_dir


def test_a_pretraining_checkpoint_is_not_resumed(pretrained, whole, tmp_path):
    message = message_of(whole, tmp_path / "run", f"--restore-file={pretrained}/checkpoint_last.pt")
    assert "a checkpoint of --task metro_t5" in message and "--init-from" in message
    shutil.copytree(pretrained, tmp_path / "again")
    with pytest.raises(Exception) as caught:
        finetune(whole, tmp_path / "again", "--max-update=3")
    assert "another --save-dir" in user_message(caught.value)


@pytest.mark.parametrize("option", ["--finetune-from-model", "--init-from"])
def test_a_checkpoint_of_another_vocabulary(option, pretrained, whole, tmp_path):
    state = torch.load(pretrained / "checkpoint_last.pt", weights_only=True)
    state["task_state"]["stamp"]["vocabulary"] = "0" * 64
    torch.save(state, tmp_path / "other.pt")
    message = message_of(whole, tmp_path / "run", f"{option}={tmp_path}/other.pt")
    assert "trained with vocabulary 000000000000" in message


def test_other_data_is_said_when_a_run_is_resumed(whole, broken, tmp_path):
    finetune(whole, tmp_path / "run", "--max-update=1", "--disable-validation")
    stamp = json.loads((broken / "prompted.json").read_text())
    stamp["splits"]["train"]["sha256"] = "other"
    (broken / "prompted.json").write_text(json.dumps(stamp))
    log = finetune(broken, tmp_path / "run", "--max-update=2", "--disable-validation")
    assert any("trained on other data" in text for _, text in log.records)
