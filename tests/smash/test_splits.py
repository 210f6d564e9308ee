"""K-shot splits against a straightforward script of LM-BFF's algorithm, with numpy's global seed."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.files import read_json
from fairseq_metro.smash.splits import CHAIN, KShot, draw, kshot_split, kshot_splits
from fairseq_metro.smash.tasks import load_task
from tests.smash import originals

BUCKET = {
    "sst2": lambda line: line.strip().split("\t")[-1],
    "mnli": lambda line: line.strip().split("\t")[-1],
    "qqp": lambda line: line.strip().split("\t")[-1],
    "cola": lambda line: line.strip().split("\t")[1],
    "stsb": lambda line: 0 if float(line.strip().split("\t")[-1]) < 2.5 else 1,
}
MAKE = {name: getattr(originals, name) for name in (*BUCKET, "mr")}


def script(task, lines, header, seeds, k, times=1):
    """LM-BFF's way, table tasks: for each seed the text of train and of dev; lists are shared."""
    head, body = lines[:header], lines[header:]
    if not header:
        body = lines  # CoLA: the list itself
    found = {}
    for seed in seeds:
        np.random.seed(seed)
        body = body if not header else list(lines[header:])
        np.random.shuffle(body)
        buckets = {}
        for line in body:
            buckets.setdefault(BUCKET[task](line), []).append(line)
        train = head + [line for rows in buckets.values() for line in rows[:k]]
        dev = head + [line for rows in buckets.values() for line in rows[k : k * (1 + times)]]
        found[seed] = "".join(train), "".join(dev)
    return found


def read(folder, name):
    return (Path(folder) / name).read_bytes().decode()


@pytest.mark.parametrize("name", ["sst2", "mnli", "stsb", "qqp"])
@pytest.mark.parametrize("times", [1, 2])
def test_files_are_those_of_the_script(tmp_path, name, times):
    task = load_task(name)
    tasks = MAKE[name](tmp_path / "tasks")
    lines = read(tasks / task.folder, "train.tsv").splitlines(keepends=True)
    expected = script(name, lines, 1, CHAIN, 5, times)
    dev = "dev_matched.tsv" if name == "mnli" else "dev.tsv"
    for seed in CHAIN:
        folder = kshot_split(task, tasks, 5, seed, tmp_path / "out", dev_times=times)
        assert folder == tmp_path / "out" / task.folder / f"5-{seed}"
        assert (read(folder, "train.tsv"), read(folder, dev)) == expected[seed]
        for split in task.tests.values():
            original = tasks / task.folder / f"{task.lmbff.files[split]}.tsv"
            assert (folder / f"{split}.tsv").read_bytes() == original.read_bytes()


@pytest.mark.parametrize("chained", [True, False])
def test_cola_alone_depends_on_the_seeds_before(tmp_path, chained):
    task, tasks = load_task("cola"), originals.cola(tmp_path / "tasks")
    text = read(tasks / "CoLA", "train.tsv")
    shots = [KShot(4, seed, chained=chained) for seed in CHAIN]
    folders = kshot_splits(task, tasks, shots, tmp_path / "out")
    for seed, folder in zip(CHAIN, folders, strict=True):
        before = CHAIN if chained else [seed]
        expected = script("cola", text.splitlines(keepends=True), 0, before, 4)[seed]
        assert (read(folder, "train.tsv"), read(folder, "dev.tsv")) == expected


def test_a_chain_says_nothing_of_other_tasks(tmp_path):
    tasks = originals.sst2(tmp_path / "tasks")
    one, two = (
        kshot_splits(load_task("sst2"), tasks, [KShot(4, 42, chained=c)], tmp_path / str(c))[0]
        for c in (True, False)
    )
    assert (one / "train.tsv").read_bytes() == (two / "train.tsv").read_bytes()


def test_csv_files_are_those_pandas_writes(tmp_path):
    pandas = pytest.importorskip("pandas")
    task, tasks = load_task("mr"), originals.mr(tmp_path / "tasks")
    folder = kshot_split(task, tasks, 6, 21, tmp_path / "out")
    rows = pandas.read_csv(tasks / "mr" / "train.csv", header=None).values.tolist()
    np.random.seed(21)
    np.random.shuffle(rows)
    buckets = {}
    for row in rows:
        buckets.setdefault(row[0], []).append(row)
    for name, start in (("train.csv", 0), ("dev.csv", 6)):
        chosen = [row for rows in buckets.values() for row in rows[start : start + 6]]
        pandas.DataFrame(chosen).to_csv(tmp_path / name, header=False, index=False)
        assert (folder / name).read_bytes() == (tmp_path / name).read_bytes()
    assert (folder / "test.csv").read_bytes() == (tasks / "mr" / "test.csv").read_bytes()


def test_csv_files_by_hand(tmp_path):
    """The same without pandas: order by the global generator, words it takes for missing left out."""
    task, tasks = load_task("mr"), originals.mr(tmp_path / "tasks")
    lines = read(tasks / "mr", "train.csv").splitlines()
    np.random.seed(13)
    np.random.shuffle(lines)
    first = dict.fromkeys(line[0] for line in lines)
    train = [line for label in first for line in [x for x in lines if x[0] == label][:7]]
    folder = kshot_split(task, tasks, 7, 13, tmp_path / "out")
    assert read(folder, "train.csv").splitlines() == [
        line[:2] if line[2:] == "null" else line for line in train
    ]


