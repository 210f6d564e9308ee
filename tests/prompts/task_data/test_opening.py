"""task_data/opening.py, places.py, dataset.py: a data set by its name, from files on disk."""

import gzip
import json
import pickle
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairseq_metro.common.errors import UserError
from fairseq_metro.prompts.task_data import dataset_names, open_dataset
from tests.prompts.task_data.files import write

RTE = [
    {"premise": "a", "hypothesis": "b", "label": "entailment", "idx": 0},
    {"premise": "c", "hypothesis": "d", "label": "not_entailment", "idx": 1},
]


def error_of(call):
    with pytest.raises(UserError) as error:
        call()
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("place", ["rte", "RTE", "super_glue/rte", "SuperGLUE/RTE"])
def test_a_folder_is_found_under_several_names(tmp_path, place):
    write(tmp_path / place / "train.jsonl", RTE)
    write(tmp_path / place / "val.jsonl", RTE[:1])
    data = open_dataset("super_glue/rte", tmp_path)
    assert data.splits == ("train", "validation")
    assert list(data.rows("train")) == [{**RTE[0], "label": 0}, {**RTE[1], "label": 1}]
    assert data.count("validation") == 1
    assert [path.name for path in data.files("validation")] == ["val.jsonl"]


def test_labels_keep_their_order_where_two_sets_differ(tmp_path):
    raw = {"context": "p", "hypothesis": "h", "reason": "", "uid": "1"}
    write(tmp_path / "anli_v1.0/R2/dev.jsonl", [{**raw, "label": label} for label in "ecn"])
    cb = ["entailment", "contradiction", "neutral"]
    write(tmp_path / "CB/val.jsonl",
          [{"premise": "p", "hypothesis": "h", "label": label} for label in cb])  # fmt: skip
    anli = open_dataset("anli", tmp_path)
    assert anli.splits == ("dev_r2",)
    assert [(row["premise"], row["label"]) for row in anli.rows("dev_r2")] == [
        ("p", 0), ("p", 2), ("p", 1),
    ]  # fmt: skip
    assert [row["label"] for row in open_dataset("super_glue/cb", tmp_path).rows("validation")] == [
        0, 1, 2,
    ]  # fmt: skip


def test_rows_as_the_hub_has_them_pass_through(tmp_path):
    shaped = [{**row, "label": index} for index, row in enumerate(RTE)]
    write(tmp_path / "super_glue/rte/train.jsonl", shaped)
    write(tmp_path / "super_glue/rte/validation.json", json.dumps(shaped[:1]))
    data = open_dataset("super_glue/rte", tmp_path)
    assert list(data.rows("train")) == shaped and list(data.rows("validation")) == shaped[:1]


def test_a_split_without_labels_serves_nothing(tmp_path):
    write(tmp_path / "rte/val.jsonl", RTE)
    write(tmp_path / "rte/test.jsonl", [{"premise": "a", "hypothesis": "b", "idx": 0}])
    data = open_dataset("super_glue/rte", tmp_path)
    assert data.splits == ("validation",)
    for call in (data.rows, data.count, data.files):
        message = error_of(lambda call=call: call("test"))
        assert "split test has no labels" in message and "use one of: validation" in message
    write(tmp_path / "sciq2/test.jsonl", [{"text": "a", "label": 1}, {"text": "a", "label": -1}])
    hidden = open_dataset("sciq2", tmp_path)
    assert "line 2 has no label" in error_of(lambda: list(hidden.rows("test")))


def test_wrong_rows_are_told_by_file_and_line(tmp_path):
    data = open_dataset("super_glue/rte", write(tmp_path / "rte/train.jsonl", RTE).parents[1])

    def told(row):
        write(tmp_path / "rte/train.jsonl", [RTE[0], row])
        return error_of(lambda: list(data.rows("train")))

    assert re.search(
        r"train\.jsonl: line 2: label 'maybe' .* none of ent", told({**RTE[1], "label": "maybe"})
    )
    assert re.search(r"train\.jsonl: line 2 has no label", told({**RTE[1], "label": -1}))
    assert re.search(r"train\.jsonl: line 2 has no field 'premise'", told({"label": 0}))


def test_an_empty_file_is_an_error(tmp_path):
    write(tmp_path / "rte/train.jsonl", "")
    data = open_dataset("super_glue/rte", tmp_path)
    assert "train.jsonl: no rows in this file" in error_of(lambda: list(data.rows("train")))
    write(tmp_path / "dream/train.json", "[]")
    data = open_dataset("dream", tmp_path)
    assert "train.json: no rows in this file" in error_of(lambda: list(data.rows("train")))


def test_a_row_of_another_form_is_told(tmp_path):
    write(tmp_path / "wsc/train.jsonl", [{"text": "a", "target": {}, "label": True}])
    data = open_dataset("super_glue/wsc.fixed", tmp_path)
    message = error_of(lambda: list(data.rows("train")))
    assert "line 1: a row is not as this data set is distributed (KeyError" in message


