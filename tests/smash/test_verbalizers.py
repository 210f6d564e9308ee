import pytest

from fairseq_metro.common.errors import UserError
from fairseq_metro.smash.tasks import load_task, task_names
from fairseq_metro.smash.verbalizers import Verbalizer
from fairseq_metro.vocabulary.tokenizers import VocabularyTokenizer
from tests.smash import tiny


@pytest.fixture(params=["ours", "t5", "bytes"])
def tok(request, vocabulary):
    if request.param == "bytes":
        return tiny.tokenizer()
    return VocabularyTokenizer(vocabulary, "t5" if request.param == "t5" else "roberta")


@pytest.mark.parametrize("name", task_names())
def test_every_label_word_is_one_token_of_every_tokenizer(tok, name):
    verbalizer = load_task(name).verbalizer(tok)
    assert len(set(verbalizer.ids)) == len(verbalizer.labels) == len(load_task(name).words)
    blank = "Ġ" if tok.kind == "roberta" and not hasattr(tok, "vocabulary") else "\u2581"
    assert tok.pieces(verbalizer.ids) == [blank + word for word in verbalizer.words]


def test_a_word_of_several_tokens_is_named_with_its_pieces():
    with pytest.raises(UserError, match=r"'greatest' is 4 tokens.*Ġgreat e s t"):
        Verbalizer.parse({"0": "greatest", "1": "bad"}, tiny.tokenizer())


def test_an_unknown_character_is_no_token(vocabulary):
    with pytest.raises(UserError, match="label word '☃'"):
        Verbalizer.parse({"0": "☃", "1": "bad"}, VocabularyTokenizer(vocabulary))


def test_words_that_begin_with_a_sign_have_no_blank():
    tok = tiny.tokenizer()
    found = Verbalizer.parse({"0": ".", "1": ",", "2": "?"}, tiny.tokenizer(["?"]))
    assert tok.pieces(found.ids[:2]) == [".", ","]
    assert found.ids[2] == tiny.tokenizer(["?"]).encode(" ?")[0] != tok.literal("?")


def test_two_labels_need_two_tokens():
    with pytest.raises(UserError, match="are the same token"):
        Verbalizer.parse({"0": "bad", "1": "bad"}, tiny.tokenizer())
    with pytest.raises(UserError, match="two labels or more"):
        Verbalizer.parse({"0": "bad"}, tiny.tokenizer())


def test_labels_have_places():
    found = Verbalizer.parse({"0": "bad", "1": "good"}, tiny.tokenizer())
    assert found.index("1") == found.index(1) == 1
    with pytest.raises(UserError, match="label '2' has no word"):
        found.index("2")


def test_the_unknown_symbol_alone_is_no_word(vocabulary):
    class Unknowing(VocabularyTokenizer):
        def encode(self, text):
            return [self.unk]

    with pytest.raises(UserError, match=r"1 tokens of this vocabulary \(<unk>\)"):
        Verbalizer.parse({"0": "bad", "1": "good"}, Unknowing(vocabulary))
