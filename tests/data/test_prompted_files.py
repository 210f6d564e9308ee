"""data/prompted_files.py: what is read is what was written, and damage is named in one line."""

import gc
import json
import os
import resource

import numpy as np
import pytest

from fairseq_metro.common.errors import UserError
from fairseq_metro.data import prompted_files
from fairseq_metro.data.indexed import IndexedWriter
from fairseq_metro.data.prompted_files import open_split, splits_of

VOCABULARY = 100
PAIRS = {
    "first_task": [([5, 6, 2], [7, 2]), ([8, 2], [9, 2])],
    "second_task": [([10, 11, 12, 2], [13, 2])],
}
CHOICES = {"first_task": [([[7, 2], [9, 2]], 0), ([[7, 2], [14, 2], [9, 2]], 2)]}


def write_lines(prefix, lines):
    writer = IndexedWriter(prefix, VOCABULARY)
    for line in lines:
        writer.write(line, [len(line)])
    writer.close()


def write_split(data, split="train", ours=True):
    """PAIRS as the authors lay them out, and with ``ours`` the files that we add."""
    folder = data / split
    entries = []
    for name, pairs in PAIRS.items():
        (folder / name).mkdir(parents=True)
        prefix = folder / name / f"{split}.src-tgt"
        write_lines(f"{prefix}.src", [source for source, _ in pairs])
        write_lines(f"{prefix}.tgt", [target for _, target in pairs])
        found = CHOICES.get(name)
        if ours and found:
            write_lines(f"{prefix}.choices", [line for lines, _ in found for line in lines])
            gold = np.array([[len(lines), right] for lines, right in found], np.int32)
            np.save(f"{prefix}.gold.npy", gold)
        entries.append({"name": name, "dataset": "set", "template": name, "rows": len(pairs),
                        "cap": 500, "rate": 0.5, "choices": bool(found), "cluster": "c"})  # fmt: skip
    (folder / "data_cap.json").write_text(json.dumps(dict.fromkeys(PAIRS, 500)))
    if ours:
        facts = {"rule": "t0", "seed": 7, "examples": 40, "tasks": entries}
        (folder / "mixture.json").write_text(json.dumps(facts))
    return folder


def lines_of(tokens):
    ends = np.cumsum(tokens.sizes)
    return [
        tokens.tokens[end - size : end].tolist()
        for end, size in zip(ends, tokens.sizes, strict=True)
    ]


def test_a_split_is_read_as_it_was_written(tmp_path):
    write_split(tmp_path)
    split = open_split(tmp_path, "train")
    assert (split.rule, split.seed, split.examples) == ("t0", 7, 40)
    for task, (name, pairs) in zip(split.tasks, PAIRS.items(), strict=True):
        assert (task.name, task.rows, task.cap, task.rate) == (name, len(pairs), 500, 0.5)
        assert lines_of(task.source) == [source for source, _ in pairs]
        assert lines_of(task.target) == [target for _, target in pairs]
    first, second = split.tasks
    assert second.choices is None and second.gold is None
    assert first.gold.tolist() == [[2, 0], [3, 2]]
    assert first.first_choice.tolist() == [0, 2, 5]
    assert lines_of(first.choices)[2:] == CHOICES["first_task"][1][0]


@pytest.mark.parametrize("folder", [False, True])
def test_our_own_folder_without_its_mixture_is_not_taken_for_the_authors(tmp_path, folder):
    """Its rates would be another rule's."""
    mixture = write_split(tmp_path) / "mixture.json"
    (tmp_path / "prompted.json").write_text("{}")
    mixture.unlink()
    if folder:
        mixture.mkdir()
    with pytest.raises(UserError, match=r"mixture\.json: no such file, though prompted\.json is"):
        open_split(tmp_path, "train")


def test_the_authors_layout_needs_no_more_than_caps_and_pairs(tmp_path):
    write_split(tmp_path, "valid", ours=False)
    split = open_split(tmp_path, "valid")
    assert [task.name for task in split.tasks] == list(PAIRS)
    assert (split.rule, split.seed, split.examples) == ("metro", None, None)
    assert [task.rate for task in split.tasks] == [2.0, 1.0]
    assert all(task.choices is None for task in split.tasks)
    assert splits_of(tmp_path) == ["valid"]


def test_the_order_is_that_of_the_caps(tmp_path):
    folder = write_split(tmp_path, ours=False)
    (folder / "data_cap.json").write_text('{"second_task": 1, "first_task": 2}')
    assert [task.name for task in open_split(tmp_path, "train").tasks] == [
        "second_task", "first_task"
    ]  # fmt: skip


