"""Truncated, missing and foreign checkpoints, on files saved as fairseq saves them."""

import argparse
import os
import re
import shutil
import time
import zipfile

import pytest
import torch
import torch.multiprocessing

from fairseq_metro.common.errors import UserError
from fairseq_metro.trainer import checkpoints
from fairseq_metro.trainer.checkpoints import is_whole, read_facts, repair_last


def state(updates=7, **changes):
    return {
        "args": None,
        "cfg": {"model": {"_name": "metro_t5_tiny", "dim": 4}, "task": {"_name": "metro_t5"}},
        "model": {"encoder.weight": torch.full((4, 6), float(updates)), "encoder._extra": None},
        "optimizer_history": [{"num_updates": updates, "optimizer_name": "FairseqAdam"}],
        "task_state": {"vocabulary": "abc"},
        "extra_state": {"train_iterator": {"epoch": 2, "iterations_in_epoch": 3}},
        "last_optimizer_state": {"state": {0: {"step": updates, "exp_avg": torch.zeros(4, 6)}}},
        **changes,
    }


def save(path, updates=7, **changes):
    torch.save(state(updates, **changes), path)
    return path


def truncate(path, share=0.6):
    os.truncate(path, int(path.stat().st_size * share))
    return path


def updates_in(path):
    return torch.load(path, weights_only=True)["optimizer_history"][-1]["num_updates"]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


# Whole or not


def test_a_checkpoint_cut_at_any_byte_is_not_whole(tmp_path):
    path = save(tmp_path / "checkpoint_last.pt")
    assert is_whole(path)
    content = path.read_bytes()
    cut = tmp_path / "cut.pt"
    for size in [*range(0, len(content), 97), *range(len(content) - 70, len(content))]:
        cut.write_bytes(content[:size])
        assert not is_whole(cut), size


