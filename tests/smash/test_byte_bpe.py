import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairseq_metro.common.errors import UserError
from fairseq_metro.vocabulary.byte_bpe import ByteBPE
from tests.smash import tiny

TEXT = [
    "It was a great film, wasn't it? No: it's 2 hours of the worst 1990s plot.",
    "  The  café's façade — naïve\tand\nnew; they'll've seen ½ of it!!! ",
    "这是一部好电影 🙂 don't",
]


@pytest.fixture(scope="module")
def reference():
    """A byte-level BPE that Hugging Face's library trained, and its files."""
    tokenizers = pytest.importorskip("tokenizers")
    trained = tokenizers.ByteLevelBPETokenizer()
    specials = [*tiny.SPECIALS, "<mask>"]
    trained.train_from_iterator(TEXT * 3, vocab_size=400, min_frequency=2, special_tokens=specials)
    return trained


@pytest.fixture(scope="module")
def ours(reference, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bpe")
    reference.save_model(str(folder))
    return ByteBPE.load(folder)


@pytest.mark.parametrize("text", [*TEXT, "", " ", "a  b ", "\n\n x", "I'm"])
def test_ids_are_those_of_the_reference(reference, ours, text):
    assert ours.encode(text) == reference.encode(text).ids
    assert ours.text(ours.encode(text)) == text


@given(st.text(max_size=60))
def test_ids_of_any_text_are_those_of_the_reference(reference, ours, text):
    if "<" not in text:  # the reference cuts special symbols out of texts
        assert ours.encode(text) == reference.encode(text).ids


def test_one_file_says_the_same(reference, ours, tmp_path):
    reference.save(str(tmp_path / "tokenizer.json"))
    one = ByteBPE.load(tmp_path)
    assert one.vocabulary == ours.vocabulary
    assert [one.encode(text) for text in TEXT] == [ours.encode(text) for text in TEXT]


def test_merges_may_be_strings_or_pairs(tmp_path):
    vocabulary, merges = tiny.bpe_files(["No"])
    for form in (list(map(list, merges)), [" ".join(pair) for pair in merges]):
        model = {"type": "BPE", "vocab": vocabulary, "merges": form}
        (tmp_path / "tokenizer.json").write_text(json.dumps({"model": model}), "utf-8")
        assert ByteBPE.load(tmp_path).encode(" No") == [vocabulary["ĠNo"]]


def test_a_pickled_one_gives_the_same_ids(ours):
    assert pickle.loads(pickle.dumps(ours)).encode(TEXT[0]) == ours.encode(TEXT[0])


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "neither tokenizer.json nor vocab.json"),
        ({"vocab.json": "[]", "merges.txt": ""}, "not a mapping of pieces to ids"),
        ({"vocab.json": '{"a": 0}', "merges.txt": "a b c\n"}, "is no pair"),
        ({"tokenizer.json": '{"model": {"type": "Unigram"}}'}, "no byte-level BPE"),
    ],
)
def test_bad_folders_are_one_line(tmp_path, files, message):
    for name, content in files.items():
        (tmp_path / name).write_text(content, "utf-8")
    with pytest.raises(UserError, match=message) as error:
        ByteBPE.load(tmp_path)
    assert "\n" not in str(error.value)


def test_a_byte_without_a_piece_is_said():
    with pytest.raises(UserError, match="no piece"):
        ByteBPE({"a": 0}, []).encode("ab")
