"""fairseq_metro.load: from a run's folder to texts and scores, as a person would use it."""

import json
import logging
import os
import shutil
import sys
from argparse import Namespace

import pytest
import sentencepiece
import torch
from fairseq import checkpoint_utils

import fairseq_metro
from fairseq_metro.common.errors import UserError
from fairseq_metro.inference.loading import find_checkpoint
from fairseq_metro.inference.predictor import Predictor, choices_by_text
from fairseq_metro.interchange.export_authors import export_hugging_face
from fairseq_metro.vocabulary.authors import import_vocabulary
from tests import prompted
from tests.interchange.t5_folders import write_folder
from tests.interchange.vocabulary import write_theirs
from tests.tasks.conftest import corpus, data, vocabulary  # noqa: F401  fixtures
from tests.tasks.test_prompt_finetuning import command as finetuning
from tests.training import call, command, spawn, train

TEXTS = ["the old river follows the house", "the winter", "a small letter remembers the old garden"]
CHOICES = [["the garden", "a letter"], ["river"], ["stone house", "child", "the bright winter"]]


@pytest.fixture(scope="module")
def runs(tmp_path_factory, data):  # noqa: F811
    """Folders of one-update runs of each task, by the task's name."""
    tasks = ("metro_t5", "t5", "prompt_finetuning")
    folders = {task: tmp_path_factory.mktemp(task) for task in tasks}
    train(data, folders["metro_t5"], "--max-update=1")
    words = ["--task=t5", "--criterion=t5", "--max-update=1"]
    call("train", command(data, folders["t5"], *words, architecture="t5_transformer_tiny"))
    prompts = prompted.folder(tmp_path_factory.mktemp("prompts") / "data", data / "vocab")
    words = ["--max-update=1", "--max-source-length=20", "--max-target-length=6"]
    words += [f"--init-from={folders['metro_t5']}"]
    call("train", finetuning(prompts, folders["prompt_finetuning"], *words))
    shutil.rmtree(prompts)  # a run's folder needs its data no more
    for folder in folders.values():
        make_lively(folder / "checkpoint_last.pt")
    return folders


def make_lively(path):
    """Weights so large that the output depends on the input."""
    generator, state = torch.Generator().manual_seed(3), torch.load(path, weights_only=True)
    for weight in state["model"].values():
        weight += 0.2 * torch.randn(weight.shape, generator=generator)
    torch.save(state, path)


@pytest.fixture(scope="module")
def predictor(runs):
    return fairseq_metro.load(runs["metro_t5"], device="cpu")


@pytest.fixture(scope="module")
def stock(runs):
    """Model and task as fairseq's own commands load them."""
    folder = runs["metro_t5"]
    (model,), _, task = checkpoint_utils.load_model_ensemble_and_task(
        [str(folder / "checkpoint_last.pt")], arg_overrides={"data": str(folder)}
    )
    return model.eval(), task


def tokens_of(task, text, bos):
    words = task.dictionary
    ids = [*([words.bos()] if bos else []), *task.vocabulary.encode(text), words.eos()]
    return torch.tensor(ids)


def test_scores_are_those_of_fairseqs_own_model(predictor, stock):
    model, task = stock
    scores = predictor.score_choices(TEXTS, CHOICES)
    for text, each, row in zip(TEXTS, CHOICES, scores, strict=True):
        assert len(row) == len(each)
        for choice, score in zip(each, row, strict=True):
            source, target = tokens_of(task, text, True), tokens_of(task, choice, False)
            prev = torch.cat([torch.tensor([task.dictionary.eos()]), target[:-1]])
            with torch.no_grad():
                log_p = model(source[None], None, prev[None])[0][0].log_softmax(-1)
            expected = log_p.gather(1, target[:, None]).sum().item()
            assert score == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("beam", [1, 3])
def test_generation_is_that_of_fairseqs_own_generator(predictor, stock, beam):
    model, task = stock
    generator = task.build_generator([model], Namespace(beam=beam, max_len_a=0, max_len_b=7))
    expected = []
    for text in TEXTS:
        source = tokens_of(task, text, True)[None]
        sample = {
            "net_input": {"src_tokens": source, "src_lengths": torch.tensor([source.numel()])}
        }
        found = generator.generate([model], sample)[0][0]["tokens"]
        expected.append(task.vocabulary.decode(found))
    assert predictor.generate(TEXTS, beam=beam, max_len_b=7) == expected
    assert len(set(expected)) == len(TEXTS) and all(expected)