@given(start=st.integers(0, 9), stop=st.none() | st.integers(0, 9))
@pytest.mark.parametrize("name", ["mine", "shards", "piqa", "super_glue/multirc"])
def test_a_range_of_rows_is_that_part_of_them_all(tmp_path_factory, name, start, stop):
    folder = tmp_path_factory.mktemp("tasks")
    rows = [{"goal": str(i), "sol1": "a", "sol2": "b"} for i in range(7)]
    write(folder / "mine/train.jsonl", rows)
    for part in range(3):
        write(folder / f"shards/train-0000{part}-of-00003.jsonl", rows[2 * part : 2 * part + 2])
    write(folder / "piqa/train.jsonl", rows)
    write(folder / "piqa/train-labels.lst", "0\n1\n1\n0\n0\n1\n1\n")
    answers = [{"text": str(i), "label": i % 2} for i in range(3)]
    passage = {"text": "p", "questions": [{"question": "q", "answers": answers}]}
    write(folder / "multirc/train.jsonl", [{"idx": i, "passage": passage} for i in range(2)])
    data = open_dataset(name, folder)
    every = list(data.rows("train"))
    assert len(every) == data.count("train") == (7 if name in ("mine", "piqa") else 6)
    assert list(data.rows("train", start, stop)) == every[start:stop]


def test_labels_that_lie_apart(tmp_path):
    rows = [{"goal": "g", "sol1": "a", "sol2": "b"}] * 3
    write(tmp_path / "piqa/train.jsonl", rows)
    labels = write(tmp_path / "piqa/train-labels.lst", "1\n0\n1\n")
    data = open_dataset("piqa", tmp_path)
    assert [row["label"] for row in data.rows("train")] == [1, 0, 1]
    assert [path.name for path in data.files("train")] == ["train.jsonl", "train-labels.lst"]
    for content, word in (("1\n0\n", "fewer"), ("1\n0\n1\n1\n", "more")):
        write(labels, content)
        assert f"train-labels.lst: {word} labels" in error_of(lambda: list(data.rows("train")))
    labels.unlink()
    data = open_dataset("piqa", tmp_path)
    assert "train.jsonl: line 1 has no label" in error_of(lambda: list(data.rows("train")))


def test_story_cloze_and_mmlu_by_their_own_file_names(tmp_path):
    header = ("InputStoryid,InputSentence1,InputSentence2,InputSentence3,InputSentence4,"
              "RandomFifthSentenceQuiz1,RandomFifthSentenceQuiz2,AnswerRightEnding\n")  # fmt: skip
    write(tmp_path / "story_cloze/cloze_test_val__spring2016 - cloze_test_ALL_val.csv",
          header + 'i,a,b,c,d,"e, or",f,2\n')  # fmt: skip
    story = open_dataset("story_cloze/2016", tmp_path)
    assert story.splits == ("validation",)
    (row,) = story.rows("validation")
    assert row["sentence_quiz1"] == "e, or" and row["answer_right_ending"] == 2
    assert "1 rows in split validation, 1,871 are published" in story.check_count("validation")
    for subject in ("virology", "anatomy"):
        write(
            tmp_path / f"data/val/{subject}_val.csv", '"what\nnow?",None,2,N/A,4,D\nq,1,2,3,4,A\n'
        )
    mmlu = open_dataset("mmlu", tmp_path)
    assert [row["subject"] for row in mmlu.rows("validation", 1)] == ["anatomy", *["virology"] * 2]
    first = next(mmlu.rows("validation"))
    assert first["question"] == "what\nnow?" and first["choices"]["text"] == [
        "None",
        "2",
        "N/A",
        "4",
    ]


def test_winogrande_sizes_share_their_dev_file(tmp_path):
    row = {"sentence": "_", "option1": "a", "option2": "b"}
    write(tmp_path / "winogrande_1.1/train_xs.jsonl", [{**row, "answer": "1"}] * 2)
    write(tmp_path / "winogrande_1.1/dev.jsonl", [{**row, "answer": "2"}])
    write(tmp_path / "winogrande_1.1/test.jsonl", [row])
    assert open_dataset("winogrande/winogrande_xs", tmp_path).splits == ("train", "validation")
    extra_large = open_dataset("winogrande/winogrande_xl", tmp_path)
    assert extra_large.splits == ("validation",)
    assert next(extra_large.rows("validation"))["answer"] == "2"
    write(tmp_path / "winogrande_1.1/dev.jsonl", [{**row, "answer": ""}])
    assert "has no label" in error_of(lambda: list(extra_large.rows("validation")))


def test_encoding_is_declared_or_told(tmp_path):
    write(tmp_path / "subj/subj.all", b"0 caf\xe9 \x96 x\n1 a\x85\n")
    texts = [row["text"] for row in open_dataset("subj", tmp_path).rows("train")]
    assert texts == ["caf\u00e9 \u2013 x", "a\u2026"]
    write(tmp_path / "rte/train.jsonl", b'{"premise": "caf\xe9"}\n')
    data = open_dataset("super_glue/rte", tmp_path)
    assert "line 1, byte 16 of the line (0xe9) is not utf-8" in error_of(
        lambda: list(data.rows("train"))
    )
    write(
        tmp_path / "datasets.yaml",
        "super_glue/rte: {encoding: latin-1, features: {premise: string}}\n",
    )
    assert list(open_dataset("super_glue/rte", tmp_path).rows("train")) == [
        {"premise": "caf\u00e9"}
    ]