@given(st.lists(st.sampled_from("abc"), min_size=40, max_size=80), st.integers(0, 2**32 - 1))
def test_train_and_dev_are_disjoint_and_balanced(buckets, seed):
    labels = sorted(set(buckets))
    train, dev = draw(buckets, KShot(4, seed, short_labels="lmbff"), labels)
    assert not set(train) & set(dev) and len(set(train)) == len(train)
    for label in labels:
        rows = buckets.count(label)
        assert sum(buckets[i] == label for i in train) == min(4, rows)
        assert sum(buckets[i] == label for i in dev) == max(0, min(4, rows - 4))
    blocks = [buckets[i] for i in train]
    assert blocks == [x for label in dict.fromkeys(blocks) for x in blocks if x == label]


def test_splits_of_larger_k_begin_with_those_of_smaller():
    buckets = [i % 3 for i in range(300)]
    small, large = (draw(buckets, KShot(k, 42), (0, 1, 2))[0] for k in (4, 16))
    for label in (0, 1, 2):
        of = [[i for i in rows if buckets[i] == label] for rows in (small, large)]
        assert of[1][:4] == of[0]


def test_too_few_rows_of_a_label():
    buckets = ["a"] * 50 + ["b"] * 6
    with pytest.raises(UserError, match=r"label b has 6 rows, K of 4 needs 8.* take K up to 3"):
        draw(buckets, KShot(4, 1), ("a", "b"))
    with pytest.raises(UserError, match="label c has 0 rows"):
        draw(buckets, KShot(2, 1, short_labels="halve"), ("a", "b", "c"))
    count = {}
    for short in ("lmbff", "halve"):
        halves = draw(buckets, KShot(4, 1, short_labels=short), ("a", "b"))
        count[short] = [sum(buckets[i] == "b" for i in half) for half in halves]
    assert count == {"lmbff": [4, 2], "halve": [3, 3]}


def digest(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return [(str(p.relative_to(folder)), hashlib.sha256(p.read_bytes()).hexdigest()) for p in files]


def test_the_same_seed_gives_the_same_bytes_and_another_others(tmp_path):
    task, tasks = load_task("sst2"), originals.sst2(tmp_path / "tasks")
    for name in ("one", "two"):
        kshot_split(task, tasks, 8, 13, tmp_path / name)
    assert digest(tmp_path / "one") == digest(tmp_path / "two")
    other = kshot_split(task, tasks, 8, 14, tmp_path / "one")
    assert read(other, "train.tsv") != read(tmp_path / "two" / "SST-2" / "8-13", "train.tsv")


def test_a_split_that_is_there_is_kept_or_refused(tmp_path):
    task, tasks = load_task("sst2"), originals.sst2(tmp_path / "tasks")
    folder = kshot_split(task, tasks, 8, 13, tmp_path / "out")
    before = (folder / "train.tsv").stat().st_mtime_ns
    assert kshot_split(task, tasks, 8, 13, tmp_path / "out") == folder
    assert (folder / "train.tsv").stat().st_mtime_ns == before
    with pytest.raises(UserError, match="made from other files or with other settings"):
        kshot_split(task, tasks, 8, 13, tmp_path / "out", dev_times=2)
    originals.sst2(tasks, rows=80)
    with pytest.raises(UserError, match="made from other original files"):
        kshot_split(task, tasks, 8, 14, tmp_path / "out")
    originals.sst2(tasks)
    (folder / "dev.tsv").write_text("changed")
    with pytest.raises(UserError, match="changed since it was made"):
        kshot_split(task, tasks, 8, 13, tmp_path / "out")
    (folder / "split.json").unlink()
    with pytest.raises(UserError, match="so not ours"):
        kshot_split(task, tasks, 8, 13, tmp_path / "out")


def test_nothing_half_written_stays(tmp_path, monkeypatch):
    task, tasks = load_task("sst2"), originals.sst2(tmp_path / "tasks")

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(UserError, match="No space left"):
        kshot_split(task, tasks, 8, 13, tmp_path / "out")
    assert list((tmp_path / "out" / "SST-2").iterdir()) == []


def test_the_stamp_says_what_it_is(tmp_path):
    task, tasks = load_task("sst2"), originals.sst2(tmp_path / "tasks")
    stamp = read_json(kshot_split(task, tasks, 8, 13, tmp_path / "out") / "split.json")
    assert stamp["settings"]["k"] == 8 and stamp["settings"]["seed"] == 13
    train = hashlib.sha256((tasks / "SST-2" / "train.tsv").read_bytes()).hexdigest()
    assert stamp["originals"]["train.tsv"] == train


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"k": 0}, "both must be 1 or more"),
        ({"dev_times": 0}, "both must be 1 or more"),
        ({"seed": -1}, "not one of numpy's"),
        ({"short_labels": "none"}, "must be one of error, lmbff, halve"),
        ({"seed": 5, "chained": True}, "not in LM-BFF's order"),
    ],
)
def test_wrong_settings_are_one_line(settings, message):
    with pytest.raises(UserError, match=message):
        KShot(**{"k": 16, "seed": 13, **settings})