def test_the_batch_and_its_order_change_nothing(predictor):
    scores = predictor.score_choices(TEXTS, CHOICES)
    alone = predictor.score_choices(TEXTS[::-1], CHOICES[::-1], max_tokens=1)[::-1]
    for row, other in zip(scores, alone, strict=True):
        assert row == pytest.approx(other, abs=1e-4)
    outputs = predictor.generate(TEXTS, beam=2, max_len_b=5)
    assert predictor.generate(TEXTS[::-1], beam=2, max_len_b=5, max_tokens=1)[::-1] == outputs


def test_a_t5_run_predicts_too(runs):
    predictor = fairseq_metro.load(str(runs["t5"] / "checkpoint_last.pt"))
    assert len(predictor.generate(TEXTS, beam=1, max_len_b=4)) == 3
    assert [len(row) for row in predictor.score_choices(TEXTS, CHOICES)] == [2, 1, 3]


def test_a_fine_tuned_run_has_its_own_two_limits(runs, predictor):
    tuned = fairseq_metro.load(runs["prompt_finetuning"], device="cpu")
    assert (tuned.max_source, tuned.max_target) == (20, 6)
    assert (predictor.max_source, predictor.max_target) == (32, 32)
    assert len(tuned.sources(["river stone " * 20])[0]) == 20
    long, cut = tuned.score_choices(["the winter"], ["river stone " * 20, "river stone " * 30])[0]
    assert long == cut
    assert len(tuned.generate(TEXTS, beam=2, max_len_b=4)) == 3


def test_a_metro_run_leaves_its_auxiliary_model_behind(predictor):
    names = {name.split(".")[0] for name, _ in predictor.model.named_parameters()}
    assert names == {"encoder", "decoder"}
    assert not predictor.model.training


def test_the_likeliest_choice_is_predicted(predictor):
    scores = predictor.score_choices(TEXTS, ["river", "the old house", "garden"])
    indices = predictor.best(TEXTS, ["river", "the old house", "garden"])
    assert indices == [row.index(max(row)) for row in scores]
    predicted = predictor.predict(TEXTS, CHOICES)
    assert all(word in each for word, each in zip(predicted, CHOICES, strict=True))
    assert predictor.predict(["the winter"], beam=1) == predictor.generate(["the winter"], beam=1)


def test_line_breaks_are_spaces(predictor):
    torn = ["the old\nriver \t follows\n\nthe house"]
    assert predictor.sources(torn)[0].tolist() == predictor.sources(TEXTS[:1])[0].tolist()


def test_a_long_text_is_cut_at_the_end_with_one_warning(predictor, caplog):
    texts = ["the winter", *["river stone " * 60] * 2]
    with caplog.at_level(logging.WARNING):
        sources = predictor.sources(texts)
    assert [len(source) for source in sources[1:]] == [predictor.max_source] * 2
    words = predictor.dictionary
    assert {int(source[-1]) for source in sources} == {words.eos()}
    assert {int(source[0]) for source in sources} == {words.bos()}
    (record,) = caplog.records
    assert record.getMessage().startswith("2 of 3 texts cut at the end: the model takes 30 tokens")


def test_a_run_is_found_in_its_folder_or_one_below(tmp_path):
    for name, age in (("first", 100), ("second", 50)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "checkpoint_last.pt").touch()
        os.utime(tmp_path / name / "checkpoint_last.pt", (1e9 - age, 1e9 - age))
    assert find_checkpoint(tmp_path) == tmp_path / "second" / "checkpoint_last.pt"
    (tmp_path / "checkpoint_last.pt").touch()
    assert find_checkpoint(tmp_path) == tmp_path / "checkpoint_last.pt"


def test_an_exported_hugging_face_folder_predicts_the_same(runs, predictor, tmp_path):
    export_hugging_face(runs["metro_t5"], tmp_path / "released", fp32=True)
    exported = fairseq_metro.load(tmp_path / "released", device="cpu")
    ours, theirs_ = (p.score_choices(TEXTS, CHOICES) for p in (predictor, exported))
    for row, other in zip(ours, theirs_, strict=True):
        assert row == pytest.approx(other, abs=1e-4)


def test_a_t5_folder_of_hugging_face_predicts_as_transformers_does(tmp_path):
    pytest.importorskip("transformers", reason="the reference, transformers, is not installed")
    folder, reference = write_folder(tmp_path / "t5")
    predictor, processor = fairseq_metro.load(folder, device="cpu"), sentencepiece_of(folder)
    for text, output in zip(TEXTS, predictor.generate(TEXTS, beam=1, max_len_b=9), strict=True):
        ids = [*processor.encode(text), processor.eos_id()]
        with torch.no_grad():
            found = reference.generate(torch.tensor([ids]), max_new_tokens=9, do_sample=False)[0]
        found = [i for i in found.tolist() if i not in (0, 1) and i < len(processor)]
        assert output == processor.decode(found)
    for text, each, row in zip(
        TEXTS, CHOICES, predictor.score_choices(TEXTS, CHOICES), strict=True
    ):
        for choice, score in zip(each, row, strict=True):
            ids = torch.tensor([[*processor.encode(text), processor.eos_id()]])
            labels = torch.tensor([[*processor.encode(choice), processor.eos_id()]])
            with torch.no_grad():
                loss = reference(input_ids=ids, labels=labels).loss.item()
            assert score == pytest.approx(-loss * labels.numel(), abs=1e-3)


