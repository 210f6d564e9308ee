"""fairseq-metro prompts: what the bytes are, what they do not depend on, what stops it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter

import numpy as np
import pytest

from fairseq_metro.common.errors import UserError
from fairseq_metro.data.prompted_files import open_split
from fairseq_metro.prepare.prompted import reading, units
from fairseq_metro.prepare.prompted.main import main
from fairseq_metro.prepare.prompted.plan import parser
from fairseq_metro.prepare.prompted.plan import plan as prompted_plan
from fairseq_metro.prepare.prompted.units import all_work
from tests.prepare import prompted_samples as toys
from tests.prepare import samples


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Toy data, and DATA built from all of it by one process."""
    folder = tmp_path_factory.mktemp("prompted")
    toys.write_all(folder)
    toys.build(folder, "--split", "train", "valid", "heldout")
    return folder


@pytest.fixture
def fresh(tmp_path):
    """Toy data of which nothing is built."""
    toys.write_all(tmp_path, rows=20)
    return tmp_path


def entries(data, split):
    facts = json.loads((data / split / "mixture.json").read_text())
    return facts, {task["name"]: task for task in facts["tasks"]}


# What the bytes are


@pytest.mark.parametrize(
    "dataset, template, rows",
    [
        ("toy/nli", "can we infer", toys.nli_rows(150, 1)),
        ("toy/nli", "random words", toys.nli_rows(150, 1)),
        ("toy/nli", "only for label 1", toys.nli_rows(150, 1)),
        ("toy/qa", "ask", toys.qa_rows(75, 3)),
        ("toy/qa", "choose", toys.qa_rows(75, 3)),
    ],
)
def test_training_files_hold_what_the_slow_way_makes(place, dataset, template, rows):
    pairs, reasons = toys.slow_pairs(place, dataset, template, rows)
    name = f"{dataset}_{template}".replace("/", "_").replace(" ", "_")
    toys.check_task(place, place / "data/train" / name, "train", pairs)
    task = entries(place / "data", "train")[1][name]
    assert task["rows"] == len(pairs)
    assert task["dropped"] == dict(Counter(reasons))


def test_long_pairs_are_stored_whole(fresh):
    words = " ".join(toys.sentences())
    row = {"premise": words[:2040], "hypothesis": words[5000:7000], "label": 1}
    toys.write_rows(fresh / "tasks/toy/nli/train.jsonl", [row])
    data = toys.build(fresh, "--split", "train")
    pairs, _ = toys.slow_pairs(fresh, "toy/nli", "only for label 1", [row])
    toys.check_task(fresh, data / "train/toy_nli_only_for_label_1", "train", pairs)
    [task] = [t for t in open_split(data, "train").tasks if "only" in t.name]
    assert task.source.sizes[0] > 513 and task.target.sizes[0] > 257


def test_t0s_rules_name_an_empty_target(fresh):
    data = toys.build(fresh, "--split", "train", "--drop-rules", "t0", "--limit", "9")
    rows = toys.qa_rows(10, 3)
    ids = lambda text: [*samples.vocabulary().encode(text), 2]  # noqa: E731
    targets = toys.lines_of(data / "train/toy_qa_ask/train.src-tgt.tgt")
    assert len(targets) == 9 and targets.count(ids("<NO LABEL>")) == 2  # rows 0 and 7 of 10
    sources = toys.lines_of(data / "train/toy_qa_ask/train.src-tgt.src")
    every = [ids(" ".join(row["question"].split())) for row in rows]
    places = [every.index(line) for line in sources]
    assert places == sorted(set(places))
    _, tasks = entries(data, "train")
    assert {tasks[f"toy_nli_{name}"]["rows"] for name in ("can_we_infer", "random_words")} == {9}
    assert "empty target" not in tasks["toy_qa_ask"]["dropped"]


def test_evaluation_files_also_drop_targets_that_are_no_choice(place):
    rows = toys.nli_rows(20, 4)
    pairs, _ = toys.slow_pairs(place, "toy/held", "can we infer", rows, evaluation=True)
    folder = place / "data/heldout/toy_held_can_we_infer"
    toys.check_task(place, folder, "heldout", pairs)
    assert (np.load(folder / "heldout.src-tgt.gold.npy")[:, 1] >= 0).all()


