import pytest
import yaml

from fairseq_metro.common.errors import UserError
from fairseq_metro.prompts.task_data import dataset_names
from fairseq_metro.prompts.task_data.catalogue import descriptions
from fairseq_metro.smash import tasks
from fairseq_metro.smash.groups import group_names
from fairseq_metro.smash.tasks import load_task, required_words, steps_for, task_names
from tests.smash import tiny

PAIRS = "mnli snli qnli rte mrpc qqp stsb cb".split()
SENTENCES = "sst2 sst5 mr cr cola subj trec mpqa".split()
METRICS = {"mrpc": "f1", "qqp": "f1", "stsb": "pearson", "cola": "matthews"}
# The paper's table of templates and label words, as LM-BFF writes them.
TEMPLATES = {
    **dict.fromkeys("mnli snli qnli rte cb".split(), "*cls**sent-_0*?*mask*,*+sentl_1**sep+*"),
    **dict.fromkeys("mrpc qqp stsb".split(), "*cls**sent_0**mask*,*+sentl_1**sep+*"),
    **dict.fromkeys("cola subj".split(), "*cls**sent_0*_This_is*mask*.*sep+*"),
    **dict.fromkeys("sst2 sst5 mr cr mpqa".split(), "*cls**sent_0*_It_was*mask*.*sep+*"),
    "trec": "*cls**mask*:*+sent_0**sep+*",
}
YES_NO = {"0": "No", "1": "Yes"}
ENTAILED = {"not_entailment": "No", "entailment": "Yes"}
SENTIMENT = {"0": "terrible", "1": "great"}
NLI = {"contradiction": "No", "entailment": "Yes", "neutral": "Maybe"}
WORDS = {
    **dict.fromkeys("mnli snli cb".split(), NLI),
    **dict.fromkeys("qnli rte".split(), ENTAILED),
    **dict.fromkeys("mrpc qqp".split(), YES_NO),
    **dict.fromkeys("sst2 mr cr mpqa".split(), SENTIMENT),
    "stsb": {"low": "No", "high": "Yes"},
    "cola": {"0": "incorrect", "1": "correct"},
    "subj": {"0": "subjective", "1": "objective"},
    "sst5": dict(zip("01234", "terrible bad okay good great".split(), strict=True)),
    "trec": dict(
        zip("012345", "Description Entity Expression Human Location Number".split(), strict=True)
    ),
}


def test_all_tasks_are_there():
    assert task_names() == sorted(PAIRS + SENTENCES)


@pytest.mark.parametrize("name", PAIRS + SENTENCES)
def test_a_task_is_the_papers(name):
    task = load_task(name)
    assert task.template == TEMPLATES[name] and task.words == WORDS[name]
    assert task.metric == METRICS.get(name, "accuracy")
    assert task.max_length == (128 if name in PAIRS else 64)
    assert task.group == ("sentence_pair" if name in PAIRS else "single_sentence")
    assert task.group in group_names()
    assert task.interval == ((0, 5) if name == "stsb" else None)
    assert task.prompt.sentences == (2 if name in PAIRS else 1)


def test_thirteen_columns_of_the_papers_table():
    own = set(task_names()) - {"cb", "subj", "trec", "mpqa"}
    assert sorted(title for name in own for title in load_task(name).tests) == sorted(
        "MNLI-m MNLI-mm SNLI QNLI RTE MRPC QQP STS-B CoLA SST-2 SST-5 MR CR".split()
    )


@pytest.mark.parametrize("name", PAIRS + SENTENCES)
def test_fields_are_those_of_the_data_set(name):
    spec = load_task(name).dataset
    if spec.name not in dataset_names():
        assert spec.name in ("snli", "sst5", "mpqa", "glue/stsb")
        return
    features = descriptions()[spec.name].features
    assert {*spec.text, spec.label} <= set(features)
    classes = features[spec.label]["classes"]
    assert set(spec.labels or classes) == set(load_task(name).labels)
    assert len(spec.labels or classes) == len(classes)


def test_trec_numbers_its_classes_as_lmbff():
    spec = load_task("trec").dataset
    classes = descriptions()["trec"].features["label_coarse"]["classes"]
    word = {c: load_task("trec").words[i] for c, i in zip(classes, spec.labels, strict=True)}
    assert word == {
        "DESC": "Description", "ENTY": "Entity", "ABBR": "Expression", "HUM": "Human",
        "NUM": "Number", "LOC": "Location",
    }  # fmt: skip


