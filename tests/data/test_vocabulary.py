import json
import pickle
import shutil
import subprocess
import sys
import unicodedata

import pytest
import sentencepiece
from fairseq.data import Dictionary
from hypothesis import given
from hypothesis import strategies as st

from fairseq_metro.common.errors import UserError
from fairseq_metro.vocabulary.folder import FILES, Vocabulary, vocabulary_hash
from tests.prepare import samples


@pytest.fixture
def folder(tmp_path):
    """A copy of a vocabulary folder, to spoil."""
    return shutil.copytree(samples.vocabulary().path, tmp_path / "vocab")


@given(st.text(max_size=60))
def test_ids_are_the_pieces_looked_up_in_fairseqs_dictionary(text):
    vocabulary = samples.vocabulary()
    spm = sentencepiece.SentencePieceProcessor(model_file=str(vocabulary.path / "spm.model"))
    dictionary = Dictionary.load(str(vocabulary.path / "dict.txt"))
    expected = [dictionary.index(piece) for piece in spm.encode(text, out_type=str)]
    assert vocabulary.encode(text) == expected
    assert vocabulary.encode_pieces(text) == " ".join(dictionary[i] for i in expected)
    line = dictionary.encode_line(vocabulary.encode_pieces(text), add_if_not_exist=False)
    assert line.tolist() == [*expected, dictionary.eos()]


def test_an_id_of_the_dictionary_is_the_id_of_the_piece():
    vocabulary = samples.vocabulary()
    spm = vocabulary.processor
    assert [spm.id_to_piece(i) for i in range(len(spm))] == vocabulary.symbols[: len(spm)]
    assert vocabulary.symbols == vocabulary.dictionary().symbols


def test_roles_are_symbols_after_the_pieces():
    vocabulary = samples.vocabulary(vocab_size=600)
    dictionary = vocabulary.dictionary()
    assert vocabulary.index("mask") == vocabulary.index("pretraining_decoder_start") == 600
    assert vocabulary.index("decoder_start") == vocabulary.index("end_of_target") == 2
    assert vocabulary.sentinel_indices == list(range(601, 729))
    assert dictionary[601] == "<sen001>" and dictionary[728] == "<sen128>"
    assert len(vocabulary) == len(dictionary) == 729


def test_ordinary_text_never_becomes_a_mask_or_a_special_token():
    vocabulary = samples.vocabulary()
    ids = vocabulary.encode("<mask> <sen001> <s> </s> <pad> <unk>")
    assert not {*range(3), vocabulary.index("mask"), *vocabulary.sentinel_indices} & set(ids)


def test_decoding_gives_the_text_back():
    vocabulary = samples.vocabulary()
    text = "The value of the expression is a list."
    assert vocabulary.decode(vocabulary.encode(text)) == text
    assert vocabulary.decode(vocabulary.encode_pieces(text)) == text
    assert vocabulary.decode([0, *vocabulary.encode(text), 2, 1, 1]) == text


def test_unknown_characters_are_unk():
    vocabulary = samples.vocabulary()
    assert vocabulary.encode("a \u2603")[-1] == 3
    assert vocabulary.encode_pieces("a \u2603").split()[-1] == "<unk>"


def test_bytes_spell_unknown_characters_where_the_vocabulary_has_them(tmp_path):
    from fairseq_metro.prepare.train_vocabulary import train_vocabulary

    (tmp_path / "text").write_text(samples.text(0, 10), "utf-8")
    vocabulary = train_vocabulary([tmp_path / "text"], tmp_path / "v", 700, byte_fallback=True)
    for text in ("a \u2603 b", unicodedata.lookup("GREEK SMALL LETTER OMEGA")):
        assert 3 not in vocabulary.encode(text)
        assert vocabulary.decode(vocabulary.encode(text)) == text


def test_a_copy_has_the_same_hash_and_is_made_once(folder, tmp_path):
    vocabulary = Vocabulary.load(folder)
    vocabulary.copy_to(tmp_path / "run" / "vocab")
    times = [(tmp_path / "run" / "vocab" / name).stat().st_mtime_ns for name in FILES]
    vocabulary.copy_to(tmp_path / "run" / "vocab")
    assert times == [(tmp_path / "run" / "vocab" / name).stat().st_mtime_ns for name in FILES]
    assert Vocabulary.load(tmp_path / "run" / "vocab").hash == vocabulary.hash
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["vocab"]


