"""``--init-from``: pretraining that begins with a model of ours or the authors'."""

import shutil

import pytest
import torch

from fairseq_metro.common.errors import user_message
from fairseq_metro.interchange.export_authors import export_hugging_face
from fairseq_metro.interchange.import_authors import import_authors
from fairseq_metro.interchange.model import read_model
from fairseq_metro.vocabulary.authors import import_vocabulary
from tests import training
from tests.interchange import authors
from tests.interchange.conftest import SENTINELS
from tests.interchange.vocabulary import rows_of, write_theirs

SIZES = [
    f"--embed-dim={authors.WIDTH}",
    f"--ffn-dim={authors.INNER}",
    f"--attention-heads={authors.HEADS}",
    "--encoder-layers=3",
    "--decoder-layers=3",
    f"--relative-position-buckets={authors.BUCKETS}",
    f"--relative-position-max-distance={authors.DISTANCE}",
    "--max-positions=32",
]
AUXILIARY = ["--auxiliary-layers=2", "--mlm-head=transform"]
# A rate at which one update changes nothing that can be seen: what is saved is what was read.
STILL = ["--lr=1e-30", "--weight-decay=0", "--max-update=1", "--disable-validation"]


def train(data, save_dir, *options, task="metro_t5", **changes):
    words = [*SIZES, *(AUXILIARY if task == "metro_t5" else []), *options]
    if task == "t5":
        words += ["--task=t5", "--criterion=t5"]
        changes.setdefault("architecture", "t5_transformer_tiny")
    return training.train(data, save_dir, *words, **changes)


def said(log):
    return "\n".join(text for _, text in log.records)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, theirs):
    """Their vocabulary, with a checkpoint of theirs beside it."""
    folder = shutil.copytree(theirs, tmp_path_factory.mktemp("theirs") / "folder")
    state = authors.training_state(rows=rows_of(theirs, SENTINELS), positions=32)
    authors.write_checkpoint(folder / "checkpoint_best.pt", state)
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory, folder):
    """The same as a run's folder of ours."""
    out = tmp_path_factory.mktemp("run") / "run"
    import_authors(folder / "checkpoint_best.pt", out)
    return out


@pytest.fixture(scope="module")
def release(tmp_path_factory, run):
    """Its main model as a Hugging Face folder, in fp32, without a folder of ours in it."""
    out = tmp_path_factory.mktemp("release") / "hf"
    export_hugging_face(run, out, fp32=True)
    shutil.rmtree(out / "vocab")
    return out


def equal_main(ours, theirs):
    main = [key for key in theirs if key.startswith(("encoder.", "decoder."))]
    return all(torch.equal(ours[key], theirs[key]) for key in main)


def saved(save_dir):
    return training.parameters(save_dir / "checkpoint_last.pt")


@pytest.mark.parametrize("source", ["a run of ours", "a checkpoint of theirs"])
def test_all_parameters_are_the_models_own(source, run, folder, data, tmp_path):
    path = run if source == "a run of ours" else folder / "checkpoint_best.pt"
    log = train(data, tmp_path, f"--init-from={path}", *STILL)
    assert training.equal(saved(tmp_path), read_model(run).state)
    assert f"--init-from {path}" in said(log)
    assert "stays at its initialisation" not in said(log)


def test_a_hugging_face_folder_leaves_auxiliary_model_and_rtd_head_at_their_start(
    release, run, data, tmp_path
):
    log = train(data, tmp_path / "with", f"--init-from={release}", *STILL)
    fresh = tmp_path / "without"
    train(data, fresh, *STILL)
    ours, start = saved(tmp_path / "with"), saved(fresh)
    assert equal_main(ours, read_model(run).state) and not equal_main(start, ours)
    own = [key for key in start if not key.startswith(("encoder.", "decoder."))]
    own.remove("auxiliary.embed_tokens.weight")  # the main model's
    assert own and all(torch.equal(ours[key], start[key]) for key in own)
    for part in ("auxiliary model", "RTD head"):
        assert f"no {part} in it: ours stays at its initialisation" in said(log)


def test_the_t5_baseline_takes_the_main_model(run, data, tmp_path):
    options = ["--mask-multiple-length=3", "--empty-prob=0", "--tokens-per-sample=16"]
    log = train(data, tmp_path, f"--init-from={run}", *STILL, *options, task="t5")
    assert equal_main(saved(tmp_path), read_model(run).state)
    assert "its auxiliary model is left behind; its RTD head is left behind" in said(log)


def test_training_goes_on_from_there_with_a_new_optimizer(run, data, tmp_path):
    """Updates begin at 1, the loss where the model had brought it, and a restart resumes."""
    first = train(data, tmp_path / "a", f"--init-from={run}", "--max-update=3")
    assert list(first.losses()) == [1, 2, 3]
    again = train(data, tmp_path / "b", f"--init-from={tmp_path / 'a'}", "--max-update=1")
    (start,), (end,) = again.lines("start"), first.lines("valid")[-1:]
    assert training.same_number(start["start_loss"], end["valid_loss"], rel=1e-3)
    assert list(again.losses()) == [1]


