"""A vocabulary of the authors as one of ours: nothing changes its ids."""

import json

import pytest

from fairseq_metro.common.errors import UserError
from fairseq_metro.vocabulary import authors as authors_vocabulary
from fairseq_metro.vocabulary.authors import import_vocabulary
from fairseq_metro.vocabulary.folder import Vocabulary
from tests.interchange.vocabulary import write_theirs


@pytest.mark.parametrize(
    "name, rows, lowercase", [("vocab_32k", 33_280, True), ("vocab_64k", 64_512, False)]
)
def test_their_published_vocabularies_give_their_golden_ids(
    shared, tmp_path, name, rows, lowercase
):
    vocabulary = import_vocabulary(shared / "data" / "vocab" / name, tmp_path / "vocab")
    assert (len(vocabulary), vocabulary.settings["lowercase"]) == (rows, lowercase)
    assert vocabulary.index("mask") == rows - 512
    golden = (shared / "data" / "vocab" / "golden_tokenization.jsonl").read_text("utf-8")
    lines = [json.loads(line) for line in golden.splitlines()]
    assert len(lines) > 400
    for line in lines:
        assert vocabulary.normalizer(line["text"]) == line[name]["normalised"]
        assert vocabulary.encode(line["text"]) == line[name]["ids"]
    # fairseq id == SentencePiece id for every symbol below the sentinels
    assert [vocabulary.processor.id_to_piece(i) for i in range(4, rows - 512)] == (
        vocabulary.symbols[4 : rows - 512]
    )


def test_fairseq_reads_the_same_ids(tmp_path):
    vocabulary = import_vocabulary(write_theirs(tmp_path / "theirs"), tmp_path / "ours", 7)
    words = vocabulary.dictionary()
    assert list(words.symbols) == vocabulary.symbols
    assert words.index("[MASK]") == 4


def test_the_first_sentinel_plays_three_roles_and_the_others_are_sentinels(tmp_path):
    folder = write_theirs(tmp_path / "theirs")
    lines = (folder / "dict.txt").read_text("utf-8").splitlines()
    vocabulary = import_vocabulary(folder, tmp_path / "ours", sentinels=7)
    first = 4 + len(lines)
    for role in ("mask", "pretraining_decoder_start", "end_of_target"):
        assert vocabulary.index(role) == first
    assert vocabulary.index("decoder_start") == 2
    assert vocabulary.sentinel_indices == list(range(first + 1, first + 7))
    assert len(vocabulary) == first + 7


@pytest.mark.parametrize("folds", [True, False])
def test_lower_case_follows_the_model_unless_told(tmp_path, folds):
    theirs = write_theirs(tmp_path / "theirs", folds_case=folds)
    assert import_vocabulary(theirs, tmp_path / "a").settings["lowercase"] is folds
    for told in ("yes", "no"):
        words = [str(theirs), "--out", str(tmp_path / told), "--lowercase", told]
        assert authors_vocabulary.main(words) == 0
        assert Vocabulary.load(tmp_path / told).settings["lowercase"] is (told == "yes")


def test_a_dictionary_with_its_sentinels_is_taken_as_it_is(tmp_path):
    first = import_vocabulary(write_theirs(tmp_path / "theirs"), tmp_path / "a", 7)
    (tmp_path / "a" / "spm.model").rename(tmp_path / "a" / "sp.model")
    second = import_vocabulary(tmp_path / "a", tmp_path / "b", 512)
    assert second.symbols == first.symbols
    assert second.roles == first.roles


@pytest.mark.parametrize(
    "spoil, said",
    [
        (lambda folder: (folder / "sp.model").unlink(), r"sp.model: no such file"),
        (lambda folder: (folder / "dict.txt").unlink(), r"dict.txt: no such file"),
        (lambda folder: (folder / "sp.model").write_text("x"), "not a SentencePiece model"),
        (lambda folder: (folder / "dict.txt").write_text("[MASK] 1\n"), "do not belong together"),
        (lambda folder: (folder / "dict.txt").write_text("a\n"), "line 1 is"),
    ],
)
def test_a_folder_that_cannot_be_used_is_one_line_and_leaves_nothing(tmp_path, spoil, said):
    folder = write_theirs(tmp_path / "theirs")
    spoil(folder)
    with pytest.raises(UserError, match=said):
        import_vocabulary(folder, tmp_path / "ours")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["theirs"]


def test_a_folder_that_is_there_is_not_overwritten(tmp_path):
    folder = write_theirs(tmp_path / "theirs")
    import_vocabulary(folder, tmp_path / "ours")
    with pytest.raises(UserError, match="give another --out"):
        import_vocabulary(folder, tmp_path / "ours")
    with pytest.raises(UserError, match="--sentinels is 0"):
        import_vocabulary(folder, tmp_path / "other", sentinels=0)
