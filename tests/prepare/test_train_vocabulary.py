import json
import subprocess
import sys

import pytest
import zstandard
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.sources import Reading
from fairseq_metro.prepare import train_vocabulary as train_vocabulary_module
from fairseq_metro.prepare.train_vocabulary import draw_sentences, main, train_vocabulary
from fairseq_metro.vocabulary.folder import FILES, Vocabulary
from tests.prepare import samples


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text(samples.text(0, 30), "utf-8")
    return path


@pytest.fixture
def words(tmp_path):
    """A file of required words: one is a piece anyway, one is rare, one never occurs."""
    path = tmp_path / "words"
    path.write_text("the\ngreat\n\nterrible\nextraordinarily\n")
    return path


@pytest.mark.parametrize("model_type", ["unigram", "bpe"])
def test_the_same_text_and_seed_give_the_same_bytes(text, tmp_path, model_type):
    for name in ("one", "two"):
        train_vocabulary(
            [text], tmp_path / name, 500, model_type=model_type, input_sentences=800, seed=3
        )
    for name in FILES:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_another_seed_draws_other_lines(text):
    one, two, same = (draw_sentences([text], 50, seed)[0] for seed in (1, 2, 1))
    assert one == same and one != two
    assert len(one) == 50


def test_the_draw_is_uniform(tmp_path):
    path = tmp_path / "numbers"
    path.write_text("".join(f"{i}\n" for i in range(20)))
    counts = [0] * 20
    for seed in range(2000):
        for line in draw_sentences([path], 5, seed)[0]:
            counts[int(line)] += 1
    assert all(abs(count - 500) < 100 for count in counts)  # 5 standard deviations


def test_the_size_counts_pieces_and_ids_are_piece_numbers(text, tmp_path):
    vocabulary = train_vocabulary([text], tmp_path / "v", 512)
    assert len(vocabulary.processor) == 512
    assert len(vocabulary) == 512 + 1 + 128
    specials = [vocabulary.processor.id_to_piece(i) for i in range(4)]
    assert specials == ["<s>", "<pad>", "</s>", "<unk>"] == vocabulary.symbols[:4]


def test_lower_casing_and_normalisation_are_remembered(text, tmp_path):
    vocabulary = train_vocabulary(
        [text], tmp_path / "v", 400, lowercase=True, normalization="metro"
    )
    assert vocabulary.encode("The END.") == vocabulary.encode("the end .")
    assert not any(symbol != symbol.lower() for symbol in vocabulary.symbols[4:400])


@pytest.mark.parametrize("model_type", ["unigram", "bpe"])
@pytest.mark.parametrize("byte_fallback", [False, True])
def test_required_words_are_single_pieces(text, tmp_path, words, model_type, byte_fallback):
    options = dict(model_type=model_type, byte_fallback=byte_fallback)
    vocabulary = train_vocabulary([text], tmp_path / "v", 700, required_words=words, **options)
    for word in ("the", "great", "terrible", "extraordinarily"):
        assert vocabulary.encode_pieces(word) == f"\u2581{word}"
        assert vocabulary.encode_pieces(f"a {word} b").split()[1] == f"\u2581{word}"
    assert len(vocabulary.processor) == 700


@pytest.mark.parametrize("model_type", ["unigram", "bpe"])
def test_a_required_mark_is_a_piece_without_a_blank(text, tmp_path, model_type):
    """Characters too rare to be pieces, as question marks in manuals, stand in prompts all the same."""
    (tmp_path / "w").write_text("?\ngreat\n")
    vocabulary = train_vocabulary(
        [text], tmp_path / "v", 700, required_words=tmp_path / "w", model_type=model_type
    )
    assert vocabulary.indices["?"] == vocabulary.encode("great?")[-1]
    assert vocabulary.encode_pieces("great?") == "\u2581great ?"
    assert len(vocabulary.processor) == 700


