"""fairseq-train on what plain fairseq-preprocess wrote: no stamp, no vocabulary, no tokenizer."""

import io
import json
import shutil

import numpy as np
import pytest
from fairseq.tasks import TASK_DATACLASS_REGISTRY, TASK_REGISTRY

import fairseq_metro
from fairseq_metro.common.errors import UserError, user_message
from fairseq_metro.prepare import adopt
from fairseq_metro.vocabulary.folder import Vocabulary
from fairseq_metro.vocabulary.own_symbols import OWN_SYMBOLS
from tests import stock as stock_folders
from tests.prepare import samples
from tests.tasks import test_masked_lm, test_t5
from tests.training import call, command, equal, parameters

TASKS = {
    "metro_t5": command,
    "t5": test_t5.t5_command,
    "masked_lm_blocks": test_masked_lm.command,
}
FEW_BATCHES = ["--batch-size=32", "--batch-size-valid=128"]
UNVALIDATED = ["--disable-validation", "--no-initial-validation"]
SAVING = ["--save-interval-updates=2", "--validate-interval-updates=2"]


def train_task(task, data, save_dir, *options):
    return call("train", TASKS[task](data, save_dir, *FEW_BATCHES, *options))


def train(data, save_dir, *options):
    return train_task("metro_t5", data, save_dir, *options)


@pytest.fixture(scope="module", params=TASKS)
def run(request, tmp_path_factory, stock):
    """(task, the log of four updates, the run's folder)."""
    save_dir = tmp_path_factory.mktemp(request.param)
    return (
        request.param,
        train_task(request.param, stock, save_dir, "--max-update=4", *SAVING),
        (save_dir),
    )


def unchecked(log):
    return [text for _, text in log.records if "no stamp" in text]


def test_it_trains_with_its_own_dictionary_completed_in_a_fixed_order(run, stock):
    _task, log, save_dir = run
    assert len(log.losses()) == 4 and len(log.lines("valid")) == 2
    lines = (save_dir / "vocab" / "dict.txt").read_text("utf-8")
    assert lines == (stock / "dict.txt").read_text("utf-8") + "".join(
        f"{symbol} 1\n" for symbol in OWN_SYMBOLS
    )
    table = next(v for k, v in parameters(save_dir / "checkpoint_last.pt").items() if "embed" in k)
    assert len(table) == 4 + lines.count("\n")
    assert sorted(path.name for path in stock.iterdir()) == [
        "dict.txt", "preprocess.log", "train.bin", "train.idx", "valid.bin", "valid.idx",
    ]  # fmt: skip


def test_what_cannot_be_checked_is_said_once(run, stock):
    (line,) = unchecked(run[1])
    assert line.startswith(f"{stock}: no stamp") and "fairseq-metro adopt" in line


def test_a_resumed_run_equals_an_undisturbed_one(run, stock, tmp_path):
    task, _log, save_dir = run
    shutil.copytree(save_dir / "vocab", tmp_path / "vocab")
    shutil.copyfile(save_dir / "checkpoint_1_2.pt", tmp_path / "checkpoint_last.pt")
    second = train_task(task, stock, tmp_path, "--max-update=4", *SAVING)
    assert list(second.losses()) == [3, 4]
    assert equal(*(parameters(d / "checkpoint_last.pt") for d in (tmp_path, save_dir)))


def test_fairseq_validate_reports_what_training_did(run, stock, capsys):
    """Its lines for each batch are short: the numbers of a histogram are not in them."""
    task, log, save_dir = run
    words = [stock, f"--task={task}", f"--path={save_dir}/checkpoint_last.pt", "--batch-size=32",
             "--cpu", "--log-format=simple", "--log-interval=1"]  # fmt: skip
    call("validate", words)
    lines = [line for line in capsys.readouterr().out.splitlines() if "on 'valid' subset" in line]
    loss = float(lines[-1].split("subset | loss ")[1].split(" |")[0])
    assert loss == pytest.approx(float(log.lines("valid")[-1]["valid_loss"]), rel=1e-4)
    assert any("subset:" in line for line in lines) and max(map(len, lines)) < 700