def test_training_keeps_a_target_that_is_no_choice_and_counts_it(place):
    gold = np.load(place / "data/train/toy_qa_choose/train.src-tgt.gold.npy")
    task = entries(place / "data", "train")[1]["toy_qa_choose"]
    assert task["target_not_a_choice"] == (gold[:, 1] == -1).sum() > 0


def test_in_evaluation_the_same_row_is_dropped_with_its_reason(fresh):
    toys.write_rows(fresh / "tasks/toy/qa/validation.jsonl", toys.qa_rows(21, 9))
    data = toys.build(fresh, "--split", "valid")
    _, tasks = entries(data, "valid")
    rows = toys.qa_rows(21, 9)
    pairs, reasons = toys.slow_pairs(fresh, "toy/qa", "choose", rows, evaluation=True)
    assert tasks["toy_qa_choose"]["dropped"] == dict(Counter(reasons))
    assert tasks["toy_qa_choose"]["dropped"] == {"empty target": 3, "target not among choices": 3}
    toys.check_task(fresh, data / "valid/toy_qa_choose", "valid", pairs)


def test_the_reader_of_the_task_opens_every_split(place):
    for split, tasks in (("train", 5), ("valid", 3), ("heldout", 3)):
        found = open_split(place / "data", split)
        assert len(found.tasks) == tasks and found.rule == "metro" and found.seed == 1
        assert all(task.rows == len(task.source) > 0 for task in found.tasks)


def test_caps_and_rates_are_the_mixtures(place):
    tasks = {task.name: task for task in open_split(place / "data", "train").tasks}
    assert tasks["toy_nli_can_we_infer"].cap == 90 // 3
    assert tasks["toy_qa_ask"].cap == 90 // 2
    assert tasks["toy_nli_can_we_infer"].rate == 30  # min(150 rows, cap)
    caps = json.loads((place / "data/train/data_cap.json").read_text())
    assert caps == {name: task.cap for name, task in tasks.items()}
    for task in open_split(place / "data", "heldout").tasks:
        assert task.cap == task.rows


def test_valid_is_the_training_sets_validation_split_and_never_their_test_split(place):
    stamp = json.loads((place / "data/prompted.json").read_text())
    made_from = stamp["splits"]["valid"]["made from"]
    assert list(made_from) == ["toy/nli"]  # toy/qa has no validation split
    assert made_from["toy/nli"]["splits"] == ["validation"]


def test_valid_rows_are_drawn_from_everywhere(fresh):
    toys.write_rows(fresh / "tasks/toy/nli/validation.jsonl", toys.nli_rows(500, 2))
    data = toys.build(fresh, "--split", "valid", "--valid-rows", "40")
    every = [[*samples.vocabulary().encode(" ".join(row["premise"].split())), 2]
             for row in toys.nli_rows(500, 2) if row["label"] == 1]  # fmt: skip
    found = toys.lines_of(data / "valid/toy_nli_only_for_label_1/valid.src-tgt.src")
    places = [every.index(line) for line in found]
    assert 10 < len(found) < 30 and min(places) < 60 and max(places) > 190
    assert open_split(data, "valid").tasks[0].rows == 40


# What the bytes do not depend on


@pytest.mark.parametrize("workers, most", [(2, None), (4, 7), (1, 7)])
def test_the_bytes_are_the_same_for_any_number_of_workers_and_any_chunks(
    place, monkeypatch, workers, most
):
    if most:
        monkeypatch.setattr(reading, "PROMPTS_PER_JOB", most)
    dest = f"again{workers}{most}"
    data = toys.build(place, "--split", "heldout", "valid", "train", workers=workers, dest=dest)
    assert toys.files_of(data) == toys.files_of(place / "data")