def test_a_required_word_changes_few_other_segmentations(text, tmp_path, words):
    plain = train_vocabulary([text], tmp_path / "plain", 700)
    ours = train_vocabulary([text], tmp_path / "ours", 700, required_words=words)
    words = sorted(set(text.read_text("utf-8").split()))
    differ = sum(plain.encode_pieces(word) != ours.encode_pieces(word) for word in words)
    assert 0 < differ < 0.03 * len(words)
    # A longer word is not cut at the required one first, as a user-defined symbol would be.
    assert not any(ours.processor.is_control(i) for i in ours.encode("greatness"))
    assert set(plain.symbols) - set(ours.symbols) <= set(plain.symbols[300:])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("very good\n", "'very good' is 2 words"),
        ("\n", "no words in it"),
        ("snow\u2603man\n", "has characters that are no pieces"),
        ("".join(f"{a}{b}{c}\n" for a in "bcdfgh" for b in "jklmnp" for c in "qrstvw"), "no room"),
    ],
)
def test_words_that_cannot_be_single_pieces_are_refused(text, tmp_path, content, message):
    (tmp_path / "w").write_text(content, "utf-8")
    with pytest.raises(UserError, match=message):
        train_vocabulary([text], tmp_path / "v", 200, required_words=tmp_path / "w")
    assert [path.name for path in tmp_path.iterdir()] == ["w"]


@pytest.mark.parametrize("model_type", ["unigram", "bpe"])
def test_a_vocabulary_too_large_for_its_text_is_one_clear_line(tmp_path, model_type):
    (tmp_path / "small").write_text("a few words of text\n" * 9)
    with pytest.raises(UserError, match="too little text for 5000 pieces") as caught:
        train_vocabulary([tmp_path / "small"], tmp_path / "v", 5000, model_type=model_type)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "v").exists()


def test_a_vocabulary_too_small_for_the_characters_names_the_least_size(text, tmp_path):
    with pytest.raises(UserError, match=r"give --vocab-size \d+ or more"):
        train_vocabulary([text], tmp_path / "v", 20)


@pytest.mark.parametrize("options", [dict(vocab_size=3), dict(vocab_size=200, byte_fallback=True)])
def test_a_vocabulary_of_special_symbols_alone_is_refused(text, tmp_path, options):
    with pytest.raises(UserError, match="too small for anything"):
        train_vocabulary([text], tmp_path / "v", **options)


def test_text_that_is_empty_or_not_utf8_is_refused(tmp_path):
    (tmp_path / "empty").write_text("\n \n")
    with pytest.raises(UserError, match="no text to learn"):
        train_vocabulary([tmp_path / "empty"], tmp_path / "v", 100)
    (tmp_path / "latin").write_bytes(b"fine\ncaf\xe9\n")
    with pytest.raises(UserError, match="line 2, byte 8 is not UTF-8"):
        train_vocabulary([tmp_path / "latin"], tmp_path / "v", 100)


def test_a_second_run_reuses_and_other_options_are_refused(text, tmp_path, caplog):
    caplog.set_level("INFO")
    one = train_vocabulary([text], tmp_path / "v", 300)
    assert train_vocabulary([text], tmp_path / "v", 300).hash == one.hash
    assert "there already, reused" in caplog.text
    with pytest.raises(UserError, match="other text or options"):
        train_vocabulary([text], tmp_path / "v", 310)
    assert Vocabulary.load(tmp_path / "v").hash == one.hash


def test_part_of_a_vocabulary_is_made_anew(text, tmp_path):
    one = train_vocabulary([text], tmp_path / "v", 300)
    (tmp_path / "v" / "dict.txt").unlink()
    assert train_vocabulary([text], tmp_path / "v", 300).hash == one.hash


def test_a_folder_with_other_files_is_not_replaced(text, tmp_path):
    (tmp_path / "v").mkdir()
    (tmp_path / "v" / "thesis.tex").write_text("precious")
    with pytest.raises(UserError, match="cannot be written"):
        train_vocabulary([text], tmp_path / "v", 300)
    assert (tmp_path / "v" / "thesis.tex").read_text() == "precious"


def test_long_lines_are_learned_from_too(tmp_path):
    (tmp_path / "long").write_text(" ".join(samples.text(0, 30).split()))
    vocabulary = train_vocabulary([tmp_path / "long"], tmp_path / "v", 400)
    assert json.loads((tmp_path / "v" / "tokenizer.json").read_text())["trained_on"]["lines"] > 5
    assert "\u2581the" in vocabulary.symbols