def sentencepiece_of(folder):
    return sentencepiece.SentencePieceProcessor(model_file=str(folder / "spiece.model"))


def test_missing_folders_and_checkpoints_are_one_line(tmp_path, runs):
    with pytest.raises(UserError, match="no such file or folder"):
        fairseq_metro.load(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"no checkpoint_last.pt in it or one folder below.*; give"):
        fairseq_metro.load(tmp_path)
    shutil.copy(runs["t5"] / "checkpoint_last.pt", tmp_path / "mine.pt")
    with pytest.raises(UserError, match=r"name one of mine\.pt"):
        fairseq_metro.load(tmp_path)
    with pytest.raises(UserError, match=r"vocab/spm.model: no such file"):
        fairseq_metro.load(tmp_path / "mine.pt")
    (tmp_path / "checkpoint_last.pt").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(UserError, match="truncated"):
        fairseq_metro.load(tmp_path)
    with pytest.raises(UserError, match="device 'abacus' cannot be used"):
        fairseq_metro.load(runs["t5"], device="abacus")


def test_another_vocabulary_is_one_line(runs, tmp_path):
    shutil.copy(runs["t5"] / "checkpoint_last.pt", tmp_path)
    other = import_vocabulary(write_theirs(tmp_path / "theirs"), tmp_path / "vocab", sentinels=9)
    with pytest.raises(UserError, match=f"trained with vocabulary .*{other.hash[:12]}"):
        fairseq_metro.load(tmp_path)


@pytest.mark.parametrize(
    "texts, choices, message",
    [
        (["the winter", " \n"], ["a"], "text 1 is empty"),
        (["the winter"], ["river", ""], "choice 1 is empty"),
        (["the winter"], [], "no choices given"),
        (["the winter", "river"], [["a"], []], "text 1 has no choices"),
        (["the winter", "river"], [["a"]], "2 texts, but choices for 1"),
        (["the winter", "river"], [["a"], "b"], "must be a list of strings"),
        ("the winter", ["a"], "one string where a list"),
    ],
)
def test_empty_and_unequal_lists_are_one_line(predictor, texts, choices, message):
    with pytest.raises(UserError, match=message):
        predictor.score_choices(texts, choices)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"beem": 2}, "no option 'beem'; the nearest are beam"),
        ({"beam": "many"}, "generate: "),
        ({"beam": 0}, "must be at least 1"),
        ({"sampling_topk": 5}, "--sampling-topk requires --sampling"),
    ],
)
def test_options_of_generation_that_cannot_be_are_one_line(predictor, options, message):
    with pytest.raises(UserError, match=message):
        predictor.generate(TEXTS, **options)


def test_no_texts_are_no_results(predictor):
    assert predictor.generate([]) == predictor.score_choices([], ["a"]) == []


def test_choices_may_be_shared():
    assert choices_by_text(["a", "b"], TEXTS) == [["a", "b"]] * 3
    assert choices_by_text([("a",), ("b", "c")], TEXTS[:2]) == [["a"], ["b", "c"]]


def test_the_decoder_starts_as_the_checkpoint_says(predictor, monkeypatch):
    """A checkpoint whose decoder starts with another symbol: both ways of asking know it."""
    start = predictor.vocabulary.index("mask")
    other = Predictor(predictor.model, predictor.task, predictor.vocabulary, start, (32, 32))
    seen = []
    features = predictor.model.decoder.extract_features

    def spy(prev_output_tokens, *args, **kwargs):
        seen.append(set(prev_output_tokens[:, 0].tolist()))
        return features(prev_output_tokens, *args, **kwargs)

    monkeypatch.setattr(predictor.model.decoder, "extract_features", spy)
    other.generate(TEXTS, beam=1, max_len_b=3)
    other.score_choices(TEXTS, CHOICES)
    assert seen and all(starts == {start} for starts in seen)