def test_splits_built_one_after_the_other_are_those_built_together(place):
    for split in ("heldout", "train", "valid"):
        data = toys.build(place, "--split", split, dest="apart")
    assert toys.files_of(data) == toys.files_of(place / "data")
    one, two = (json.loads((place / d / "prompted.json").read_text()) for d in ("apart", "data"))
    assert one["splits"] == two["splits"]


class Stop(BaseException):
    """A kill, as the process that is killed never sees it."""


@pytest.mark.parametrize("when", range(6))
def test_interrupted_anywhere_the_same_command_ends_with_the_same_bytes(
    place, fresh, monkeypatch, when
):
    """The when-th rename ends the run; the next run keeps what is finished."""
    toys.write_all(fresh)
    words = ["--split", "train", "heldout", "valid"]
    calls, real = [], os.replace

    def replace(*arguments):
        calls.append(arguments)
        if len(calls) == 4 * when + 2:
            raise Stop
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", replace)
        with pytest.raises(Stop):
            toys.build(fresh, *words)
    assert not (fresh / "data/prompted.json").exists()
    assert toys.files_of(toys.build(fresh, *words)) == toys.files_of(place / "data")
    assert not (fresh / "data/.building").exists()


def test_a_killed_run_goes_on_after_its_last_finished_data_set(tmp_path, root):
    toys.write_all(tmp_path, rows=4000)
    words = ["--split", "train", "heldout", "valid"]
    script = [sys.executable, "-m", "fairseq_metro", "prompts"]
    run = subprocess.Popen([*script, *toys.command(tmp_path, *words, workers=2)],
                           stderr=subprocess.DEVNULL)  # fmt: skip
    building = tmp_path / "data/.building"
    while run.poll() is None and not list(building.glob("train.*.json")):
        time.sleep(0.005)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    assert list(building.glob("*.json")) and not (tmp_path / "data/train").exists()
    again = subprocess.run(
        [*script, *toys.command(tmp_path, *words)], capture_output=True, text=True
    )
    assert again.returncode == 0 and "finished already, kept" in again.stderr
    data = toys.build(tmp_path, *words, dest="undisturbed")
    assert toys.files_of(tmp_path / "data") == toys.files_of(data)


def test_a_finished_folder_is_recognised(fresh, caplog):
    caplog.set_level("INFO")
    data = toys.build(fresh)
    before = {path: path.stat().st_mtime_ns for path in data.glob("*/*/*")}
    toys.build(fresh)
    assert {path: path.stat().st_mtime_ns for path in data.glob("*/*/*")} == before
    assert "finished already, kept" in caplog.text


def change_row(folder):
    path = folder / "tasks/toy/qa/train.jsonl"
    path.write_text(path.read_text().replace('"question": "', '"question": "Well, ', 1))


def change_template(folder):
    path = folder / "qa.yaml"
    path.write_text(path.read_text().replace("Which one", "Which"))


def change_cap(folder):
    (folder / "mixture.yaml").write_text(toys.MIXTURE.replace("cap: 90", "cap: 60"))


@pytest.mark.parametrize(
    "change, more, words",
    [
        (None, ["--seed", "2"], "seed 1, not 2"),
        (None, ["--limit", "5"], "limit none, not 5"),
        (None, ["--drop-rules", "t0"], "drop-rules metro, not t0"),
        (None, ["--evaluation-overlap", "drop"], "evaluation-overlap report, not drop"),
        (change_row, [], "toy/qa was made with other files"),
        (change_template, [], "toy/qa was made with other tasks"),
        (change_cap, [], "toy/nli was made with other weights"),
    ],
)
@pytest.mark.parametrize("finished", [True, False])
def test_other_settings_in_the_same_folder_are_refused(fresh, change, more, words, finished):
    data = toys.build(fresh, "--split", "train")
    if not finished:  # as after a kill just before the end
        keep_building(fresh, data)
    if change:
        change(fresh)
    before = toys.files_of(data)
    with pytest.raises(UserError) as error:
        main(toys.command(fresh, "--split", "train", *more))
    assert words in str(error.value) and "--dest" in str(error.value)
    assert toys.files_of(data) == before


