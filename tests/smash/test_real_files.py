"""K-shot splits of the real task files beside the clone."""

from collections import Counter

import pytest

from fairseq_metro.smash.examples import read_split
from fairseq_metro.smash.splits import SEEDS, KShot, kshot_splits
from fairseq_metro.smash.tasks import load_task

TEST_ROWS = {"sst2": 872, "cr": 2000, "mr": 2000, "subj": 2000, "trec": 500, "rte": 277, "cb": 56}
TEST_ROWS["cola"] = 1043
FIRST = {
    "sst2": (("one long string of cliches .",), "0"),
    "trec": (("How far is it from Denver to Aspen ?",), "5"),
    "cola": (("The sailors rode the breeze clear of the rocks.",), "1"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TEST_ROWS)
def test_five_splits(shared, tmp_path, name):
    tasks = shared / "data" / "tasks"
    if not tasks.is_dir():
        pytest.skip(f"no task files: no {tasks}")
    task = load_task(name)
    shots = [KShot(16, seed, short_labels="halve") for seed in SEEDS]
    folders = kshot_splits(task, tasks, shots, tmp_path)
    short = Counter({"neutral": 8}) if name == "cb" else {}
    for folder in folders:
        train, dev = (read_split(task, folder, split) for split in ("train", "dev"))
        expected = {label: short.get(label, 16) for label in task.labels}
        assert Counter(e.label for e in train) == Counter(e.label for e in dev) == expected
        if name != "cola":  # has one sentence twice
            assert len({*train, *dev}) >= 2 * len(train) - 1
    test = read_split(task, folders[0], "test")
    assert len(test) == TEST_ROWS[name]
    assert name not in FIRST or tuple(test[0]) == FIRST[name]
    assert (
        len({(folder / next(folder.glob("test.*")).name).read_bytes() for folder in folders}) == 1
    )
    assert len({next(folder.glob("train.*")).read_bytes() for folder in folders}) == len(folders)