def test_a_run_that_is_resumed_does_not_read_it_again(run, data, tmp_path):
    train(data, tmp_path / "whole", f"--init-from={run}", "--max-update=4")
    train(data, tmp_path / "parts", f"--init-from={run}", "--max-update=2")
    log = train(data, tmp_path / "parts", f"--init-from={run}", "--max-update=4")
    assert list(log.losses()) == [3, 4]
    assert "not read, the run is resumed" in said(log)
    assert training.equal(saved(tmp_path / "whole"), saved(tmp_path / "parts"))


def test_a_checkpoint_that_does_not_say_its_distance_is_taken_at_ours(folder, data, tmp_path):
    state = torch.load(folder / "checkpoint_best.pt", weights_only=False)["model"]
    path = authors.write_checkpoint(tmp_path / "silent.pt", state, form="none")
    log = train(data, tmp_path / "run", f"--init-from={path}", *STILL)
    assert f"does not say its max_distance; {authors.DISTANCE} is taken" in said(log)
    assert "only the number of its ids is checked" in said(log)


def test_a_run_that_begins_in_an_imported_folder_starts_at_its_parameters(run, data, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    log = train(data, tmp_path / "run", "--max-update=2", "--disable-validation")
    assert list(log.losses()) == [1, 2]
    train(data, tmp_path / "other", f"--init-from={run}", "--max-update=2", "--disable-validation")
    assert training.equal(saved(tmp_path / "run"), saved(tmp_path / "other"))


# Mistakes


def message_of(*words, **changes):
    with pytest.raises(Exception) as caught:  # fairseq may wrap ours in its own
        train(*words, "--max-update=1", **changes)
    message = user_message(caught.value)
    assert message and "\n" not in message, repr(caught.value)
    return message


@pytest.mark.parametrize(
    "option, expected",
    [
        ("--ffn-dim=16", "it has --ffn-dim 12, but here it is 16"),
        ("--encoder-layers=2", "it has --encoder-layers 3, but here it is 2"),
        ("--relative-position-max-distance=20", "--relative-position-max-distance 11"),
        ("--attention-heads=4", "it has --attention-heads 2, but here it is 4"),
        ("--max-positions=64", "it has --max-positions 32, but here it is 64"),
        ("--mlm-head=linear", "it has --mlm-head transform, but here it is linear"),
        ("--auxiliary-embed-dim=4", "it has --auxiliary-embed-dim 8, but here it is 4"),
        ("--rtd-head=simple", "it has --rtd-head roberta, but here it is simple"),
        ("--share-auxiliary=token_pos", "give --share-auxiliary token"),
    ],
)
def test_sizes_that_differ_are_one_line(run, data, tmp_path, option, expected):
    message = message_of(data, tmp_path, f"--init-from={run}", option)
    assert expected in message and str(run) in message
    assert not list(tmp_path.glob("*.pt"))


def test_all_differing_options_stand_in_that_line(run, data, tmp_path):
    options = ["--ffn-dim=16", "--decoder-layers=1", "--auxiliary-layers=1"]
    message = message_of(data, tmp_path, f"--init-from={run}", *options)
    assert (
        "--ffn-dim 12 --decoder-layers 3 --auxiliary-layers 2, but here it is 16, 1, 1" in message
    )


def test_another_vocabulary_of_ours_is_refused(run, data, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    settings = tmp_path / "run" / "vocab" / "tokenizer.json"
    settings.write_text(settings.read_text().replace('"lowercase": true', '"lowercase": false'))
    message = message_of(data, tmp_path / "new", f"--init-from={tmp_path / 'run'}")
    assert "trained with vocabulary" in message
    shutil.rmtree(tmp_path / "run" / "vocab")
    path = tmp_path / "run" / "checkpoint_last.pt"
    state = torch.load(path, weights_only=True)
    state["task_state"]["stamp"]["vocabulary"] = "0" * 64
    torch.save(state, path)
    message = message_of(data, tmp_path / "new", f"--init-from={path}")
    assert "trained with vocabulary 000000000000" in message


def test_a_dictionary_of_theirs_in_another_order_is_refused(release, data, tmp_path):
    folder = shutil.copytree(release, tmp_path / "hf")
    lines = (folder / "dict.txt").read_text("utf-8").splitlines()
    (folder / "dict.txt").write_text("\n".join([lines[0], lines[2], lines[1], *lines[3:]]) + "\n")
    assert "differ (id 5)" in message_of(data, tmp_path / "run", f"--init-from={folder}")


def test_a_model_of_another_vocabulary_size_is_refused(data, tmp_path):
    path = authors.write_checkpoint(tmp_path / "small.pt", authors.training_state(positions=32))
    message = message_of(data, tmp_path / "run", f"--init-from={path}")
    assert "its token table has 26 rows" in message


def test_a_path_that_holds_no_model(data, tmp_path):
    assert "no such file or folder" in message_of(data, tmp_path, f"--init-from={tmp_path}/none")
    assert "neither a run's folder" in message_of(data, tmp_path, f"--init-from={data}")


def test_vocabularies_of_the_same_text_have_the_same_hash(theirs, vocabulary, tmp_path):
    """What the hash's check rests on: an import is the same whoever makes it, wherever."""
    again = import_vocabulary(write_theirs(tmp_path / "theirs"), tmp_path / "ours", SENTINELS)
    assert again.hash == vocabulary.hash
