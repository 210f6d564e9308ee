"""The authors' normalisation against golden lines made by their own tokenizer, and a naive copy."""

import doctest
import json
import random
import shutil
import string
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairseq_metro.vocabulary import normalization
from fairseq_metro.vocabulary.folder import Vocabulary
from fairseq_metro.vocabulary.normalization import (
    Normalizer,
    is_punctuation,
    normalize_metro,
    split_outer_punctuation,
)

CLITICS = "s m d t S M D T ll re ve LL RE VE".split()

# Text in which every rule has something to do.
TEXT = st.text(
    st.one_of(
        st.sampled_from("'`\"‘’´“”—– .,!?-()"),  # noqa: RUF001
        st.sampled_from("smdtSMDTlrveLRVE aé9_Σ\u3000\t"),
        st.characters(),
    ),
    max_size=40,
)


def naive(text):
    """Rules 1 to 3 one character at a time."""
    for pair in ("``", "''"):
        while pair in text:
            text = text.replace(pair, '"', 1)
    for old, new in zip("‘’´“”—–", "'''\"\"--", strict=True):  # noqa: RUF001
        text = text.replace(old, new)
    parts = []
    for token in text.split():
        head, tail = [], []
        rest = list(token)
        while rest and naive_punctuation(rest[0]):
            head.append(rest.pop(0))
        while rest and naive_punctuation(rest[-1]):
            tail.insert(0, rest.pop())
        parts += ["".join(part) for part in (head, rest, tail) if part]
    text, out, i = " ".join(parts), "", 0
    while i < len(text):
        if text[i : i + 2] == "' ":
            clitic = text[i + 2 : i + 2 + word_length(text, i + 2)]
            if clitic in CLITICS:
                space = " " if clitic in ("LL", "RE", "VE") else ""
                out, i = f"{out}'{clitic}{space}", i + 2 + len(clitic)
                continue
        out, i = out + text[i], i + 1
    return " ".join(out.split())


def word_length(text, begin):
    """Characters from a place on up to the next that is neither a letter, a digit nor an underscore."""
    end = begin
    while end < len(text) and (text[end].isalnum() or text[end] == "_"):
        end += 1
    return end - begin


def naive_punctuation(character):
    if ord(character) < 128:
        return character in string.punctuation
    return unicodedata.category(character)[0] == "P"


@given(TEXT)
def test_the_metro_normalisation_equals_a_naive_copy(text):
    assert normalize_metro(text) == naive(text)


def test_the_metro_normalisation_equals_a_naive_copy_on_lines_full_of_apostrophes():
    """40,000 lines, half of whose tokens begin or end with one, of words that begin as clitics do."""
    rng = random.Random(13)
    words = "relu returns very veto llama red LLVM REST VERY so it don't re-run re_x LL-x s9 café"
    words = CLITICS + words.split()
    around = [
        "'",
        "'",
        "' ",
        " '",
        "''",
        "`",
        "\u2018",
        "\u2019",
        '"',
        ".",
        ",",
        "(",
        "",
        "",
        "",
        "",
    ]
    glued = 0
    for _ in range(40_000):
        tokens = (rng.choice(around) + rng.choice(words) + rng.choice(around) for _ in range(6))
        line = rng.choice([" ", " ", ""]).join(tokens)
        expected = naive(line)
        assert normalize_metro(line) == expected, line
        glued += any(f"'{clitic}" in expected.split() for clitic in CLITICS)
    assert 8_000 < glued < 32_000


@given(st.lists(TEXT, min_size=1, max_size=5), st.booleans())
def test_remembered_tokens_change_nothing(texts, lowercase):
    normalizer = Normalizer("metro", lowercase)
    for text in texts * 2:
        expected = normalize_metro(text)
        assert normalizer(text) == (expected.lower() if lowercase else expected)


def test_the_memory_of_tokens_is_bounded(monkeypatch):
    monkeypatch.setattr(normalization, "TOKENS_KEPT", 10)
    normalizer = Normalizer("metro")
    words = [f"(w{i})" for i in range(25)]
    assert normalizer(" ".join(words)) == " ".join(f"( w{i} )" for i in range(25))
    assert len(normalizer._split) <= 10


@given(st.characters())
def test_punctuation_is_ascii_non_alphanumerics_and_category_p(character):
    assert is_punctuation(character) == naive_punctuation(character)


@given(st.text(min_size=1))
def test_splitting_a_token_loses_no_character(token):
    assert "".join(split_outer_punctuation(token)) == token


@given(st.text())
def test_no_normalisation_leaves_text_alone(text):
    assert Normalizer("none")(text) == text


@pytest.mark.parametrize(
    ("raw", "normalised"),
    [
        ("`sleepy hollow' as", "` sleepy hollow ' as"),
        ("I'LL go; THEY'VE", "I'LL go ; THEY'VE"),
        ("'s 't 'm 'll 'RE", "'s 't 'm 'll 'RE"),
        ("'relu'", "' relu '"),
        ("the 'returns'.", "the ' returns '."),
        ("'very' good", "' very ' good"),
        ("it 'll do", "it 'll do"),
        ("we 're.", "we 're ."),
        ("'LLVM'", "' LLVM '"),
        ("they 'VE.", "they 'VE ."),
        ("'re-run', 've_x' and 'rë'", "'re-run ', ' ve_x ' and ' rë '"),
        ("(see e.g. [1])...", "( see e.g . [ 1 ])..."),
        ("  \t ", ""),
    ],
)
def test_examples_of_the_metro_normalisation(raw, normalised):
    assert normalize_metro(raw) == normalised


def test_docstring_examples_are_true():
    assert doctest.testmod(normalization).failed == 0


@pytest.mark.parametrize(("name", "lowercase"), [("vocab_32k", True), ("vocab_64k", False)])
def test_text_and_ids_equal_the_authors_tokenizer_on_all_golden_lines(
    shared, tmp_path, name, lowercase
):
    source = shared / "data" / "vocab"
    if not (source / "golden_tokenization.jsonl").is_file():
        pytest.skip(f"no golden lines in {source}")
    sentinels = [f"<sen{i:03d}>" for i in range(512)]
    roles = dict.fromkeys(("mask", "pretraining_decoder_start", "end_of_target"), sentinels[0])
    shutil.copyfile(source / name / "sp.model", tmp_path / "spm.model")
    text = (source / name / "dict.txt").read_text("utf-8")
    (tmp_path / "dict.txt").write_text(text + "".join(f"{s} 1\n" for s in sentinels), "utf-8")
    settings = {
        "version": 1, "normalization": "metro", "lowercase": lowercase,
        "roles": {**roles, "decoder_start": "</s>", "sentinels": sentinels[1:]},
    }  # fmt: skip
    (tmp_path / "tokenizer.json").write_text(json.dumps(settings))
    vocabulary = Vocabulary.load(tmp_path)

    golden = (source / "golden_tokenization.jsonl").read_text("utf-8").splitlines()
    assert len(golden) == 433
    for line in map(json.loads, golden):
        assert vocabulary.normalizer(line["text"]) == line[name]["normalised"]
        assert vocabulary.encode(line["text"]) == line[name]["ids"]
    assert vocabulary.index("mask") == len(vocabulary) - 512
