import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairseq_metro.common.errors import UserError
from fairseq_metro.smash.tasks import load_task, task_names
from fairseq_metro.smash.templates import PromptTemplate
from fairseq_metro.vocabulary.byte_bpe import ByteBPE
from fairseq_metro.vocabulary.tokenizers import ByteLevelTokenizer, VocabularyTokenizer
from tests.smash import tiny

NLI = "*cls**sent-_0*?*mask*,*+sentl_1**sep+*"
SENTIMENT = "*cls**sent_0*_It_was*mask*.*sep+*"
# Of two sentences "No great." and "Yes good", pieces by hand: Ġ is a blank before the word.
PAIR = "<s> N o Ġgreat ? <mask> , Ġ y e s Ġgood </s>"
PLAIN_PAIR = "<s> N o Ġgreat . <mask> , Ġ y e s Ġgood </s>"
OF_TASK = {
    **dict.fromkeys(("mnli", "snli", "qnli", "rte", "cb"), PAIR),
    **dict.fromkeys(("mrpc", "qqp", "stsb"), PLAIN_PAIR),
    **dict.fromkeys(
        ("sst2", "sst5", "mr", "cr", "mpqa"), "<s> N o Ġgreat . ĠIt Ġwas <mask> . </s>"
    ),
    **dict.fromkeys(("cola", "subj"), "<s> N o Ġgreat . ĠThis Ġis <mask> . </s>"),
    "trec": "<s> <mask> : ĠNo Ġgreat . </s>",
}
# RoBERTa's ids of what the templates and label words hold, as published with it.
ROBERTA = {
    "<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, ".": 4, ",": 6, "ĠIt": 85, "Ġwas": 21, "?": 116,
    "ĠNo": 440, "ĠYes": 3216, "ĠMaybe": 5359, "Ġterrible": 6587, "Ġbad": 1099, "Ġokay": 8578,
    "Ġgood": 205, "Ġgreat": 372, "Ġcorrect": 4577, "<mask>": 50264,
}  # fmt: skip


@pytest.fixture(scope="module")
def tok():
    return tiny.tokenizer()


def names(prompt, tok):
    return " ".join(tok.pieces(prompt.ids))


def test_every_task_is_covered():
    assert sorted(OF_TASK) == task_names()


@pytest.mark.parametrize("name", OF_TASK)
def test_prompts_are_those_built_by_hand(tok, name):
    template = load_task(name).prompt
    sentences = ["No great.", "Yes good"][: template.sentences]
    prompt = template.build(sentences, tok, 64)
    assert names(prompt, tok) == OF_TASK[name]
    assert prompt.mask_position == OF_TASK[name].split().index("<mask>")
    assert not prompt.trimmed


def test_ids_are_robertas_where_the_vocabulary_is(tok):
    vocabulary, merges = tiny.bpe_files()
    free = iter(range(60_000, 70_000))
    real = {piece: ROBERTA.get(piece, next(free)) for piece in vocabulary}
    tok = ByteLevelTokenizer(ByteBPE(real, merges), "tiny")
    single, pair = PromptTemplate.parse(SENTIMENT), PromptTemplate.parse(NLI)
    assert single.build([" good"], tok, 64).ids == [0, 205, 85, 21, 50264, 4, 2]
    assert pair.build([" bad.", ""], tok, 64).ids[:5] == [0, 1099, 116, 50264, 6]
    words = load_task("sst5").verbalizer(tok)
    assert words.ids == (6587, 1099, 8578, 205, 372)
    assert load_task("mnli").verbalizer(tok).ids == (440, 3216, 5359)


@pytest.mark.parametrize(
    ("form", "first", "expected"),
    [
        ("sent_0", "Yes.", "Yes."),
        ("+sent_0", "Yes.", " Yes."),
        ("sent-_0", "Yes.", "Yes"),
        ("sent-_0", "Yes", "Ye"),  # the last character, whatever it is
        ("sentl_0", "Yes.", "yes."),
        ("+sentl_0", "Yes.", " yes."),
        ("sentl-_0", "Yes.", "yes"),
        ("sentu_0", "yes.", "Yes."),
        ("+sentu_0", "yes.", " Yes."),
        ("sent-_0", "", ""),
        ("+sentl_0", "", " "),
        ("sentu_0", "é", "É"),
    ],
)
def test_forms_of_a_sentence(form, first, expected):
    assert PromptTemplate.parse(f"*mask**{form}*").texts([first]) == [expected]


def test_punctuation_alone_can_be_dropped():
    template = PromptTemplate.parse("*mask**sent-_0*", drop="punctuation")
    assert [template.texts([text]) for text in ("Yes", "Yes.", "Yes?!", "U.S.")] == [
        ["Yes"], ["Yes"], ["Yes"], ["U.S"]
    ]  # fmt: skip
    with pytest.raises(UserError, match="must be one of character, punctuation"):
        PromptTemplate.parse("*mask**sent_0*", drop="all")


