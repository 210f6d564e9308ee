"""fairseq-metro adopt: folders of fairseq-preprocess become ours, or stay as they are."""

import json
import shutil

import pytest

from fairseq_metro.common.errors import UserError
from fairseq_metro.data.indexed import read_stamp
from fairseq_metro.prepare import adopt, binarize
from fairseq_metro.vocabulary.folder import Vocabulary
from tests import stock
from tests.prepare import samples


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(text files by split, vocabulary folder, folder of fairseq-preprocess, its own dictionary)."""
    folder, vocabulary = tmp_path_factory.mktemp("made"), samples.vocabulary()
    texts = {}
    for number, split in enumerate(("train", "valid")):
        texts[split] = folder / f"{split}.txt"
        texts[split].write_text(samples.text(number, 12), "utf-8")
    return (
        texts,
        vocabulary.path,
        stock.binarized(folder / "bin", vocabulary.path / "spm.model", texts),
    )


@pytest.fixture
def data(made, tmp_path):
    return shutil.copytree(made[2], tmp_path / "data")


def files(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_an_adopted_folder_has_a_stamp_a_vocabulary_and_what_it_had(data, made):
    before = files(data)
    assert adopt.main([str(data), "--sentencepiece-model", str(made[1] / "spm.model")]) == 0
    after = files(data)
    assert {name: after[name] for name in before} == before
    added = {str(name) for name in after.keys() - before.keys()}
    assert added == {
        "stamp.json",
        *(f"vocab/{n}" for n in ("spm.model", "dict.txt", "tokenizer.json")),
    }
    vocabulary, stamp = Vocabulary.load(data / "vocab"), read_stamp(data)
    assert stamp["vocabulary"] == vocabulary.hash
    assert (data / "vocab" / "dict.txt").read_bytes().startswith((data / "dict.txt").read_bytes())
    text = "The value of the expression is a list."
    assert vocabulary.decode(vocabulary.encode(text)) == text


def test_with_our_vocabulary_its_stamp_is_that_of_binarize(made, tmp_path):
    texts, vocab, _ = made
    folder = stock.binarized(
        tmp_path / "data", vocab / "spm.model", texts, "--srcdict", vocab / "dict.txt"
    )
    adopt.adopt([folder], vocab)
    words = ["--vocab", vocab, "--train", texts["train"], "--valid", texts["valid"],
             "--dest", tmp_path / "ours", "--workers", "1"]  # fmt: skip
    assert binarize.main([*map(str, words)]) == 0
    ours, adopted = read_stamp(tmp_path / "ours"), read_stamp(folder)
    for name in ("vocabulary", "dictionary", "documents"):
        assert adopted[name] == ours[name]
    for split in ("train", "valid"):
        # fairseq-preprocess keeps blank lines at the end of a file and several in a row.
        assert adopted["splits"][split]["unknown"] == ours["splits"][split]["unknown"]
        assert adopted["splits"][split]["documents"] == ours["splits"][split]["documents"]
    common = [stamp["splits"]["train"]["commonest_token"] for stamp in (ours, adopted)]
    assert common[0] == common[1]


def test_several_folders_share_the_vocabulary_of_the_first(data, tmp_path):
    second = shutil.copytree(data, tmp_path / "second")
    assert adopt.main([f"{data}:{second}"]) == 0
    assert read_stamp(data)["vocabulary"] == read_stamp(second)["vocabulary"]
    assert not Vocabulary.load(second / "vocab").has_tokenizer


def test_a_killed_adoption_is_finished_by_the_same_command(data, monkeypatch, tmp_path):
    whole = shutil.copytree(data, tmp_path / "whole")
    adopt.adopt([whole])
    (data / ".adopting").mkdir()  # of a run that was killed before it renamed anything
    (data / ".adopting" / "stamp.json").write_text("{")
    shutil.copytree(whole / "vocab", data / "vocab")  # or after it had renamed the first
    adopt.adopt([data])
    assert read_stamp(data)["data"] == read_stamp(whole)["data"]
    assert files(data).keys() == files(whole).keys()


def test_what_cannot_be_written_leaves_every_folder_as_it_was(data, monkeypatch, tmp_path):
    second = shutil.copytree(data, tmp_path / "second")
    before = files(data), files(second)
    prepare = adopt.prepare

    def fail(folder, *rest):
        prepare(folder, *rest)
        if folder == second:
            raise OSError(28, "No space left on device", str(folder))

    monkeypatch.setattr(adopt, "prepare", fail)
    with pytest.raises(OSError):
        adopt.adopt([data, second])
    assert (files(data), files(second)) == before


def other_vocabulary(data, made):
    return ["--vocab", str(samples.vocabulary(vocab_size=500).path)]


def stamped(data, made):
    (data / "stamp.json").write_text(json.dumps({"vocabulary": "", "data": "", "splits": {}}))


def unfinished(data, made):
    (data / ".partial").mkdir()


def beyond(data, made):
    stock.change_tokens(data / "train", lambda ids: ids.__setitem__(3, 50000))


def no_dictionary(data, made):
    (data / "dict.txt").unlink()


def no_tokens(data, made):
    for path in [*data.glob("*.idx"), *data.glob("*.bin")]:
        path.unlink()


def other_model(data, made):
    return ["--sentencepiece-model", str(samples.vocabulary(vocab_size=500).path / "spm.model")]


def two_tokenizers(data, made):
    return ["--vocab", str(made[1]), "--sentencepiece-model", str(made[1] / "spm.model")]


def a_mask_in_the_dictionary(data, made):
    text = (data / "dict.txt").read_text("utf-8")
    (data / "dict.txt").write_text(f"<mask> 1\n{text}", "utf-8")


def pairs(data, made):
    for suffix in ("bin", "idx"):
        for side in ("src", "tgt"):
            shutil.copyfile(data / f"train.{suffix}", data / f"train.src-tgt.{side}.{suffix}")


def something_called_vocab(data, made):
    (data / "vocab").mkdir()
    (data / "vocab" / "notes.txt").write_text("mine")


def another_vocabulary_there(data, made):
    shutil.copytree(samples.vocabulary(vocab_size=500).path, data / "vocab")
    return ["--vocab", str(data / "vocab")]


@pytest.mark.parametrize(
    "spoil, message",
    [
        (other_vocabulary, "so its ids mean other tokens"),
        (other_model, "are no pieces of it"),
        (stamped, "stamp.json: is there already"),
        (unfinished, r"binarize\.py was stopped in it"),
        (beyond, "has a token of id 50000"),
        (no_dictionary, r"no dict\.txt in it"),
        (no_tokens, "no token files in it"),
        (two_tokenizers, "give one of them"),
        (a_mask_in_the_dictionary, "its symbol 4 is '<mask>'"),
        (pairs, "holds pairs, not text"),
        (something_called_vocab, "is no vocabulary folder; move it away"),
        (another_vocabulary_there, "so its ids mean other tokens"),
    ],
)
def test_a_mistake_is_one_line_and_changes_nothing(spoil, message, data, made, tmp_path):
    good = shutil.copytree(data, tmp_path / "good")  # given before it, and left alone too
    options = spoil(data, made) or []
    before = files(data), files(good)
    with pytest.raises(UserError, match=message):
        adopt.main([str(good), str(data), *options])
    assert (files(data), files(good)) == before
    assert not list(tmp_path.rglob(".adopting"))


def test_a_missing_folder(tmp_path):
    with pytest.raises(UserError, match="nowhere: no such folder"):
        adopt.main([str(tmp_path / "nowhere")])