def keep_building(fresh, data):
    import shutil

    shutil.rmtree(data)
    real = os.replace

    def replace(source, target):
        if str(target).endswith("data/train"):
            raise Stop
        return real(source, target)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Stop):
        patch.setattr(os, "replace", replace)
        toys.build(fresh, "--split", "train")


# Training and evaluation apart


def test_rows_on_both_sides_are_counted_and_left_out_on_request(fresh):
    training = fresh / "tasks/toy/nli/train.jsonl"
    row = json.loads((fresh / "tasks/toy/held/validation.jsonl").read_text().splitlines()[3])
    row = {"premise": f"  {row['premise'].upper()} !", "hypothesis": row["hypothesis"], "label": 0}
    training.write_text(training.read_text() + json.dumps(row) + "\n")
    words = ["--split", "train", "heldout"]
    facts, tasks = entries(toys.build(fresh, *words), "heldout")
    assert [one["in_training"] for one in facts["sets"]] == [1]
    assert {task["in_training"] for task in tasks.values()} == {1}
    data = toys.build(fresh, *words, "--evaluation-overlap", "drop", dest="dropped")
    facts, _ = entries(data, "heldout")
    assert [one["in_training"] for one in facts["sets"]] == [0]
    _, tasks = entries(data, "train")
    assert tasks["toy_nli_can_we_infer"]["dropped"] == {"evaluation row": 1}
    _, kept = entries(fresh / "data", "train")
    assert kept["toy_nli_can_we_infer"]["rows"] == tasks["toy_nli_can_we_infer"]["rows"] + 1


def test_training_that_avoids_rows_is_not_joined_by_rows_it_does_not_know(fresh):
    words = ["--evaluation-overlap", "drop"]
    data = toys.build(fresh, "--split", "valid", *words)
    toys.build(fresh, "--split", "train", *words)
    toys.build(fresh, "--split", "train", "valid", *words)  # all there, recognised
    before = toys.files_of(data)
    with pytest.raises(UserError, match="without regard to the rows of heldout"):
        main(toys.command(fresh, "--split", "heldout", *words))
    assert toys.files_of(data) == before and not (data / ".building").exists()


def test_a_mixture_that_evaluates_training_rows_is_refused(fresh):
    (fresh / "mixture.yaml").write_text(
        "version: 1\nname: bad\nsets: [{dataset: toy/nli, leave_every: 3}]\n"
        "valid: [{dataset: toy/nli, split: train, keep_every: 4}]\n"
    )
    with pytest.raises(UserError, match="rows of toy/nli, split train, are both in train and in"):
        main(toys.command(fresh))
    (fresh / "mixture.yaml").write_text(
        "version: 1\nname: good\nsets: [{dataset: toy/nli, leave_every: 3}]\n"
        "valid: [{dataset: toy/nli, split: train, keep_every: 3}]\n"
    )
    data = toys.build(fresh)
    assert open_split(data, "valid").tasks[0].rows == 7
    assert open_split(data, "train").tasks[0].rows == 13


# FLAN


def test_flan_deals_rows_out_to_templates_writes_options_and_shows_exemplars(fresh):
    (fresh / "mixture.yaml").write_text(
        "version: 1\nname: f\nrule: flan\ncap: 17\noptions: true\nexemplars: [1, 2]\n"
        "sets: [{dataset: toy/nli, exclude: [only for label 1]}]\n"
    )
    data = toys.build(fresh, "--split", "train", "valid")
    train = open_split(data, "train")
    assert train.rule == "flan" and [task.rows for task in train.tasks] == [8, 8]
    encode = samples.vocabulary().encode
    first, last, wording = map(
        encode, ("Example: Given", "OPTIONS: - Yes - No Answer:", "Can we infer")
    )
    for line in toys.lines_of(data / "train/toy_nli_can_we_infer/train.src-tgt.src"):
        assert line[: len(first)] == first and line[-len(last) - 1 :] == [*last, 2]
        starts = range(len(line) - len(wording))
        assert sum(line[i : i + len(wording)] == wording for i in starts) in (2, 3)
    assert open_split(data, "valid").tasks[0].rows == 30  # evaluation: every row, every template