def test_steps_follow_the_schedule():
    assert [steps_for(k) for k in (1, 16, 32, 33, 64, 128, 256)] == [
        1000, 1000, 1000, 2000, 2000, 2000, 4000
    ]  # fmt: skip
    for k in (0, 257):
        with pytest.raises(UserError, match="give the steps"):
            steps_for(k)


def test_required_words_are_label_words_and_words_of_prompts():
    words = required_words()
    assert {"It", "was", "This", "is", "Yes", "No", "Maybe", "incorrect", "Number"} <= set(words)
    assert not {"?", ",", ".", "cls", "mask"} & set(words) and words == sorted(set(words))
    assert required_words([load_task("cola")], ["*cls**sent_0*_All_in_all*mask*", "nice"]) == [
        "All", "This", "all", "correct", "in", "incorrect", "is", "nice"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "most", "limit"),
    [("rte", 256, 240), ("mnli", 256, None), ("sst5", 128, 110), ("mrpc", 128, None)],
)
def test_lengths_are_ours_or_lmbffs(name, most, limit):
    task, tok = load_task(name), tiny.tokenizer()
    sentences = [" bad" * 600, ""][: task.prompt.sentences]
    assert len(task.build(sentences, tok).ids) == task.max_length
    assert len(task.build(sentences, tok, 32).ids) == 32
    theirs = task.build(sentences, tok, lmbff_lengths=True)
    prompt = len(task.build(["", ""][: len(sentences)], tok).ids)
    assert len(theirs.ids) == (limit + prompt if limit else most) and theirs.trimmed


def test_cb_has_no_lengths_of_lmbffs():
    with pytest.raises(UserError, match="no lengths of LM-BFF's"):
        load_task("cb").build(["a", "b"], tiny.tokenizer(), lmbff_lengths=True)


GOOD = yaml.safe_load((tasks._FOLDER / "sst2.yaml").read_text())


def changed(path, **change):
    values = {**GOOD, **change}
    path.write_text(yaml.safe_dump({k: v for k, v in values.items() if v is not None}))
    return path


def test_a_file_of_ones_own(tmp_path):
    task = load_task(changed(tmp_path / "mine.yaml", title="Mine", folder="here"))
    assert (task.name, task.folder, task.tests) == ("mine", "here", {"Mine": "test"})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"template": None}, "no 'template'"),
        ({"tempalte": "x"}, "unknown key 'tempalte' .*nearest: template"),
        ({"metric": "bleu"}, "metric is 'bleu', must be one of accuracy"),
        ({"words": {"0": "bad"}}, "two labels or more"),
        ({"words": {"0": False, "1": True}}, "two labels or more"),  # unquoted No and Yes
        ({"max_length": "64"}, "must be a whole number from 8"),
        ({"interval": [5, 0]}, "the lower first"),
        ({"interval": [0, 5]}, "goes with two words and the metric pearson"),
        ({"metric": "pearson"}, "pearson goes with an interval"),
        ({"template": "*cls**sent_0**sep+*"}, "has 0 masks"),
        ({"template": "*mask**sent_0**sent_1*"}, "takes 2 sentences, text names 1"),
        ({"lmbff": None, "dataset": None}, "give lmbff or dataset"),
        ({"tests": {"A": "hidden"}}, "no file is named for the test split 'hidden'"),
        ({"dataset": {**GOOD["dataset"], "labels": ["0", "2"]}}, "are not those of words"),
        ({"dataset": {"name": "x"}}, "dataset: no 'text'"),
        ({"lmbff": {**GOOD["lmbff"], "lengths": {"sentences": [9]}}}, "lengths: no 'max_length'"),
        ({"lmbff": {**GOOD["lmbff"], "format": "xls"}}, "must be tsv or csv"),
        (
            {"dataset": {**GOOD["dataset"], "splits": {"train": "train", "test": "train"}}},
            "'train' and the test split 'test' are both 'train'",
        ),
        (
            {"lmbff": {**GOOD["lmbff"], "files": {"train": "all", "test": "all"}}},
            "'train' and the test split 'test' are both 'all'",
        ),
    ],
)
def test_wrong_files_are_one_line(tmp_path, change, message):
    with pytest.raises(UserError, match=message) as error:
        load_task(changed(tmp_path / "mine.yaml", **change))
    assert "\n" not in str(error.value) and "mine.yaml" in str(error.value)


def test_unknown_names_are_answered_with_the_nearest():
    with pytest.raises(UserError, match=r"no few-shot task 'sst-2' .*nearest: sst2"):
        load_task("sst-2")