def test_the_command_says_what_it_does_and_keeps_sentencepiece_quiet(text, tmp_path, root):
    words = ["--input", text, "--out", tmp_path / "v", "--vocab-size", "300"]
    done = subprocess.run(
        [sys.executable, "-m", "fairseq_metro", "vocabulary", *map(str, words)],
        capture_output=True,
        text=True,
        check=True,
        cwd=root,
    )
    assert done.stdout == ""
    assert [line[:22] for line in done.stderr.splitlines()] == [
        "training 300 unigram p",
        f"{tmp_path / 'v'}: 300 pieces"[:22],
    ]


def test_help_is_documentation(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "32768 uncased, 64000 cased" in " ".join(capsys.readouterr().out.split())


# Text from elsewhere

SPACES = "\x0b\x0c\x1c\x1d\x1e\x1f\x85\u2028\u2029"


@pytest.mark.parametrize("model_type", ["unigram", "bpe"])
def test_what_unicode_calls_a_line_end_counts_as_a_space(text, tmp_path, model_type):
    words = text.read_text("utf-8").split(" ")
    odd = "".join(word + SPACES[i % len(SPACES)] for i, word in enumerate(words))
    (tmp_path / "odd").write_bytes(odd.encode())
    (tmp_path / "plain").write_bytes(" ".join([*words, ""]).encode())
    one, two = (
        train_vocabulary([tmp_path / name], tmp_path / f"{name} v", 400, model_type=model_type)
        for name in ("odd", "plain")
    )
    assert one.symbols == two.symbols
    assert not any(set(symbol) & set(SPACES) for symbol in one.symbols)


ODD = [*SPACES, *"\x00\x80\ufeff\u2581\ud7ff\u200b\ufffd\u180e\uffff \r#", "<s>", "<unk>"]


@given(st.lists(st.sampled_from(ODD), min_size=1))
@example(ODD)
@settings(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_character_breaks_a_vocabulary(text, tmp_path_factory, characters):
    folder = tmp_path_factory.mktemp("odd")
    words = text.read_text("utf-8").split()[:600]
    odd = "".join(word + characters[i % len(characters)] for i, word in enumerate(words))
    (folder / "odd").write_bytes(f"{odd}\nplain words at the end\n".encode())
    vocabulary = train_vocabulary([folder / "odd"], folder / "v", 90)
    assert Vocabulary.load(folder / "v").hash == vocabulary.hash
    assert len(vocabulary.dictionary()) == len(vocabulary)  # fairseq reads the same lines


def test_a_vocabulary_that_cannot_be_loaded_is_never_put_in_place(text, tmp_path, monkeypatch):
    stock = train_vocabulary_module.dictionary_text
    monkeypatch.setattr(
        train_vocabulary_module, "dictionary_text", lambda model: stock(model) + "a\x85b 1\n"
    )
    with pytest.raises(
        UserError, match=r"v/dict\.txt: line .* holds whitespace: this text makes no"
    ):
        train_vocabulary([text], tmp_path / "v", 300)
    assert list(tmp_path.iterdir()) == []


def test_a_broken_vocabulary_of_the_same_text_is_made_again(text, tmp_path, caplog):
    """As earlier versions left it."""
    whole = train_vocabulary([text], tmp_path / "v", 300)
    path = tmp_path / "v" / "dict.txt"
    path.write_text(path.read_text("utf-8") + "\x85 1\n", "utf-8")
    assert train_vocabulary([text], tmp_path / "v", 300).hash == whole.hash
    assert "holds whitespace; made again" in caplog.text


def test_a_vocabulary_of_rows_is_that_of_their_text(text, tmp_path):
    lines = [line for line in text.read_text("utf-8").split("\n") if line.strip()]
    rows = "".join(json.dumps({"body": line}) + "\n" for line in lines)
    (tmp_path / "rows.zst").write_bytes(zstandard.compress(rows.encode()))
    reading = Reading("body")
    ours = train_vocabulary([tmp_path / "rows.zst"], tmp_path / "v", 300, reading=reading)
    assert ours.symbols == train_vocabulary([text], tmp_path / "plain", 300).symbols
    with pytest.raises(
        UserError, match=r"no text in field 'text' \(there is: body\); give --field"
    ):
        train_vocabulary([tmp_path / "rows.zst"], tmp_path / "none", 300)
    assert not (tmp_path / "none").exists()