def test_a_copy_over_part_of_a_vocabulary_is_whole(folder, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "dict.txt").write_text("half")
    Vocabulary.load(folder).copy_to(tmp_path / "run")
    assert vocabulary_hash(tmp_path / "run") == vocabulary_hash(folder)


def test_a_copy_does_not_replace_another_vocabulary(folder, tmp_path):
    other = samples.vocabulary(vocab_size=500)
    other.copy_to(tmp_path / "run")
    with pytest.raises(UserError, match="holds another vocabulary"):
        Vocabulary.load(folder).copy_to(tmp_path / "run")
    assert vocabulary_hash(tmp_path / "run") == other.hash


@pytest.mark.parametrize("name", FILES)
def test_any_changed_file_changes_the_hash(folder, name):
    before = vocabulary_hash(folder)
    with open(folder / name, "ab") as stream:
        stream.write(b" ")
    assert vocabulary_hash(folder) != before


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(UserError, match=rf"{name}: no such file.*fairseq-metro vocabulary"):
        Vocabulary.load(folder)


def settings_with(folder, **changes):
    path = folder / "tokenizer.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: (f / "spm.model").write_bytes(b"nonsense"), "not a SentencePiece model"),
        (lambda f: (f / "tokenizer.json").write_text("{"), "not valid JSON"),
        (lambda f: (f / "tokenizer.json").write_text("[]"), "not a tokenizer.json of version 1"),
        (lambda f: settings_with(f, version=2), "not a tokenizer.json of version 1"),
        (lambda f: settings_with(f, normalization="nfc"), "'nfc', must be one of none, metro"),
        (lambda f: settings_with(f, lowercase="yes"), "lowercase is 'yes', must be true or false"),
        (lambda f: settings_with(f, source_bos=0), "source_bos is 0, must be true or false"),
        (lambda f: settings_with(f, roles=None), "no roles"),
        (lambda f: settings_with(f, roles={"mask": "<mask>"}), "'pretraining_decoder_start'"),
        (lambda f: lines_of(f, lambda x: x[:-200]), "is not in dict.txt"),
        (lambda f: lines_of(f, lambda x: x[1:]), "is missing; the files do not belong together"),
        (lambda f: lines_of(f, lambda x: [*x, x[0]]), "is there already"),
        (lambda f: lines_of(f, lambda x: [*x, "word"]), "must be: SYMBOL COUNT"),
        (lambda f: lines_of(f, lambda x: [*x, "two words 1"]), "holds whitespace"),
        (lambda f: (f / "dict.txt").write_bytes(b"\xff 1\n"), "not UTF-8"),
    ],
)
def test_files_that_do_not_fit_are_one_clear_line(folder, spoil, message):
    spoil(folder)
    with pytest.raises(UserError, match=message):
        Vocabulary.load(folder)


def lines_of(folder, change):
    path = folder / "dict.txt"
    path.write_text("".join(f"{x}\n" for x in change(path.read_text("utf-8").splitlines())))


def test_one_symbol_may_have_three_roles(folder):
    roles = json.loads((folder / "tokenizer.json").read_text())["roles"]
    for role in ("mask", "pretraining_decoder_start", "end_of_target"):
        roles[role] = "<sen005>"
    settings_with(folder, roles=roles)
    vocabulary = Vocabulary.load(folder)
    assert vocabulary.index("mask") == vocabulary.index("end_of_target") == 605


def test_a_source_begins_with_bos_unless_the_vocabulary_says_otherwise(folder):
    assert Vocabulary.load(folder).source_prefix == [0]
    settings_with(folder, source_bos=False)
    assert Vocabulary.load(folder).source_prefix == []


def test_a_vocabulary_can_be_sent_to_another_process(folder):
    vocabulary = Vocabulary.load(folder)
    other = pickle.loads(pickle.dumps(vocabulary))
    assert other.hash == vocabulary.hash and other.encode("some text") == vocabulary.encode(
        "some text"
    )


def test_encoding_needs_neither_torch_nor_fairseq(root, folder):
    code = (
        "import sys; from fairseq_metro.vocabulary.folder import Vocabulary; "
        "Vocabulary.load(sys.argv[1]).encode('text'); import fairseq_metro.prepare.binarize; "
        "assert not {'torch', 'fairseq'} & set(sys.modules), 'slow start'"
    )
    subprocess.run([sys.executable, "-c", code, str(folder)], check=True, cwd=root)