def test_the_commonest_token_is_counted_in_the_data(run, stock, data):
    """The same text by binarize.py has it in its stamp: the baseline is the same number."""
    _task, log, save_dir = run
    (start,) = log.lines("start")
    assert start["start_unigram_accuracy"] > 0.02
    tokens = np.fromfile(stock / "train.bin", dtype=np.uint16)
    symbols = Vocabulary.load(save_dir / "vocab").symbols
    own = json.loads((data / "stamp.json").read_text())["splits"]["train"]["commonest_token"]
    commonest = np.bincount(tokens[tokens > 3]).argmax()
    assert symbols[commonest] == Vocabulary.load(data / "vocab").symbols[own]


def test_folders_joined_by_colons_are_read_in_turn(stock, tmp_path):
    second = shutil.copytree(stock, tmp_path / "second")
    options = ["--max-epoch=2", "--batch-size=256", "--no-save", *UNVALIDATED]
    log = train(f"{stock}:{second}", tmp_path / "run", *options)
    read = [text.split(":")[0] for _, text in log.records if "/train: " in text]
    assert read[:2] == [f"{stock}/train", f"{second}/train"] and len(unchecked(log)) == 1


@pytest.fixture
def trained(once_trained, tmp_path):
    """The folder of a run of METRO-T5 after one update, to go on with or to spoil."""
    return shutil.copytree(once_trained, tmp_path / "run")


@pytest.fixture(scope="module")
def once_trained(tmp_path_factory, stock):
    save_dir = tmp_path_factory.mktemp("once")
    train(stock, save_dir, "--max-update=1", *UNVALIDATED)
    return save_dir


# What needs text


def test_text_without_a_tokenizer_is_one_line_that_says_what_to_give(run, tmp_path):
    _, _, save_dir = run
    remedy = rf"has no tokenizer.*copy the SentencePiece model.*to {save_dir}/vocab/spm.model"
    if run[0] == "masked_lm_blocks":
        from fairseq_metro.interchange.roberta import load_roberta

        with pytest.raises(UserError, match=remedy):
            load_roberta(save_dir)[1].encode("the river")
        return
    with pytest.raises(UserError, match=remedy):
        fairseq_metro.load(save_dir, "cpu").generate(["the river"])
    with pytest.raises(UserError, match=remedy):
        fairseq_metro.load(save_dir, "cpu").score_choices(["the river"], ["yes"])


def interactive(monkeypatch, data, save_dir, *options):
    monkeypatch.setattr("sys.stdin", io.StringIO("the river\n"))
    words = [data, "--task=metro_t5", f"--path={save_dir}/checkpoint_last.pt", "--cpu", *options]
    return call("interactive", words)


def test_fairseq_interactive_takes_the_model_as_an_option(
    trained, stock, vocabulary, monkeypatch, capsys
):
    with pytest.raises(UserError, match=r"has no tokenizer.*--sentencepiece-model FILE"):
        interactive(monkeypatch, stock, trained)
    interactive(monkeypatch, stock, trained, f"--sentencepiece-model={vocabulary}/spm.model")
    assert "D-0\t" in capsys.readouterr().out


def test_a_model_given_in_training_is_kept_in_the_runs_folder(stock, vocabulary, tmp_path):
    model = shutil.copyfile(vocabulary / "spm.model", tmp_path / "mine.model")
    train(stock, tmp_path / "run", "--max-update=1", *UNVALIDATED, f"--sentencepiece-model={model}")
    model.unlink()
    kept = Vocabulary.load(tmp_path / "run" / "vocab")
    assert kept.decode(kept.encode("the quiet river")) == "the quiet river"
    assert fairseq_metro.load(tmp_path / "run", "cpu").generate(["the river"], max_len_b=3)
    log = train(stock, tmp_path / "run", "--max-update=2", *UNVALIDATED)
    assert list(log.losses()) == [2] and Vocabulary.load(tmp_path / "run" / "vocab").has_tokenizer


