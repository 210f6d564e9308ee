"""The exported tokenizer gives our ids for text of any kind, and the authors' on their golden lines."""
# ruff: noqa: RUF001  odd characters are what it is about

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairseq_metro.interchange.export_code import write_tokenizer
from fairseq_metro.vocabulary.authors import import_vocabulary
from fairseq_metro.vocabulary.folder import Vocabulary
from tests.interchange.exports import modules_cache  # noqa: F401  a fixture
from tests.interchange.vocabulary import WORDS, write_theirs

transformers = pytest.importorskip("transformers", reason="transformers is not installed")

ODD = [
    "", " ", "a", "</s>", "<s> the </s>", "<unk> river", "<pad>", "[MASK] house", "<sen000> old",
    "``quoted'' 'text'", "it ' s ' ll", "“Bright” – winter’s", "don't!! (stop)", "tab\tand\nline",
    "a\u00a0b\u2003c\u3000d", "\u200bzero\u200dwidth", "ﬁne ½ Ⅳ ①", "ＦＵＬＬ width", "İstanbul ǅ ß",
    "éè e\u0301", "日本語 and 中文", "🙂 emoji 👩‍👩‍👧", "\x00\x01\x7f", "... --- !!!",
    "a" * 300, "▁ ▁the",
    "\u202eright to left\u202c", "x" + "\u0301" * 20, "\r\n\r\n", "’s ´s ‘s", "the\x85old\x1cstone",
]  # fmt: skip


def as_hf(vocabulary, folder):
    """The tokenizer of transformers, of a vocabulary of ours."""
    folder.mkdir(exist_ok=True)
    vocabulary.copy_to(folder / "vocab")
    write_tokenizer(folder, 40)
    return transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=True)


def expected(vocabulary, text):
    return vocabulary.encode(" ".join(text.split()))


@pytest.fixture(scope="module")
def vocabularies(tmp_path_factory):
    """With and without the authors' normalisation and lower-casing."""
    folder = tmp_path_factory.mktemp("vocabularies")
    found = []
    for i, (folds, normalization) in enumerate(
        [(True, "metro"), (False, "metro"), (False, "none")]
    ):
        theirs = write_theirs(folder / f"theirs {i}", folds)
        vocabulary = import_vocabulary(theirs, folder / f"vocab {i}", 9)
        path = folder / f"vocab {i}" / "tokenizer.json"
        read = json.loads(path.read_text("utf-8"))
        path.write_text(json.dumps({**read, "normalization": normalization}), "utf-8")
        found.append(Vocabulary.load(vocabulary.path))
    assert [v.settings["lowercase"] for v in found] == [True, False, False]
    return found


@pytest.fixture
def pairs(vocabularies, tmp_path, modules_cache):  # noqa: F811
    """[(our vocabulary, their tokenizer)]"""
    return [(v, as_hf(v, tmp_path / str(i))) for i, v in enumerate(vocabularies)]


def test_ids_and_text_equal_ours(pairs):
    words = st.sampled_from([*WORDS, *ODD, *"'`\"-.,()’“–"])
    parts = st.sampled_from([*WORDS, *"'`s.(’"])
    mixed = st.text() | st.lists(words, max_size=12).map(" ".join)
    mixed |= st.lists(parts, max_size=9).map("".join)

    @settings(max_examples=1000, deadline=None)
    @given(text=mixed)
    def same(text):
        for vocabulary, tokenizer in pairs:
            ids = expected(vocabulary, text)
            assert tokenizer(text)["input_ids"] == [0, *ids, 2]
            assert tokenizer.decode([0, *ids, 2, 1], skip_special_tokens=True) == vocabulary.decode(
                [0, *ids, 2, 1]
            )

    same()
    for text in ODD:
        for vocabulary, tokenizer in pairs:
            assert tokenizer(text)["input_ids"] == [0, *expected(vocabulary, text), 2], text


