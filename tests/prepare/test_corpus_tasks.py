"""Few-shot tasks from a corpus: labels are true, balanced, and not told by anything else."""

import json
import re
from collections import Counter

import pytest
import yaml

from fairseq_metro.common.errors import UserError
from fairseq_metro.prepare.corpus_tasks import main as tasks
from fairseq_metro.prepare.corpus_tasks import rows
from fairseq_metro.prepare.corpus_tasks.topics import choose_topics, topic_of, unmentioned
from fairseq_metro.prepare.split import split_files
from fairseq_metro.smash.splits import kshot_split
from fairseq_metro.smash.tasks import load_task
from tests.scripts.test_quickstart_smash import stories


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    (folder / "text.txt").write_text(stories(), "utf-8")
    split_files([folder / "text.txt"], folder, 500_000, 0.2)
    return folder


@pytest.fixture(scope="module")
def made(corpus, tmp_path_factory):
    out = tmp_path_factory.mktemp("tasks")
    tasks.write_tasks(corpus, out)
    return out


def read(made, name, side):
    path = made / "corpus" / name / f"{side}.jsonl"
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


@pytest.mark.parametrize("name", tasks.MAKERS)
def test_labels_are_balanced_and_the_task_file_knows_them(made, name):
    task = load_task(str(made / f"{name}.yaml"))
    for side in ("train", "test"):
        counts = Counter(row["label"] for row in read(made, name, side))
        assert set(counts) == set(task.labels) and len(set(counts.values())) == 1
    folder = kshot_split(task, made, 32, 13, made / "kshot")
    assert len((folder / "train.jsonl").read_text().splitlines()) == 32 * len(task.labels)


def test_a_pair_is_adjacent_exactly_where_its_label_says_so(made, corpus):
    text = " ".join((corpus / "train.txt").read_text("utf-8").split())
    found = read(made, "adjacent", "train")
    for row in found:
        assert (f"{row['first']} {row['second']}" in text) == (row["label"] == rows.ADJACENT)
    # Each sentence is as often in a pair of one label as of the other.
    for field in ("first", "second"):
        of = [
            Counter(row[field] for row in found if row["label"] == label)
            for label in (rows.APART, rows.ADJACENT)
        ]
        assert of[0] == of[1]


def test_a_topic_is_that_of_the_document_and_unmentioned(made, corpus):
    topics = load_task(str(made / "topic.yaml")).labels
    text = (corpus / "train.txt").read_text("utf-8")
    documents = text.split("\n\n")
    for row in read(made, "topic", "train")[:200]:
        assert unmentioned(row["sentence"], topics)
        (document,) = [one for one in documents if row["sentence"] in " ".join(one.split())]
        counts = Counter(re.findall(r"[a-z]+", document.lower()))
        assert max(topics, key=counts.__getitem__) == row["label"]


def test_an_opening_opens_a_paragraph(made, corpus):
    text = (corpus / "train.txt").read_text("utf-8")
    for row in read(made, "opening", "train"):
        opens = f"\n{row['sentence']} " in "\n" + text
        assert opens == (row["label"] == rows.FIRST)


def test_mixed_sentences_have_the_words_of_a_sentence_that_is_there_too(made):
    found = read(made, "order", "train")
    right = {tuple(sorted(r["sentence"].split())) for r in found if r["label"] == rows.INTACT}
    wrong = [r["sentence"] for r in found if r["label"] == rows.MIXED]
    assert wrong and all(tuple(sorted(one.split())) in right for one in wrong)


def test_no_sentence_of_a_test_was_trained_on(made, corpus):
    text = " ".join((corpus / "train.txt").read_text("utf-8").split())
    for name, fields in (("topic", ["sentence"]), ("adjacent", ["first", "second"])):
        for row in read(made, name, "test"):
            assert not any(row[field] in text for field in fields)


def test_the_same_corpus_gives_the_same_bytes_and_another_seed_others(corpus, made, tmp_path):
    again, other = tmp_path / "again", tmp_path / "other"
    stamps = [tasks.write_tasks(corpus, again), tasks.write_tasks(corpus, other, seed=2)]
    first = yaml.safe_load((made / tasks.STAMP).read_text())
    assert stamps[0]["files"] == first["files"] != stamps[1]["files"]


def test_a_task_without_enough_rows_is_left_out_and_said(tmp_path, caplog):
    for name in ("train", "valid"):
        lines = [f"{name} number {i} is a sentence here. And {name} follows number {i} too."
                 for i in range(300)]  # fmt: skip
        (tmp_path / f"{name}.txt").write_text("\n\n".join(lines))
    with caplog.at_level("INFO"):
        tasks.write_tasks(tmp_path, tmp_path / "tasks")
    assert "the task topic is left out" in caplog.text
    assert sorted(p.stem for p in (tmp_path / "tasks").glob("*.yaml")) == [
        "adjacent",
        "opening",
        "order",
    ]


def test_too_little_text_is_one_line(tmp_path):
    for name in ("train", "valid"):
        (tmp_path / f"{name}.txt").write_text("One short sentence is all there is.\n")
    with pytest.raises(UserError, match="too little text for any task"):
        tasks.write_tasks(tmp_path, tmp_path / "tasks")
    assert not (tmp_path / "tasks").exists()
    with pytest.raises(UserError, match="no such file; --corpus is a folder"):
        tasks.write_tasks(tmp_path / "none", tmp_path / "tasks")


def test_sentences_that_were_left_out_make_no_neighbours():
    text = "Here is the first good sentence. No. And here is the second good one."
    assert rows.document_of(text).following == ()
    near = "Here is the first good sentence. And here is the second good one."
    assert rows.document_of(near).following == (1,)
    assert rows.document_of(near, {"here is the first good sentence"}).sentences == (
        "And here is the second good one.",
    )


def test_topics_are_words_that_keep_to_their_documents():
    common = "function " * 5
    texts = [common + f"{word} " * 5 for word in ("river", "garden", "kitchen", "forest")] * 10
    assert choose_topics(texts) == ("forest", "garden", "kitchen", "river")
    assert topic_of(texts[0], ("forest", "river")) == "river"
    with pytest.raises(UserError, match="only 0 words are topics"):
        choose_topics(["nothing much is said here"] * 50)