def source_lengths(data, split="train"):
    """Tokens of each source, without its end, by task: list of arrays."""
    return [np.asarray(task.source.sizes) - 1 for task in open_split(data, split).tasks]


def test_flan_shows_sixteen_exemplars_as_far_as_960_tokens_go(fresh):
    """FLAN's code: at most 16, and 960 of the 1,024 source tokens; METRO-T0 reads 512."""
    toys.write_all(fresh, rows=60)
    mixture = "version: 1\nname: f\nrule: {}\nexemplars: 16\nsets: [toy/qa]\n"
    longest = {}
    for rule in ("flan", "metro"):
        (fresh / "mixture.yaml").write_text(mixture.format(rule))
        data = toys.build(fresh, "--split", "train", dest=rule)
        longest[rule] = max(lengths.max() for lengths in source_lengths(data))
    assert 900 < longest["flan"] <= 960 and 440 < longest["metro"] <= 510
    (fresh / "mixture.yaml").write_text(mixture.format("flan"))
    words = ["--split", "train", "--max-source-length", "512"]
    shorter = source_lengths(toys.build(fresh, *words, dest="tiny"))
    assert 390 < max(lengths.max() for lengths in shorter) <= 448
    short = [{"question": f"Is {i} it?", "options": ["a", "b"], "answer": "a"} for i in range(40)]
    toys.write_rows(fresh / "tasks/toy/qa/train.jsonl", short)
    data = toys.build(fresh, "--split", "train", dest="short")
    count = samples.vocabulary().encode("Example:")
    (ask, _) = open_split(data, "train").tasks
    for line in toys.lines_of(data / "train" / ask.name / "train.src-tgt.src"):
        starts = range(len(line) - len(count))
        assert sum(line[i : i + len(count)] == count for i in starts) == 16
    with pytest.raises(UserError, match="made with other form"):
        toys.build(fresh, *words, dest="short")
    with pytest.raises(UserError, match="--max-source-length is 127, must be at least 128"):
        toys.build(fresh, "--max-source-length", "127")


