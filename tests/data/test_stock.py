"""What can be known of a folder of fairseq-preprocess from its files."""

import numpy as np
import pytest
from fairseq.data import Dictionary
from hypothesis import given
from hypothesis import strategies as st

from fairseq_metro.common.errors import UserError
from fairseq_metro.data import stock
from fairseq_metro.data.indexed import IndexedWriter
from fairseq_metro.vocabulary.folder import SPECIALS, Vocabulary
from fairseq_metro.vocabulary.own_symbols import OWN_SYMBOLS
from tests.prepare import samples

WORDS = [f"w{i}" for i in range(8)]


def dictionary_of(folder, symbols, count=1):
    path = folder / "dict.txt"
    path.write_text("".join(f"{symbol} {count}\n" for symbol in symbols), "utf-8")
    return path


@given(st.lists(st.sampled_from([*WORDS, *OWN_SYMBOLS[:5], "<sen000>", "<sen900>"]), unique=True))
def test_missing_symbols_are_added_only_behind_those_that_begin_the_order(words):
    symbols = [*SPECIALS, *words]
    held = [w for w in words if w not in WORDS]
    fits = held == OWN_SYMBOLS[: len(held)] and symbols[len(symbols) - len(held) :] == held
    if not fits:
        with pytest.raises(UserError, match="must be its last, in the order <mask>, <sen001>"):
            stock.missing_symbols(symbols, "dict.txt")
        return
    completed = [*symbols, *stock.missing_symbols(symbols, "dict.txt")]
    assert completed[-len(OWN_SYMBOLS) :] == OWN_SYMBOLS
    assert completed[: len(symbols)] == symbols and len(set(completed)) == len(completed)


def test_ids_are_those_of_fairseqs_dictionary_and_its_masked_lm_task(tmp_path):
    """fairseq's masked-LM task adds <mask> with add_symbol: the same id."""
    path = dictionary_of(tmp_path, WORDS, count=7)
    theirs = Dictionary.load(str(path))
    mask = theirs.add_symbol("<mask>")
    ours = stock.stock_vocabulary(path)
    assert ours.dictionary().symbols[: len(theirs)] == theirs.symbols == ours.symbols[: mask + 1]
    assert ours.index("mask") == mask and ours.sentinel_indices[0] == mask + 1
    assert ours.dictionary().count[4] == 7


def test_the_hash_is_of_the_ids_and_not_of_the_tokenizer(tmp_path):
    pieces = samples.vocabulary()
    path = dictionary_of(tmp_path, pieces.symbols[4:200])
    without = stock.stock_vocabulary(path)
    model = pieces.path / "spm.model"
    with_model = stock.stock_vocabulary(path, model)
    assert without.hash == with_model.hash and not without.has_tokenizer
    assert dictionary_of(tmp_path, pieces.symbols[4:201]) == path
    assert stock.stock_vocabulary(path).hash != without.hash
    # The same folder with and without the model, and a model that is added later.
    for vocabulary in (without, with_model):
        vocabulary.copy_to(tmp_path / "vocab")
        loaded = Vocabulary.load(tmp_path / "vocab")
        assert loaded.hash == without.hash and loaded.has_tokenizer == vocabulary.has_tokenizer
    without.copy_to(tmp_path / "vocab")
    assert Vocabulary.load(tmp_path / "vocab").has_tokenizer


def test_pieces_that_the_dictionary_lacks_are_unknown(tmp_path):
    pieces = samples.vocabulary()
    text = "The value of the expression is a list."
    ids = pieces.encode(text)
    missing = ids[1]
    symbols = [s for i, s in enumerate(pieces.symbols[4:512], 4) if i != missing]
    ours = stock.stock_vocabulary(dictionary_of(tmp_path, symbols), pieces.path / "spm.model")
    assert [ours.symbols[i] for i in ours.encode(text)] == [
        "<unk>" if i == missing else pieces.symbols[i] for i in ids
    ]


def test_a_model_fits_whose_pieces_and_unknown_characters_are_the_symbols(tmp_path):
    """Characters that the model cannot write are symbols of their own in a learned dictionary."""
    pieces = samples.vocabulary()
    unknown = [chr(0x4E00 + i) for i in range(300)]
    symbols = [*pieces.symbols[4:200], *unknown, "madeupword0000", "<en>"]
    path = dictionary_of(tmp_path, symbols)
    assert stock.stock_vocabulary(path, pieces.path / "spm.model").has_tokenizer


@pytest.mark.parametrize("kind", ["words", "GPT-2's numbers", "another model's pieces"])
def test_a_model_that_cannot_have_made_the_symbols_is_refused(kind, tmp_path):
    pieces, other = samples.vocabulary(vocab_size=600), samples.vocabulary(vocab_size=500)
    symbols = {
        "words": ["the", "of", "and"],
        "GPT-2's numbers": ["13", "262", "11"],
        "another model's pieces": pieces.symbols[4:600],
    }[kind]
    with pytest.raises(UserError, match="are no pieces of it; give the model"):
        stock.stock_vocabulary(dictionary_of(tmp_path, symbols), other.path / "spm.model")


def test_an_empty_dictionary_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"dict\.txt: has no symbols"):
        stock.stock_vocabulary(dictionary_of(tmp_path, []))


# Token files


def write(prefix, tokens, dtype=None, sizes=None):
    writer = IndexedWriter(prefix, 100)
    writer.dtype = np.dtype(dtype or writer.dtype)
    writer.write(np.asarray(tokens), [len(tokens)] if sizes is None else sizes)
    writer.close()
    return stock.open_tokens(prefix)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.int64, np.uint64])
def test_unknown_ids_are_refused_in_every_type(dtype, tmp_path):
    stock.refuse_unknown_ids(write(tmp_path / "good", [4, 9, 2], dtype), 10, "dict.txt")
    with pytest.raises(UserError, match=r"has a token of id 10, but dict\.txt has only 10 symbols"):
        stock.refuse_unknown_ids(write(tmp_path / "bad", [4, 10, 2], dtype), 10, "dict.txt")


def test_negative_ids_are_refused(tmp_path):
    with pytest.raises(UserError, match="has a token of id 4294967295"):
        stock.refuse_unknown_ids(write(tmp_path / "bad", [4, -1, 2], np.int32), 10, "dict.txt")


@given(st.lists(st.integers(0, 20), max_size=200))
def test_the_commonest_token_is_that_of_a_count(tokens):
    counts = [tokens.count(i) if i > 3 else -1 for i in range(21)]
    assert stock.commonest_token(np.array(tokens, dtype=np.uint16), 21) == np.argmax(counts)


def test_large_data_is_sampled_evenly(monkeypatch):
    monkeypatch.setattr(stock, "CHUNK", 10)
    monkeypatch.setattr(stock, "MOST_CHUNKS", 8)
    tokens = np.repeat([5, 6, 7], [400, 500, 100])
    assert stock.commonest_token(tokens, 10) == 6


def test_facts_are_those_of_binarize(tmp_path):
    """Lines, documents and tokens as binarize.py counts them."""
    dictionary_of(tmp_path, WORDS)
    write(tmp_path / "train", [4, 2, 2, 5, 5, 2, 5, 2], sizes=[2, 1, 3, 2])
    write(tmp_path / "valid", [2, 4, 2, 2], sizes=[1, 2, 1])
    facts = stock.text_facts(tmp_path)
    assert facts["vocabulary"] is None and len(facts["data"]) == 64
    assert facts["splits"] == {
        "train": {"lines": 4, "tokens": 8, "documents": 2, "commonest_token": 5},
        "valid": {"lines": 3, "tokens": 4, "documents": 1},
    }