def test_a_checkpoint_with_zeroed_blocks_or_a_lost_middle_is_not_whole(tmp_path):
    content = save(tmp_path / "a.pt").read_bytes()
    broken = tmp_path / "b.pt"
    for changed in (
        bytes(len(content)),
        bytes(512) + content[512:],
        content[:1024] + content[1536:],
        content[: len(content) // 2] + bytes(len(content) - len(content) // 2),
    ):
        broken.write_bytes(changed)
        assert not is_whole(broken)


def test_what_is_no_checkpoint_is_not_whole(tmp_path):
    (tmp_path / "text.pt").write_text("no checkpoint at all, just text\n" * 100)
    with zipfile.ZipFile(tmp_path / "other.pt", "w") as archive:
        archive.writestr("hello.txt", "hello")
    assert not any(map(is_whole, [tmp_path / "text.pt", tmp_path / "other.pt", tmp_path, "none"]))


def test_a_file_of_torchs_old_format_is_left_to_torch(tmp_path):
    path = tmp_path / "checkpoint_last.pt"
    torch.save(state(), path, _use_new_zipfile_serialization=False)
    assert is_whole(path)
    assert read_facts(path)["num_updates"] == 7
    with pytest.raises(UserError, match="cannot be read"):
        read_facts(truncate(path))


# Repair


def test_a_truncated_last_checkpoint_is_replaced_by_the_newest_whole_one(tmp_path, caplog):
    last = truncate(save(tmp_path / "checkpoint_last.pt", 30))
    broken = last.read_bytes()
    save(tmp_path / "checkpoint_1_20.pt", 20)
    save(tmp_path / "checkpoint_2_25.pt", 25)
    save(tmp_path / "checkpoint_best.pt", 10)  # the newest file, not the newest state
    truncate(save(tmp_path / "checkpoint2.pt", 30))
    save(tmp_path / "checkpoint3.pt.tmp", 40)
    save(tmp_path / "checkpoint_averaged.pt", 50)

    assert repair_last(tmp_path) == last
    assert updates_in(last) == 25
    assert (tmp_path / "checkpoint_last.pt.truncated").read_bytes() == broken
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert re.search(r"checkpoint_last.pt is truncated .*checkpoint_2_25.pt \(update 25\)",
                     record.message)  # fmt: skip

    caplog.clear()
    before = names(tmp_path)
    assert repair_last(tmp_path) == last  # nothing left to do
    assert names(tmp_path) == before and not caplog.records


def test_without_update_counts_the_file_written_last_is_the_newest(tmp_path):
    for age, name in enumerate(["checkpoint2.pt", "checkpoint1.pt", "checkpoint3.pt"]):
        path = save(tmp_path / name, optimizer_history=[], task_state={"age": age})
        os.utime(path, (1000 - age, 1000 - age))
    last = repair_last(tmp_path)
    assert torch.load(last, weights_only=True)["task_state"] == {"age": 0}


def test_a_missing_last_checkpoint_is_restored_beside_others(tmp_path, caplog):
    save(tmp_path / "checkpoint1.pt", 20)
    assert updates_in(repair_last(tmp_path)) == 20
    assert "is missing" in caplog.text


def test_the_next_save_does_not_write_into_the_checkpoint_that_was_restored(tmp_path):
    save(tmp_path / "checkpoint1.pt", 20)
    last = repair_last(tmp_path)
    shutil.copyfile(save(tmp_path / "checkpoint2.pt", 40), last)  # as fairseq does
    assert updates_in(tmp_path / "checkpoint1.pt") == 20


def test_a_first_start_is_left_alone(tmp_path, caplog):
    (tmp_path / "checkpoint1.pt.tmp").write_bytes(b"PK")
    assert repair_last(tmp_path) is None
    assert repair_last(tmp_path / "not-there-yet") is None
    assert names(tmp_path) == ["checkpoint1.pt.tmp"] and not caplog.records


def test_a_whole_last_checkpoint_is_left_alone_whatever_lies_beside_it(tmp_path):
    last = save(tmp_path / "checkpoint_last.pt", 5)
    save(tmp_path / "checkpoint9.pt", 9)
    assert repair_last(tmp_path) == last
    assert updates_in(last) == 5


@pytest.mark.parametrize("share", [0, 0.5])
def test_without_a_whole_checkpoint_the_error_names_file_size_and_remedy(tmp_path, share):
    last = truncate(save(tmp_path / "checkpoint_last.pt"), share)
    truncate(save(tmp_path / "checkpoint1.pt"))
    with pytest.raises(UserError) as error:
        repair_last(tmp_path)
    for word in (str(last), f"{last.stat().st_size:,} bytes", "delete it"):
        assert word in str(error.value)
    assert names(tmp_path) == ["checkpoint1.pt", "checkpoint_last.pt"]


def test_a_full_disk_is_one_line_and_leaves_no_half_copy(tmp_path, monkeypatch):
    truncate(save(tmp_path / "checkpoint_last.pt"))
    save(tmp_path / "checkpoint1.pt")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints.shutil, "copyfileobj", full)
    with pytest.raises(UserError, match=r"checkpoint1.pt cannot be copied.*No space left"):
        repair_last(tmp_path)
    assert names(tmp_path) == ["checkpoint1.pt", "checkpoint_last.pt"]


@pytest.mark.parametrize("step", ["copyfileobj", "first replace", "second replace"])
def test_a_kill_inside_the_repair_is_repaired_by_the_next_start(tmp_path, monkeypatch, step):
    last = truncate(save(tmp_path / "checkpoint_last.pt", 30))
    save(tmp_path / "checkpoint1.pt", 20)

    class Kill(BaseException):
        pass

    calls, replace = [], os.replace

    def copy(source, target, size):
        target.write(source.read()[:100])
        raise Kill

    def replace_or_die(*args):
        calls.append(args)
        if len(calls) == (1 if step == "first replace" else 2):
            raise Kill
        replace(*args)

    with monkeypatch.context() as patch, pytest.raises(Kill):
        if step == "copyfileobj":
            patch.setattr(checkpoints.shutil, "copyfileobj", copy)
        else:
            patch.setattr(checkpoints.os, "replace", replace_or_die)
        repair_last(tmp_path)
    assert updates_in(repair_last(tmp_path)) == 20
    assert names(tmp_path) == ["checkpoint1.pt", last.name, "checkpoint_last.pt.truncated"]