def test_the_usual_calls_of_a_tokenizer(pairs, tmp_path):
    vocabulary, tokenizer = pairs[0]
    a, b = "the old river", "Bright house, quiet winter"
    x, y = (expected(vocabulary, text) for text in (a, b))
    batch = tokenizer([a, b], padding=True)
    assert [sum(row) for row in batch["attention_mask"]] == [len(x) + 2, len(y) + 2]
    assert tokenizer(a, b)["input_ids"] == [0, *x, 2, 2, *y, 2]
    assert tokenizer(text_target=b)["input_ids"] == [*y, 2]
    assert tokenizer(b)["input_ids"] == [0, *y, 2]  # input mode again
    assert tokenizer(b, truncation=True, max_length=4)["input_ids"] == [0, *y[:2], 2]
    assert tokenizer.model_max_length == 40 and len(tokenizer) == len(vocabulary)
    assert tokenizer.get_special_tokens_mask(x) == [1, *[0] * len(x), 1]
    mask = vocabulary.index("mask")
    assert tokenizer.mask_token_id == mask
    marked = tokenizer(f"the {tokenizer.mask_token} river", split_special_tokens=False)["input_ids"]
    assert marked.count(mask) == 1
    assert tokenizer.convert_tokens_to_ids(vocabulary.symbols) == list(range(len(vocabulary)))
    assert tokenizer.decode([0, *x, 2]) == f"<s> {vocabulary.decode(x)} </s>"
    assert tokenizer.decode(x[0]) == vocabulary.decode(x[:1])
    tokenizer.save_pretrained(tmp_path / "saved")
    again = transformers.AutoTokenizer.from_pretrained(tmp_path / "saved", trust_remote_code=True)
    assert again(b) == tokenizer(b)


def test_special_tokens_of_pairs_and_of_ready_ids(pairs):
    vocabulary, tokenizer = pairs[0]
    x, y = (expected(vocabulary, text) for text in ("the old river", "stone house"))
    ones = [1, *[0] * len(x), 1, 1, *[0] * len(y), 1]
    assert tokenizer.get_special_tokens_mask(x, y) == ones
    ready = [0, *x, 2, 1, 1]
    assert tokenizer.get_special_tokens_mask(ready, already_has_special_tokens=True) == [
        1, *[0] * len(x), 1, 1, 1
    ]  # fmt: skip
    found = tokenizer("the old river", "stone house", return_token_type_ids=True)
    assert found["token_type_ids"] == [0] * len(ones)


def test_an_unknown_token_stays_in_the_text(pairs):
    """It stands for something, unlike <s>, </s> and <pad>."""
    for vocabulary, tokenizer in pairs:
        ids = expected(vocabulary, "the 日 river")
        assert 3 in ids
        assert tokenizer.decode([0, *ids, 2, 1], skip_special_tokens=True) == vocabulary.decode(ids)
        assert tokenizer.tokenize("the 日 river")[ids.index(3)] == "<unk>"


def test_a_vocabulary_whose_sources_have_no_beginning(vocabularies, tmp_path, modules_cache):  # noqa: F811
    """As T5's own: ``source_bos`` is false."""
    folder = tmp_path / "vocab"
    vocabularies[0].copy_to(folder)
    path = folder / "tokenizer.json"
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), "source_bos": False}))
    vocabulary = Vocabulary.load(folder)
    tokenizer = as_hf(vocabulary, tmp_path / "hf")
    ids = expected(vocabulary, "the old river")
    assert vocabulary.source_prefix == [] and tokenizer("the old river")["input_ids"] == [*ids, 2]
    assert tokenizer(text_target="the old river")["input_ids"] == [*ids, 2]


def test_another_dictionary_is_refused(vocabularies, tmp_path, modules_cache):  # noqa: F811
    folder = tmp_path / "hf"
    as_hf(vocabularies[0], folder)
    with open(folder / "vocab" / "dict.txt", "a", encoding="utf-8") as stream:
        stream.write(f"{WORDS[0]} 1\n{WORDS[0]} 1\n")
    with pytest.raises(ValueError, match=r"dict\.txt: not the dictionary of fairseq_metro"):
        transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=True)


@pytest.mark.parametrize("name", ["vocab_32k", "vocab_64k"])
def test_the_authors_golden_lines(shared, tmp_path, modules_cache, name):  # noqa: F811
    source = shared / "data" / "vocab"
    if not (source / "golden_tokenization.jsonl").is_file():
        pytest.skip(f"no golden lines in {source}")
    vocabulary = import_vocabulary(source / name, tmp_path / "vocab")
    tokenizer = as_hf(vocabulary, tmp_path / "hf")
    lines = (source / "golden_tokenization.jsonl").read_text("utf-8").splitlines()
    assert len(lines) == 433
    for line in map(json.loads, lines):
        assert tokenizer(line["text"])["input_ids"] == [0, *line[name]["ids"], 2]
        assert tokenizer(line["text"])["input_ids"][1:-1] == vocabulary.encode(line["text"])