def test_any_other_data_set_lies_under_its_name(tmp_path):
    write(tmp_path / "new/set/Dev.csv", "text,label\na,1\n")
    write(tmp_path / "new/set/train_r1.jsonl.gz", gzip.compress(b'{"a-b": [1]}\n'))
    write(tmp_path / "new/set/notes.txt", "no data\n")
    data = open_dataset("new/set", tmp_path)
    assert sorted(data.splits) == ["train_r1", "validation"]
    assert list(data.rows("validation")) == [{"text": "a", "label": 1}]
    assert list(data.rows("train_r1")) == [{"a_b": [1]}]
    assert data.check_count("validation") is None
    write(tmp_path / "new/set/dev.tsv", "text\nb\n")
    assert "split validation is there more than once" in error_of(
        lambda: open_dataset("new/set", tmp_path)
    )


def test_names_and_folders_that_are_not_there(tmp_path):
    message = error_of(lambda: open_dataset("super_glue/rt", tmp_path))
    assert str(tmp_path) in message and "nearest: super_glue/rte" in message
    message = error_of(lambda: open_dataset("hellaswag", tmp_path))
    assert "hellaswag/hellaswag_train.jsonl" in message and "nearest" not in message
    assert "no such folder" in error_of(lambda: open_dataset("hellaswag", tmp_path / "gone"))
    assert "allow the hub" in error_of(lambda: open_dataset("hellaswag"))
    for name in ("", ".", "../x", "/etc"):
        assert "is no name of a data set" in error_of(
            lambda name=name: open_dataset(name, tmp_path)
        )
    write(tmp_path / "rte/val.jsonl", RTE)
    data = open_dataset("super_glue/rte", tmp_path)
    message = error_of(lambda: data.rows("validatoin"))
    assert "no split 'validatoin'" in message and "nearest: validation" in message
    assert "super_glue/rte" in dataset_names()


@pytest.mark.parametrize("place", ["dump.jsonl.gz", "dump/train.jsonl.gz"])
def test_ready_made_pairs(tmp_path, place):
    pairs = [{"inputs": "i", "targets": "t", "choices": ["t", "u"]}, {"inputs": "i", "targets": ""}]
    packed = gzip.compress("".join(json.dumps(pair) + "\n" for pair in pairs).encode())
    write(tmp_path / place, packed)
    name = place.split("/")[0]
    for data in (open_dataset(f"jsonl:{tmp_path / name}"), open_dataset(f"jsonl:{name}", tmp_path)):
        assert data.splits == ("train",) and data.count("train") == 2
        assert list(data.rows("train")) == pairs and list(data.rows("train", 1)) == pairs[1:]
    write(tmp_path / place, gzip.compress(b'{"inputs": "i"}\n'))
    assert "line 1 has no field 'targets'" in error_of(lambda: list(data.rows("train")))
    assert "no such file" in error_of(lambda: open_dataset("jsonl:gone.jsonl", tmp_path))


def test_workers_get_a_copy(tmp_path):
    write(tmp_path / "rte/val.jsonl", RTE)
    data = open_dataset("super_glue/rte", tmp_path)
    copy = pickle.loads(pickle.dumps(data))
    assert list(copy.rows("validation")) == list(data.rows("validation"))


def test_rows_come_one_at_a_time(tmp_path):
    write(tmp_path / "rte/train.jsonl", json.dumps(RTE[0]) + "\n" + "no json\n" * 3)
    rows = open_dataset("super_glue/rte", tmp_path).rows("train")
    assert next(rows)["premise"] == "a"  # what comes later is not read yet
    assert "line 2 is not JSON" in error_of(lambda: next(rows))


def test_files_after_a_range_are_not_opened(tmp_path):
    write(tmp_path / "mine/train-0-of-2.jsonl", [{"text": "a"}, {"text": "b"}])
    write(tmp_path / "mine/train-1-of-2.jsonl.gz", gzip.compress(b"{}")[:-5])
    data = open_dataset("mine", tmp_path)
    assert len(list(data.rows("train", 0, 2))) == 2
    assert "damaged or cut off" in error_of(lambda: list(data.rows("train", 0, 3)))


def test_other_files_beside_those_of_a_layout_are_no_splits_of_it(tmp_path):
    for name in ("train.json", "train.jsonl", "sample.json", "train_small.csv"):
        write(tmp_path / "dream" / name, "[[[], [], 1]]")
    write(tmp_path / "dream/test.jsonl", [{}])
    data = open_dataset("dream", tmp_path)
    assert sorted(data.splits) == ["test", "train"]
    assert [path.name for path in data.files("train")] == ["train.json"]
