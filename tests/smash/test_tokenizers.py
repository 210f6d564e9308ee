import pytest

from fairseq_metro.common.errors import UserError
from fairseq_metro.vocabulary.byte_bpe import ByteBPE
from fairseq_metro.vocabulary.tokenizers import (
    ByteLevelTokenizer,
    VocabularyTokenizer,
    load_tokenizer,
)
from tests.smash import tiny


def test_a_vocabulary_of_ours(vocabulary):
    tok = VocabularyTokenizer(vocabulary)
    assert (tok.bos, tok.pad, tok.eos, tok.unk) == (0, 1, 2, 3)
    assert tok.mask == vocabulary.index("mask") and tok.cls == [0] and tok.kind == "roberta"
    assert tok.encode("It was great") == vocabulary.encode("It was great")
    assert tok.pieces([tok.literal("?")]) == ["?"]  # without a blank
    assert tok.literal("?") != tok.encode("?")[0]
    assert len(tok) == len(vocabulary) and tok.hash == vocabulary.hash


def test_t5_has_a_sentinel_where_the_mask_is(vocabulary):
    tok = VocabularyTokenizer(vocabulary, "t5")
    assert tok.mask == tok.sentinel(0) == vocabulary.sentinel_indices[0]
    assert tok.cls == vocabulary.source_prefix
    with pytest.raises(UserError, match="sentinels, no 1000"):
        tok.sentinel(1000)


@pytest.mark.parametrize("kind", ["ours", "bytes"])
def test_many_are_encoded_as_one_is(vocabulary, kind):
    tok = VocabularyTokenizer(vocabulary) if kind == "ours" else tiny.tokenizer()
    texts = ["It was great", "", " No", "one two three"]
    assert tok.encode_many(texts) == [tok.encode(text) for text in texts]
    assert tok.encode_many([]) == []


def test_the_mask_is_found_by_its_name():
    assert {tiny.tokenizer(padding=n).mask - len(tiny.tokenizer(padding=0)) for n in (3, 7)} == {
        2,
        6,
    }
    files = tiny.bpe_files()
    del files[0]["<mask>"]
    with pytest.raises(UserError, match="no symbol <mask>"):
        ByteLevelTokenizer(ByteBPE(*files), "here")


def test_a_blank_before_a_word_is_significant_to_bytes():
    tok = tiny.tokenizer()
    assert tok.pieces(tok.encode(" No")) == ["ĠNo"]
    assert tok.pieces(tok.encode("No")) == ["N", "o"]
    assert tok.pieces([tok.literal("?")]) == ["?"]


def test_folders_are_recognised(vocabulary, tmp_path):
    roberta = tiny.write_folder(tmp_path / "roberta")
    assert load_tokenizer(roberta).encode(" No") == tiny.tokenizer().encode(" No")
    assert load_tokenizer(roberta).hash == tiny.tokenizer().hash
    assert load_tokenizer(roberta).hash != tiny.tokenizer(["No"]).hash
    assert load_tokenizer(vocabulary.path).hash == vocabulary.hash
    vocabulary.copy_to(tmp_path / "run" / "vocab")
    assert load_tokenizer(tmp_path / "run", "t5").kind == "t5"


def test_wrong_folders_and_kinds_are_one_line(tmp_path):
    with pytest.raises(UserError, match="no vocabulary of ours"):
        load_tokenizer(tmp_path)
    with pytest.raises(UserError, match="must be one of roberta, t5"):
        load_tokenizer(tmp_path, "bert")
    with pytest.raises(UserError, match="import-t5"):
        load_tokenizer(tiny.write_folder(tmp_path / "r"), "t5")


def test_a_character_that_is_no_piece_is_said(vocabulary):
    with pytest.raises(UserError, match="no piece '☃'"):
        VocabularyTokenizer(vocabulary).literal("☃")
    with pytest.raises(UserError, match="is no piece but"):
        tiny.tokenizer().literal("☃")