def test_the_command_answers_as_python_does(runs, predictor):
    words = [sys.executable, "-m", "fairseq_metro", "predict", runs["metro_t5"], "--json"]
    done = spawn([*words, "--device", "cpu", "--input", *TEXTS, "--choices", "river", "a letter"])
    assert done.returncode == 0 and done.stderr == "", done.stderr
    answers = list(map(json.loads, done.stdout.splitlines()))
    scores = predictor.score_choices(TEXTS, ["river", "a letter"])
    assert [answer["scores"] for answer in answers] == [pytest.approx(row) for row in scores]
    assert [answer["output"] for answer in answers] == predictor.predict(
        TEXTS, ["river", "a letter"]
    )


# What is no text


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (None, "the texts are None, must be a list of strings"),
        (3, "the texts are 3, must be a list"),
        (b"the winter", "one string where a list of texts"),
        ({"a": 1}, "must be a list of strings"),
        (["the winter", None], "text 1 is None, of type NoneType; give a string"),
        (["the winter", b"caf\xe9"], "text 1 is b'caf.*, of type bytes; decode it first"),
        ([7], "text 0 is 7, of type int"),
        ([["the winter"]], "text 0 is .'the winter'., of type list"),
    ],
)
def test_what_is_no_text_is_one_line_in_every_call(predictor, texts, words):
    calls = (
        lambda: predictor.generate(texts),
        lambda: predictor.score_choices(texts, ["river"]),
        lambda: predictor.best(texts, ["river"]),
        lambda: predictor.predict(texts),
        lambda: predictor.predict(texts, ["river"]),
        lambda: predictor.sources(texts),
    )
    for ask in calls:
        with pytest.raises(UserError, match=words) as error:
            ask()
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ("yes", "the choices are 'yes', must be a list of strings"),
        (b"yes", "the choices are b'yes'"),
        (3, "the choices are 3"),
        ({"a": 1}, "the choices are"),
        ([["river", None]], "choice 1 is None"),
        ([[b"river"]], "choice 0 is b'river', of type bytes; decode it first"),
        ([[["river"]]], "choice 0 is .'river'., of type list"),
        ([1, 2], "must be a list of strings"),
    ],
)
def test_what_is_no_choice_is_one_line(predictor, choices, words):
    for ask in (predictor.score_choices, predictor.best, predictor.predict):
        with pytest.raises(UserError, match=words):
            ask(["the winter"], choices)


def test_texts_may_be_any_iterable(predictor):
    wanted = predictor.score_choices(TEXTS, CHOICES)
    assert predictor.score_choices(iter(TEXTS), iter(CHOICES)) == wanted
    assert predictor.score_choices(tuple(TEXTS), map(tuple, CHOICES)) == wanted


def test_lone_surrogates_are_read_as_the_replacement_character(predictor, caplog):
    broken, whole = "the \ud83d winter", "the \ufffd winter"
    assert predictor.vocabulary.encode(broken) == predictor.vocabulary.encode(whole)
    assert predictor.generate([broken]) == predictor.generate([whole])
    scores = [predictor.score_choices([text], [[text, "river"]]) for text in (broken, whole)]
    assert scores[0] == scores[1]
    assert predictor.predict([broken], [broken]) == [whole]
    assert "1 lone surrogate(s) in the texts read as U+FFFD" in caplog.text


def test_an_output_may_be_empty(predictor, monkeypatch):
    """A model that is sure of the end at once; fairseq's own default forbids it."""
    eos, layer = predictor.dictionary.eos(), predictor.model.decoder.output_layer

    def end_at_once(features, *args, **kwargs):
        logits = layer(features, *args, **kwargs)
        return logits.index_fill(-1, torch.tensor([eos]), 1e3)

    monkeypatch.setattr(predictor.model.decoder, "output_layer", end_at_once)
    assert predictor.generate(TEXTS) == ["", "", ""]
    assert all(predictor.generate(TEXTS, min_len=1))


def test_characters_that_the_vocabulary_lacks_are_told_once(runs, caplog):
    predictor = fairseq_metro.load(runs["metro_t5"], device="cpu")
    with caplog.at_level(logging.WARNING):
        predictor.generate(TEXTS, max_len_b=2)
        assert not caplog.text
        predictor.generate([*TEXTS, "日本語の文章です"], max_len_b=2)
        predictor.score_choices(["日本語", *TEXTS], ["漢字", "river"])
    assert caplog.text.count("of the characters are not in the vocabulary") == 1
    assert "texts: " in caplog.text and "(8 of " in caplog.text
    assert predictor.characters(["日本 river", "the"]).unknown == 2
    assert predictor.characters(["日本 river", "the"]).all == 10
    predictor.allow_unknown = False
    predictor.generate(TEXTS, max_len_b=2)
    for texts, choices in ((["日本語"], CHOICES[0]), (TEXTS[:1], ["漢字", "日本語"])):
        with pytest.raises(UserError, match=r"s: 100.00% of the characters.*--allow-unknown"):
            predictor.score_choices(texts, choices)