def test_a_model_may_come_later(trained, stock, vocabulary):
    assert not Vocabulary.load(trained / "vocab").has_tokenizer
    model = f"--sentencepiece-model={vocabulary}/spm.model"
    train(stock, trained, "--max-update=2", *UNVALIDATED, model)
    assert fairseq_metro.load(trained, "cpu").generate(["the river"], max_len_b=3)


def test_a_run_goes_on_when_its_data_is_adopted(trained, stock, vocabulary, tmp_path):
    data = shutil.copytree(stock, tmp_path / "adopted")
    adopt.adopt([data], model=vocabulary / "spm.model")
    log = train(data, trained, "--max-update=2", *UNVALIDATED)
    assert list(log.losses()) == [2] and not unchecked(log)


def test_a_vocabulary_folder_makes_the_run_as_if_binarized(stock, data, vocabulary, tmp_path):
    """The same text through the same dictionary: the same losses as data of binarize.py."""
    texts = {split: stock.parent / f"bin.{split}" for split in ("train", "valid")}
    folder = tmp_path / "bin"
    words = ["--only-source", "--srcdict", vocabulary / "dict.txt", "--destdir", folder]
    stock_folders.preprocess(*words, "--trainpref", texts["train"], "--validpref", texts["valid"])
    options = ["--max-update=1", *UNVALIDATED]
    log = train(folder, tmp_path / "run", *options, f"--vocab={vocabulary}")
    assert log.losses() == train(data, tmp_path / "other", *options).losses()
    assert Vocabulary.load(tmp_path / "run" / "vocab").hash == Vocabulary.load(vocabulary).hash


# Mistakes: the last options of message_of are those of fairseq-train, which is then run as a whole


@pytest.fixture
def broken(stock, tmp_path):
    return shutil.copytree(stock, tmp_path / "data")


def message_of(data, save_dir, *options, task="metro_t5", **changes):
    """The one line; without options of fairseq-train the task alone is set up, in its process."""
    with pytest.raises(Exception) as caught:  # fairseq may wrap ours in its own
        if options:
            train_task(task, data, save_dir, *options)
        cfg = TASK_DATACLASS_REGISTRY[task](data=str(data), **changes)
        for name, value in vars(cfg).items():
            if str(value).startswith("${"):  # an option of the trainer's
                setattr(cfg, name, None)
        cfg.save_dir, cfg.seed = str(save_dir), 1
        built = TASK_REGISTRY[task].setup_task(cfg)
        built.load_dataset("train")
        built.load_dataset("valid")
    message = user_message(caught.value)
    assert message and "\n" not in message, repr(caught.value)
    return message


def nothing_written(save_dir):
    return not save_dir.exists() or not any(save_dir.iterdir())


def with_symbols(data, place, *symbols):
    """Put symbols into the dictionary at a place."""
    lines = (data / "dict.txt").read_text("utf-8").splitlines()
    place = len(lines) if place is None else place
    lines[place:place] = [f"{symbol} 1" for symbol in symbols]
    (data / "dict.txt").write_text("".join(f"{line}\n" for line in lines), "utf-8")


@pytest.mark.parametrize("task", TASKS)
def test_a_mistake_is_one_line_and_nothing_is_written(task, broken, tmp_path):
    with_symbols(broken, 0, "<mask>")
    message = message_of(broken, tmp_path / "run", "--max-update=1", task=task)
    assert f"{broken}/dict.txt: has '<mask>' as id 4" in message and "--vocab" in message
    assert nothing_written(tmp_path / "run")


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(
    "place, symbols, part",
    [
        (5, ["<sen001>"], "'<sen001>' as id 9"),
        (None, ["<sen001>", "<mask>"], "'<sen001>' as id"),
        (None, ["<mask>", "<sen002>"], "'<sen002>' as id"),
        (None, ["<sen000>"], "'<sen000>' as id"),
        (None, [*OWN_SYMBOLS, "<sen129>"], "'<sen129>' as id"),
        (None, [*OWN_SYMBOLS, "new"], "'<mask>' as id"),
    ],
)
def test_masks_and_sentinels_in_other_places(task, place, symbols, part, broken, tmp_path):
    with_symbols(broken, place, *symbols)
    assert part in message_of(broken, tmp_path / "run", task=task)