def change_json(path, change):
    facts = json.loads(path.read_text())
    change(facts)
    path.write_text(json.dumps(facts))


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


def save_gold(folder, *rows):
    np.save(folder / "first_task/train.src-tgt.gold.npy", np.array(rows, np.int32))


@pytest.mark.parametrize(
    "damage, words",
    [
        (lambda f: (f / "data_cap.json").unlink(), "data_cap.json: no such file"),
        (lambda f: (f / "data_cap.json").write_text("{"), "not valid JSON"),
        (lambda f: (f / "data_cap.json").write_text("{}"), "at least one task"),
        (lambda f: (f / "data_cap.json").write_text('{"../x": 1}'), "no task's name"),
        (lambda f: (f / "data_cap.json").write_text('{"first_task": 0}'), "must be 1 or more"),
        (lambda f: (f / "mixture.json").write_text('{"rule": "best"}'), "rule must be"),
        (
            lambda f: change_json(f / "mixture.json", lambda m: m.update(examples=0)),
            "examples is 0, must be 1 or more",
        ),
        (lambda f: change_json(f / "mixture.json", lambda m: m["tasks"].pop()), "other tasks"),
        (lambda f: change_json(f / "mixture.json", lambda m: m["tasks"].reverse()), "in another order"),
        (
            lambda f: change_json(f / "mixture.json", lambda m: m["tasks"][0].update(cap=3)),
            "cap of 'first_task' is 3, but 500",
        ),
        (
            lambda f: change_json(f / "mixture.json", lambda m: m["tasks"][0].update(rate=-1)),
            "rate of 'first_task' is -1",
        ),
        (
            lambda f: change_json(f / "mixture.json", lambda m: m["tasks"][1].update(rows=9)),
            "1 lines, but 9 rows",
        ),
        (lambda f: cut(f / "first_task/train.src-tgt.src.bin"), "truncated"),
        (lambda f: cut(f / "first_task/train.src-tgt.tgt.idx"), "truncated"),
        (lambda f: cut(f / "first_task/train.src-tgt.choices.bin"), "truncated"),
        (lambda f: cut(f / "first_task/train.src-tgt.gold.npy"), "not an array"),
        (lambda f: (f / "first_task/train.src-tgt.gold.npy").unlink(), "no such file"),
        (lambda f: (f / "second_task/train.src-tgt.src.idx").unlink(), "no such file"),
        (lambda f: save_gold(f, [2, 0]), "int32 of (2, 2)"),
        (lambda f: save_gold(f, [2, 0], [3, 3]), "row 1 has 3 choices and the right one is 3"),
        (lambda f: save_gold(f, [2, 0], [2, 0]), "not as many lines"),
        (lambda f: write_lines(f / "second_task/train.src-tgt.tgt", [[5, 2]] * 2), "2 lines for 1"),
    ],
)  # fmt: skip
def test_damage_is_named_in_one_line(tmp_path, damage, words):
    folder = write_split(tmp_path)
    damage(folder)
    with pytest.raises(UserError) as error:
        open_split(tmp_path, "train")
    message = str(error.value)
    assert words in message and "\n" not in message and "binarize.py" not in message


def test_a_split_that_is_not_there_is_answered_with_those_that_are(tmp_path):
    write_split(tmp_path, "heldout")
    with pytest.raises(UserError, match="splits there: heldout"):
        open_split(tmp_path, "held-out")


def test_many_tasks_are_opened_under_a_low_limit_of_open_files(tmp_path, monkeypatch):
    """Each task keeps four files open; a shell's limit is raised, or named where it cannot be."""
    folder = tmp_path / "train"
    for i in range(40):
        (folder / f"task_{i}").mkdir(parents=True)
        for side in ("src", "tgt"):
            write_lines(folder / f"task_{i}" / f"train.src-tgt.{side}", [[5, 2]])
    (folder / "data_cap.json").write_text(json.dumps({f"task_{i}": 5 for i in range(40)}))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    low = len(os.listdir("/proc/self/fd")) + 30
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (low, hard))
        assert len(open_split(tmp_path, "train").tasks) == 40
        gc.collect()
        resource.setrlimit(resource.RLIMIT_NOFILE, (low, hard))
        monkeypatch.setattr(prompted_files, "allow_open_files", lambda: low)
        with pytest.raises(
            UserError, match=f"40 tasks need more open files than the {low} allowed"
        ):
            open_split(tmp_path, "train")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