def test_a_file_that_the_user_names_is_checked_and_never_replaced(tmp_path):
    save(tmp_path / "checkpoint1.pt", 20)
    chosen = save(tmp_path / "mine.pt", 5)
    assert repair_last(tmp_path, str(chosen)) == chosen
    with pytest.raises(UserError, match=r"--restore-file .*mine.pt: truncated"):
        repair_last(tmp_path, str(truncate(chosen)))
    with pytest.raises(UserError, match=r"--restore-file .*none.pt: no such file"):
        repair_last(tmp_path, str(tmp_path / "none.pt"))
    assert names(tmp_path) == ["checkpoint1.pt", "mine.pt"]


def test_the_default_spelled_out_is_the_default(tmp_path):
    last = tmp_path / "checkpoint_last.pt"
    assert repair_last(tmp_path, str(last)) is None
    save(tmp_path / "checkpoint1.pt", 20)
    assert updates_in(repair_last(tmp_path, str(last))) == 20


def repair_in_a_rank(rank, folder, answers):
    """Rank 1 arrives first; it must see the repaired file, or the error."""
    if rank == 0:
        repair = checkpoints._repair
        checkpoints._repair = lambda last: (time.sleep(0.3), repair(last))
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2
    )
    try:
        answers.put((rank, updates_in(repair_last(f"{folder}/saved"))))
    except UserError as error:
        answers.put((rank, str(error)))
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize("whole", [True, False])
def test_of_two_processes_one_repairs_and_the_other_waits(tmp_path, whole):
    (tmp_path / "saved").mkdir()
    truncate(save(tmp_path / "saved" / "checkpoint_last.pt", 30))
    if whole:
        save(tmp_path / "saved" / "checkpoint1.pt", 20)
    context = torch.multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    ranks = [context.Process(target=repair_in_a_rank, args=(rank, tmp_path, answers))
             for rank in (0, 1)]  # fmt: skip
    for rank in ranks:
        rank.start()
    for rank in ranks:
        rank.join(60)
        assert rank.exitcode == 0
    said = dict(answers.get() for _ in ranks)
    if whole:
        assert said == {0: 20, 1: 20}
    else:
        assert said[0] == said[1] and "no whole checkpoint" in said[0]


# Facts


def test_the_facts_of_a_checkpoint_are_read_without_its_weights(tmp_path):
    facts = read_facts(save(tmp_path / "checkpoint_last.pt", 12))
    assert (facts["num_updates"], facts["epoch"], facts["arch"]) == (12, 2, "metro_t5_tiny")
    assert facts["cfg"]["task"]["_name"] == "metro_t5"
    assert facts["task_state"] == {"vocabulary": "abc"}
    assert facts["parameters"] == {"encoder.weight": (4, 6)}


def test_a_checkpoint_without_history_or_task_state_has_none(tmp_path):
    facts = read_facts(save(tmp_path / "a.pt", optimizer_history=[], task_state=None,
                            extra_state=None))  # fmt: skip
    assert (facts["num_updates"], facts["epoch"], facts["task_state"]) == (None, None, {})


@pytest.mark.parametrize(
    "make, said",
    [
        (lambda path: None, "no such checkpoint file"),
        (lambda path: path.write_text("hello"), r"not a checkpoint \(5 bytes\)"),
        (lambda path: path.write_bytes(b""), r"not a checkpoint \(0 bytes\)"),
        (lambda path: truncate(save(path)), r"truncated, or not a checkpoint \([\d,]+ bytes\)"),
        (lambda path: save(path, args=argparse.Namespace(a=1)), "argparse.Namespace"),
        (lambda path: torch.save([1, 2], path), "not a checkpoint of fairseq"),
        (lambda path: torch.save({"weight": torch.ones(2)}, path), "holds no 'model'"),
        (lambda path: save(path, cfg=None), "no 'cfg' inside"),
    ],
)
def test_what_cannot_be_read_is_one_line_with_the_path(tmp_path, make, said):
    path = tmp_path / "file.pt"
    make(path)
    with pytest.raises(UserError, match=said) as error:
        read_facts(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)