@pytest.mark.parametrize(
    "part",
    "+sent-_0 +sentl-_0 sentu-_0 sentx_0 sent_x sent_ +mask mask+ sep- label_0 labelx_1 Sent_0 "
    "-sent_0 CLS sent_12 sentlu_0 snet_0 sentence_0 sentence0 text_1 premise_0 maks csl <mask> "
    "[MASK]".split(),
)
def test_what_lmbff_takes_for_words_is_an_error(part):
    with pytest.raises(UserError, match="unknown variable") as error:
        PromptTemplate.parse(f"*cls**sent_0**mask**{part}**sep+*")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("part", ["sent", "_sent_to", "sentence:", "the_mask", "seven", "labels"])
def test_words_may_begin_like_variables(part):
    assert PromptTemplate.parse(f"*mask**{part}*").words == part.replace("_", " ").split()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("*cls**sent_0**sep+*", "has 0 masks"),
        ("*mask**sent_0**mask*", "has 2 masks"),
        ("", "has 0 masks"),
        ("*mask**sent_1*", "numbered from 0"),
        ("*mask**sent_0**sent_2*", "numbered from 0"),
    ],
)
def test_templates_that_cannot_be_used(source, message):
    with pytest.raises(UserError, match=message):
        PromptTemplate.parse(source)


def test_another_number_of_sentences_is_an_error(tok):
    with pytest.raises(UserError, match="takes 2 sentences, not 1"):
        PromptTemplate.parse(NLI).build(["one"], tok, 64)


def test_t5_has_neither_cls_nor_mask(vocabulary):
    tok = VocabularyTokenizer(vocabulary, "t5")
    template = PromptTemplate.parse(SENTIMENT)
    prompt = template.build(["great"], tok, 64)
    great, it, was = (vocabulary.encode(word)[0] for word in ("great", "It", "was"))
    sentinel = vocabulary.indices[vocabulary.roles["sentinels"][0]]
    stop = vocabulary.indices["."]
    assert prompt.ids == [*vocabulary.source_prefix, great, it, was, sentinel, stop, tok.eos]
    without = VocabularyTokenizer(vocabulary, "t5")
    without.cls = []  # T5's own vocabulary begins a source with nothing
    assert template.build(["great"], without, 64).ids == [great, it, was, sentinel, stop, tok.eos]


def test_truncation_keeps_prompt_and_mask(tok):
    template = PromptTemplate.parse(NLI)
    long = template.build(["bad " * 300 + ".", "it"], tok, 64)
    assert len(long.ids) == 64 and long.trimmed and long.ids[long.mask_position] == tok.mask
    assert names(long, tok).endswith("? <mask> , Ġi t </s>")
    with pytest.raises(UserError, match="would cut the mask off"):
        template.build(["bad " * 300, "it"], tok, 64, "tail")
    with pytest.raises(UserError, match="would cut the mask off"):
        template.build(["it", "bad " * 300], tok, 64, "head")
    tail = template.build(["it", " bad" * 300], tok, 64, "tail")
    assert tail.ids[:5] == long.ids[:1] + tok.encode("i") + [
        tok.literal("?"),
        tok.mask,
        tok.literal(","),
    ]
    head = template.build([" bad" * 300, "it"], tok, 20, "head")
    assert len(head.ids) == 20 and head.ids[-1] == tok.eos and head.mask_position == 15


def test_limits_of_sentences_are_cut_first(tok):
    template = PromptTemplate.parse(NLI)
    prompt = template.build([" bad" * 20, " bad" * 20], tok, 64, limits=(3,))
    assert prompt.trimmed and prompt.mask_position == 5
    assert (
        len(template.build([" bad" * 20, " bad" * 20], tok, 64, limits=(None, 2)).ids)
        == 1 + 20 + 3 + 2 + 1
    )
    assert not template.build([" bad", " bad"], tok, 64, limits=(9, 9)).trimmed


TEXTS = st.one_of(st.text(max_size=40), st.just(""), st.just("x" * 10_000), st.just("."))


@given(st.sampled_from(sorted(OF_TASK)), TEXTS, TEXTS, st.sampled_from([16, 64, 128]))
def test_one_mask_and_the_whole_prompt_are_always_there(name, first, second, most):
    tok = tiny.tokenizer()
    template = load_task(name).prompt
    prompt = template.build([first, second][: template.sentences], tok, most)
    assert prompt.ids.count(tok.mask) == 1 and prompt.ids[prompt.mask_position] == tok.mask
    assert len(prompt.ids) <= most and (prompt.ids[0], prompt.ids[-1]) == (tok.bos, tok.eos)
    around = [tok.literal(":")] if name == "trec" else None
    around = around or ([tok.literal(",")] if template.sentences == 2 else [tok.literal(".")])
    assert prompt.ids[prompt.mask_position + 1 :][:1] == around
    whole = template.build([first, second][: template.sentences], tok, 100_000)
    assert prompt.trimmed == (len(whole.ids) > most)


def test_assembling_encoded_sentences_gives_the_same(tok):
    template = PromptTemplate.parse(NLI)
    sentences = ["It was good.", "Yes"]
    encoded = tok.encode_many(template.texts(sentences))
    assert template.assemble(encoded, tok, 64) == template.build(sentences, tok, 64)
