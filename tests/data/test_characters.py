"""data/characters.py: the share of characters that a vocabulary cannot write, counted one by one."""

import json
import logging
import random
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairseq_metro.common.errors import UserError
from fairseq_metro.prepare import binarize
from fairseq_metro.prepare.prompted import main as prompts
from fairseq_metro.vocabulary.characters import MOST_COUNTED, CharacterCounter, Characters
from fairseq_metro.vocabulary.folder import UNKNOWN
from tests.prepare import samples

KNOWN = "the river follows old stones."


def slow_unknown(vocabulary, text):
    """Unknown characters of a text: what SentencePiece's own surface forms of ``<unk>`` hold."""
    whole = vocabulary.processor.normalize(vocabulary.normalizer(text))
    pieces = vocabulary.processor.encode(vocabulary.normalizer(text), out_type=str)
    ids = vocabulary.processor.encode(vocabulary.normalizer(text), out_type=int)
    unknown, rest = 0, whole
    for piece, index in zip(pieces, ids, strict=True):
        assert rest.startswith(piece)
        rest = rest[len(piece) :]
        if vocabulary._piece_indices[index] == UNKNOWN:
            unknown += sum(not c.isspace() and c != "\u2581" for c in piece)
    return unknown


@given(st.lists(st.text(alphabet=f"{KNOWN}日本語éß€  \U0001f600", max_size=30), max_size=6))
def test_unknown_characters_are_those_of_unknown_pieces(texts):
    vocabulary = samples.vocabulary()
    tokens, sizes, unknown = vocabulary.encode_counted(texts)
    assert unknown == sum(slow_unknown(vocabulary, text) for text in texts)
    flat, flat_sizes = vocabulary.encode_flat(texts)
    assert (tokens == flat).all() and (sizes == flat_sizes).all()
    counted = vocabulary.counter(list(map(vocabulary.normalizer, texts)), tokens, sizes)
    wholes = [vocabulary.processor.normalize(vocabulary.normalizer(text)) for text in texts]
    everything = sum(not c.isspace() and c != "\u2581" for whole in wholes for c in whole)
    assert counted == Characters(everything, unknown)


def test_what_is_told_and_when(caplog):
    with caplog.at_level(logging.INFO):
        Characters(1000, 0).report("train")
        Characters(1000, 10).report("train")
        Characters(1000, 11).report("train")
    levels = [record.levelname for record in caplog.records]
    assert levels == ["INFO", "INFO", "WARNING"]
    assert "train: 1.10% of the characters are not in the vocabulary (11 of 1,000" in caplog.text
    Characters(1000, 500).refuse("train")
    with pytest.raises(UserError, match=r"train: 50\.10% .*--allow-unknown"):
        Characters(1000, 501).refuse("train")
    Characters(1000, 501).refuse("train", allow=True)
    assert Characters().share == 0


def test_text_of_another_script_is_refused_and_nothing_is_written(tmp_path, caplog):
    text, valid = tmp_path / "cjk.txt", tmp_path / "valid.txt"
    text.write_text("日本語の文章です。\n\n漢字とかな\n" * 50, encoding="utf-8")
    valid.write_text(f"{KNOWN}\n" * 5, encoding="utf-8")
    vocab = samples.vocabulary().path
    words = ["--vocab", vocab, "--train", text, "--valid", valid, "--workers", "1"]
    with pytest.raises(UserError, match=r"are not in the vocabulary .*--allow-unknown"):
        binarize.main(list(map(str, [*words, "--dest", tmp_path / "bin"])))
    assert not (tmp_path / "bin").exists()
    with caplog.at_level(logging.INFO):
        more = ["--dest", tmp_path / "bin", "--allow-unknown"]
        assert binarize.main(list(map(str, [*words, *more]))) in (0, None)
    assert "train: 100.00% of the characters" in caplog.text
    assert "valid: 0% of the characters" in caplog.text


def test_prompts_in_another_script_are_refused(tmp_path, caplog):
    rows = [{"inputs": "日本語の文章です。", "targets": "はい"}] * 20
    (tmp_path / "pairs").mkdir()
    lines = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    (tmp_path / "pairs/train.jsonl").write_text(lines + "\n", encoding="utf-8")
    mixture = tmp_path / "mine.yaml"
    mixture.write_text(
        "version: 1\nname: mine\nrule: metro\ncap: 10\n"
        "sets:\n- {dataset: my/set, jsonl: [pairs/train.jsonl]}\n"
    )
    words = ["--mixture", mixture, "--tasks", tmp_path, "--vocab", samples.vocabulary().path]
    words += ["--split", "train", "--dest", tmp_path / "data", "--workers", "1"]
    with pytest.raises(UserError, match=r"are not in the vocabulary .*--allow-unknown"):
        prompts.main(list(map(str, words)))
    with caplog.at_level(logging.INFO):
        assert prompts.main(list(map(str, [*words, "--allow-unknown"]))) in (0, None)
    assert "of the characters are not in the vocabulary" in caplog.text


def test_many_unknown_characters_are_estimated_closely_and_few_are_exact():
    vocabulary = samples.vocabulary()
    rng = random.Random(3)
    texts = [
        " ".join(rng.choice(["the", "日", "river", "漢字語の", "€€é"]) for _ in range(1 + i % 9))
        for i in range(3000)
    ]
    for some in (texts[:40], texts):
        tokens, sizes, unknown = vocabulary.encode_counted(some)
        exact = sum(c not in KNOWN for text in some for c in text if c != " ")
        if len(some) == 40:
            assert unknown == exact
        else:
            assert unknown == pytest.approx(exact, rel=0.1)
    # The work does not grow with the number of texts.
    asked = []
    counter = CharacterCounter(
        SimpleNamespace(
            normalize=lambda wholes: asked.append(len(wholes)) or wholes,
            id_to_piece=vocabulary.processor.id_to_piece, is_byte=vocabulary.processor.is_byte,
        ),
        vocabulary._piece_indices, len(vocabulary), UNKNOWN,
    )  # fmt: skip
    counter.unknown(texts, tokens, sizes)
    assert asked[0] <= MOST_COUNTED
