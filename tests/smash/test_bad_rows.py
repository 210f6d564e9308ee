"""Bad rows of a few-shot task's files: left out of splits and counted, an error where they are many."""

import logging

import pytest

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.sources import BadRows
from fairseq_metro.evaluate.fewshot.augmented import check_augmented, read_augmented
from fairseq_metro.smash.kshot import main
from fairseq_metro.smash.splits import kshot_split
from fairseq_metro.smash.tasks import load_task
from tests.smash import originals


def insert(path, *bad, place=20):
    """Put bytes as lines among a file's lines."""
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:place], *(line + b"\n" for line in bad), *lines[place:]]))


def kshot(tasks, out, *options, task="sst2"):
    words = ["--tasks", tasks, "--task", task, "--k", "4", "--seeds", "13", "--out", out, *options]
    return main(list(map(str, words)))


def split(out, task="SST-2"):
    return {path.name: path.read_bytes() for path in (out / task / "4-13").glob("*.*sv")}


@pytest.mark.parametrize("bad", [[b"caf\xe9 au lait\t1"], [b"no label"], [b"\xff\t0", b"cut"]])
def test_bad_lines_of_lmbffs_tables_are_left_out_and_counted(bad, tmp_path, caplog):
    kshot(originals.sst2(tmp_path / "clean"), tmp_path / "out")
    insert(originals.sst2(tmp_path / "bad") / "SST-2/train.tsv", *bad)
    with pytest.raises(UserError, match=r"bad/SST-2/train.tsv.*more than --max-bad-rows"):
        kshot(tmp_path / "bad", tmp_path / "never", "--max-bad-rows", len(bad) - 1)
    assert not (tmp_path / "never").exists()
    with caplog.at_level(logging.WARNING):
        kshot(tmp_path / "bad", tmp_path / "left", "--max-bad-rows", len(bad))
    assert split(tmp_path / "left") == split(tmp_path / "out")
    assert f"SST-2: {len(bad)} of {90 + len(bad)} rows were left out" in caplog.text


def test_a_few_are_let_pass_and_many_are_not(tmp_path):
    insert(originals.sst2(tmp_path / "few") / "SST-2/train.tsv", *[b"no label"] * 10)
    assert kshot(tmp_path / "few", tmp_path / "out") == 0
    insert(originals.sst2(tmp_path / "many") / "SST-2/train.tsv", *[b"no label"] * 11)
    with pytest.raises(UserError, match=r"11 of 101 rows so far are bad .11 without a column"):
        kshot(tmp_path / "many", tmp_path / "out")


def test_bad_rows_of_a_csv_and_scores_that_are_none(tmp_path):
    insert(originals.mr(tmp_path / "t") / "mr/train.csv", b"1,two,three", b"0,caf\xe9")
    assert kshot(tmp_path / "t", tmp_path / "out", "--max-bad-rows", "2", task="mr") == 0
    table = originals.stsb(tmp_path / "t") / "STS-B/train.tsv"
    insert(table, b"\t".join([b"x"] * 9 + [b"high"]))
    assert kshot(tmp_path / "t", tmp_path / "out", "--max-bad-rows", "1", task="stsb") == 0
    with pytest.raises(UserError, match="'high' is no score"):
        kshot(tmp_path / "t", tmp_path / "none", "--max-bad-rows", "0", task="stsb")


def test_bad_rows_of_a_data_set_of_the_users_own(tmp_path, caplog):
    rows = [f'{{"text": "sentence {i}", "label": {i % 2}}}' for i in range(60)]
    bad = ['{"text": null, "label": 0}', '{"label": 1}', "{cut", '{"text": "x", "label": 7}']
    folder = tmp_path / "my"
    folder.mkdir()
    (folder / "train.jsonl").write_text("\n".join([*rows[:30], *bad, *rows[30:]]) + "\n")
    (folder / "test.jsonl").write_text("\n".join(rows[:5]) + "\n")
    task = tmp_path / "mine.yaml"
    task.write_text(
        "title: Mine\nfolder: Mine\ngroup: single_sentence\nmetric: accuracy\n"
        "template: '*cls**sent_0*_It_was*mask*.*sep+*'\nwords: {'no': bad, 'yes': good}\n"
        "max_length: 64\ndataset:\n  {name: my, text: [text], label: label, labels: ['no', 'yes'],"
        " splits: {train: train, test: test}}\n"
    )
    with caplog.at_level(logging.WARNING):
        assert kshot(tmp_path, tmp_path / "out", task=task) == 0
    for reason in ("1 not JSON", "1 'text' not a text", "1 without 'text'", "without a name"):
        assert reason in caplog.text
    with pytest.raises(UserError, match=r"--max-bad-rows allows .1."):
        kshot(tmp_path, tmp_path / "none", "--max-bad-rows", "1", task=task)


def test_a_field_that_no_row_has_is_an_error_whatever_is_allowed(tmp_path):
    lines = originals.sst2(tmp_path / "t") / "SST-2/train.tsv"
    lines.write_text("sentence\tlabel\n" + "no label\n" * 30)
    with pytest.raises(UserError, match="column 2 is missing"):
        kshot(tmp_path / "t", tmp_path / "out", "--max-bad-rows", "100%")


def test_bad_rows_of_an_augmented_file(tmp_path, caplog):
    task, path = load_task("sst2"), tmp_path / "more.jsonl"
    good, bad = '{"sentences": ["a fine one"]}\n', '{"sentences": [1]}\nnothing\n'
    path.write_text(good * 20 + bad + '{"sentences": ["half \\ud83d"]}\n')
    counts = BadRows(2)
    assert len(read_augmented(task, path, counts)) == 21 and counts.bad == 2
    assert counts.replaced == 1
    with caplog.at_level(logging.WARNING):
        check_augmented(task, path, None)
    assert "more.jsonl: 2 of 23 rows were left out: 2 without its texts" in caplog.text
    with pytest.raises(UserError, match=r"line 21 has no 1 texts.*--max-bad-rows allows .1."):
        check_augmented(task, path, 1)
    table = tmp_path / "more.tsv"
    table.write_bytes(b"sentence\tlabel\na fine one\t?\ncut\ncaf\xe9\t0\nanother\t0\n")
    sentences = [e.sentences for e in read_augmented(task, table, BadRows(2))]
    assert sentences == [("a fine one",), ("another",)]


def test_kshot_folders_of_bad_originals_are_the_same_by_python(tmp_path):
    insert(originals.sst2(tmp_path / "t") / "SST-2/train.tsv", b"no label")
    folder = kshot_split(load_task("sst2"), tmp_path / "t", 4, 13, tmp_path / "out")
    assert b"no label" not in (folder / "train.tsv").read_bytes()