def test_exemplars_come_from_the_whole_training_set(fresh, monkeypatch):
    """Files are often sorted by label: the first rows alone would all have one answer."""
    monkeypatch.setattr(units, "POOL_ROWS", 10)
    rows = [
        {"premise": f"Row number {i}.", "hypothesis": "It is.", "label": i // 50}
        for i in range(100)
    ]
    toys.write_rows(fresh / "tasks/toy/nli/train.jsonl", rows)
    (fresh / "mixture.yaml").write_text(
        "version: 1\nname: f\nexemplars: 4\nsets: [{dataset: toy/nli, templates: [can we infer]}]\n"
    )
    plan = prompted_plan(parser().parse_args(toys.command(fresh, "--split", "train", "valid")))
    for work in all_work(plan):
        pool = [(index, row["label"]) for index, row in work.unit.pool]
        assert pool == [(i, i // 50) for i in range(0, 100, 10)], work.unit.split


def test_a_held_out_sets_exemplars_are_of_its_own_training_rows(fresh):
    """FLAN, 4.4: an unseen task's exemplars are used at inference alone, and are its own."""
    toys.write_rows(fresh / "tasks/toy/nli/train_r1.jsonl", toys.nli_rows(5, 7))
    (fresh / "mixture.yaml").write_text(
        "version: 1\nname: f\nexemplars: 2\nhold_out: [nli]\nsets:\n"
        "  - {dataset: toy/nli, split: train_r1, cluster: nli}\n  - {dataset: toy/qa, cluster: qa}\n"
        "heldout: [{dataset: toy/nli, cluster: nli}]\n"
    )
    plan = prompted_plan(parser().parse_args(toys.command(fresh, "--split", "heldout")))
    (work,) = all_work(plan)
    assert [row for _, row in work.unit.pool] == toys.nli_rows(5, 7)


def test_a_part_is_validated_on_its_own_and_no_training_rows_validate(fresh):
    """ANLI's three rounds, and StoryCloze, of which the validation split is trained on."""
    tasks = fresh / "tasks/toy/nli"
    for split, rows in (("train_r1", 9), ("train_r2", 8), ("dev_r1", 5), ("dev_r2", 4)):
        toys.write_rows(tasks / f"{split}.jsonl", toys.nli_rows(rows, 50 + rows))
    for split in ("train", "validation", "test"):
        (tasks / f"{split}.jsonl").unlink()
    toys.write_rows(fresh / "tasks/toy/held/validation.jsonl", toys.nli_rows(20, 4))
    one = "templates: [can we infer]"
    (fresh / "mixture.yaml").write_text(
        "version: 1\nname: f\nsets:\n"
        f"  - {{dataset: toy/nli, name: nli/r1, split: train_r1, {one}}}\n"
        f"  - {{dataset: toy/nli, name: nli/r2, split: train_r2, {one}}}\n"
        f"  - {{dataset: toy/held, split: validation, {one}}}\n"
    )
    data = toys.build(fresh, "--split", "train", "valid")
    rows = {split: {task.name: task.rows for task in open_split(data, split).tasks}
            for split in ("train", "valid")}  # fmt: skip
    assert rows["train"] == {"nli_r1_can_we_infer": 9, "nli_r2_can_we_infer": 8,
                             "toy_held_can_we_infer": 20}  # fmt: skip
    assert rows["valid"] == {"nli_r1_can_we_infer": 5, "nli_r2_can_we_infer": 4}


# Ready-made pairs


def test_ready_made_pairs_become_a_task(fresh):
    rows = []
    for i in range(5):
        target = f"It is\n{i}."
        choices = ["It is 0.", target]
        rows.append({"inputs": f"What is  {i}?", "targets": target, "choices": choices})
    toys.write_rows(fresh / "pairs.jsonl", rows)
    (fresh / "mixture.yaml").write_text(
        "version: 1\nname: ready\nsets: [{dataset: ready, jsonl: [pairs.jsonl]}]\n"
    )
    data = toys.build(fresh, "--split", "train")
    [task] = open_split(data, "train").tasks
    assert task.rows == 5 and task.gold[:, 0].tolist() == [2] * 5
    assert task.gold[:, 1].tolist() == [0, 1, 1, 1, 1]
    toys.write_rows(fresh / "pairs.jsonl", [*rows, {"inputs": "a", "targets": "b"}])
    with pytest.raises(UserError, match="has no choices, unlike the first"):
        main(toys.command(fresh, "--split", "train", dest="other"))


# What stops it, and what it leaves


def unlabelled(folder):
    toys.write_rows(folder / "tasks/toy/qa/train.jsonl", [{"question": "why", "label": -1}])


def not_utf8(folder):
    path = folder / "tasks/toy/nli/train.jsonl"
    path.write_bytes(path.read_bytes() + b'{"premise": "caf\xe9"}\n')


def cut_short(folder):
    path = folder / "tasks/toy/qa/train.jsonl"
    path.write_text(path.read_text()[:-20])


def other_fields(folder):
    toys.write_rows(folder / "tasks/toy/qa/train.jsonl", [{"question": "why", "options": 3}])


@pytest.mark.parametrize(
    "damage, more, words",
    [
        (None, ["--mixture", "t0t"], "nearest"),
        (None, ["--tasks", "nowhere"], "no such folder"),
        (None, ["--workers", "0"], "must be at least 1"),
        (None, ["--vocab", "nowhere"], "no such file in the vocabulary folder"),
        (None, ["--templates", "nowhere.yaml"], "nowhere.yaml"),
        (lambda f: (f / "nli.yaml").write_text(toys.NLI.replace("toy", "my")), [], "no templates"),
        (unlabelled, [], "no label"),
        (not_utf8, [], "not utf-8"),
        (cut_short, [], "line 10 is not JSON"),
        (other_fields, [], "train/toy/qa: row 1: "),
        (lambda f: (f / "tasks/toy/qa/train.jsonl").unlink(), [], "toy/qa"),
        (lambda f: (f / "tasks/toy/qa/train.jsonl").write_text(""), [], "no rows"),
        (lambda f: (f / "nli.yaml").write_text("{"), [], "nli.yaml"),
        (lambda f: (f / "mixture.yaml").write_text("a: ["), [], "mixture.yaml"),
        (
            lambda f: (f / "nli.yaml").write_text(toys.NLI.replace("{{premise}}", "{{premise")),
            [],
            "nli.yaml",
        ),
    ],
)
def test_bad_input_ends_with_one_line_and_nothing_that_looks_finished(fresh, damage, more, words):
    if damage:
        damage(fresh)
    refused(fresh, more, words, 1)


@pytest.mark.parametrize("damage, words", [(other_fields, "row 1"), (not_utf8, "not utf-8")])
def test_so_does_bad_input_met_by_several_workers(fresh, damage, words):
    damage(fresh)
    refused(fresh, [], words, 2)


def refused(fresh, more, words, workers):
    with pytest.raises(UserError) as error:
        main(toys.command(fresh, "--split", "train", *more, workers=workers))
    assert words in str(error.value) and "\n" not in str(error.value)
    data = fresh / "data"
    assert not data.exists() or [path.name for path in data.iterdir()] == [".building"]
    assert not list(data.glob(".building/unfinished"))


def test_an_error_in_the_first_data_set_leaves_nothing(fresh):
    not_utf8(fresh)
    with pytest.raises(UserError):
        main(toys.command(fresh, "--split", "train"))
    assert not (fresh / "data").exists()


def test_a_folder_that_cannot_be_written_is_one_line(fresh):
    (fresh / "data").write_text("a file")
    with pytest.raises(UserError, match="cannot be written"):
        main(toys.command(fresh))


def test_data_sets_that_are_not_there_are_all_named_and_can_be_left_out(fresh):
    shutil.rmtree(fresh / "tasks/toy/qa")
    (fresh / "tasks/toy/nli").rename(fresh / "elsewhere")
    with pytest.raises(UserError, match=r"2 of the 2 .* not there.*--without toy/nli toy/qa$"):
        main(toys.command(fresh, "--split", "train"))
    (fresh / "elsewhere").rename(fresh / "tasks/toy/nli")
    data = toys.build(fresh, "--split", "train", "--without", "toy/qa")
    facts, tasks = entries(data, "train")
    assert {task["dataset"] for task in tasks.values()} == {"toy/nli"}
    assert facts["mixture"].endswith(" without toy/qa")
    with pytest.raises(UserError, match=r"no data set 'toy/q' \(nearest: toy/qa"):
        main(toys.command(fresh, "--split", "train", "--without", "toy/q"))


def test_show_prints_every_task_and_writes_nothing(fresh, capsys):
    assert main(toys.command(fresh, "--split", "train", "--show", "2")) == 0
    shown = capsys.readouterr().out
    pairs, _ = toys.slow_pairs(fresh, "toy/nli", "random words", toys.nli_rows(20, 1))
    for pair in pairs[:2]:
        assert f"input:   {pair.input}\n  target:  {pair.target}\n" in shown
        assert f"choices: {' | '.join(pair.choices)}\n" in shown
    assert shown.count("train/toy_") == 5 and "not two parts" in shown
    assert not (fresh / "data").exists()


# Real files


@pytest.mark.slow
def test_the_small_real_mixture_is_built_whole(shared, tmp_path):
    tasks = shared / "data" / "tasks"
    words = ["--mixture", "real-small", "--tasks", tasks, "--vocab", samples.vocabulary().path,
             "--dest", tmp_path / "data", "--workers", 2, "--split", "train", "valid", "heldout",
             "--limit", 400]  # fmt: skip
    assert main(list(map(str, words))) == 0
    for split in ("train", "valid", "heldout"):
        for task in open_split(tmp_path / "data", split).tasks:
            assert task.rows or "trec_fine" in task.name, task.name
    rte = next(t for t in open_split(tmp_path / "data", "heldout").tasks if "rte" in t.name)
    assert rte.rows == 277 and set(rte.gold[:, 0].tolist()) == {2}