def test_symbols_that_are_there_already_in_the_right_place_are_kept(broken, tmp_path):
    with_symbols(broken, None, *OWN_SYMBOLS[:3])
    train(broken, tmp_path / "run", "--max-update=1", *UNVALIDATED)
    assert Vocabulary.load(tmp_path / "run" / "vocab").symbols[-129:] == OWN_SYMBOLS


def test_two_folders_with_different_dictionaries(stock, broken, tmp_path):
    lines = (broken / "dict.txt").read_text("utf-8").splitlines(keepends=True)
    (broken / "dict.txt").write_text("".join([*lines[:3], lines[4], lines[3], *lines[5:]]), "utf-8")
    message = message_of(f"{stock}:{broken}", tmp_path / "run", "--max-update=1")
    assert f"{broken}/dict.txt: its symbol 7 is" in message and str(stock) in message
    assert nothing_written(tmp_path / "run")


@pytest.mark.parametrize("split", ["train", "valid"])
def test_ids_beyond_the_dictionary(split, broken, tmp_path):
    size = 4 + (broken / "dict.txt").read_text().count("\n")
    stock_folders.change_tokens(broken / split, lambda ids: ids.__setitem__(7, size))
    message = message_of(broken, tmp_path / "run", "--max-update=1")
    assert f"{broken}/{split}.bin: has a token of id {size}" in message
    assert f"has only {size} symbols" in message and nothing_written(tmp_path / "run")


def test_ids_beyond_the_dictionary_in_a_later_folder(stock, broken, tmp_path):
    stock_folders.change_tokens(broken / "train", lambda ids: ids.__setitem__(7, 40000))
    message = message_of(f"{stock}:{broken}", tmp_path / "run")
    assert f"{broken}/train.bin: has a token of id 40000" in message


def test_a_dictionary_that_changed_since_the_checkpoint(broken, trained):
    before = (trained / "checkpoint_last.pt").read_bytes()
    original = (broken / "dict.txt").read_bytes()
    with_symbols(broken, 3, "new")
    message = message_of(broken, trained, "--max-update=2")
    assert f"{broken}/dict.txt: its symbol 7 is 'new'" in message and f"{trained}/vocab" in message
    (broken / "dict.txt").write_bytes(original)
    with_symbols(broken, None, "new")
    assert "is 'new', but" in message_of(broken, trained)
    shutil.rmtree(trained / "vocab")
    assert "trained with vocabulary" in message_of(broken, trained, "--max-update=2")
    assert (trained / "checkpoint_last.pt").read_bytes() == before


def test_a_model_that_did_not_make_the_pieces(stock, vocabulary, data, tmp_path):
    model = samples.vocabulary().path / "spm.model"
    message = message_of(stock, tmp_path / "run", sentencepiece_model=str(model))
    assert f"--sentencepiece-model {model}:" in message and "are no pieces of it" in message
    gone = message_of(stock, tmp_path / "run", sentencepiece_model=str(tmp_path / "gone"))
    assert "gone: no such file" in gone
    (tmp_path / "my.model").write_bytes(b"nonsense")
    none = message_of(stock, tmp_path / "run", sentencepiece_model=str(tmp_path / "my.model"))
    assert "not a SentencePiece model" in none
    own = message_of(data, tmp_path / "run", sentencepiece_model=str(vocabulary / "spm.model"))
    assert "has a tokenizer of its own" in own


def test_another_storage_format_and_missing_files(broken, tmp_path):
    (broken / "valid.idx").write_bytes(b"TNTIDX\x00\x00" + bytes(40))
    message = message_of(broken, tmp_path / "run")
    assert "valid.idx: not an index" in message and "fairseq-preprocess" in message
    for path in broken.glob("valid.*"):
        path.unlink()
    message = message_of(broken, tmp_path / "run")
    assert "valid.idx: no such file" in message and "fairseq-preprocess" in message
    (broken / "dict.txt").unlink()
    assert "vocab" in message_of(broken, tmp_path / "run")
