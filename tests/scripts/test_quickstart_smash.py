"""train_scripts/quickstart_smash.sh with stand-ins for everything that takes time; slow: itself."""

import json
import os
import random
import shutil
import subprocess

import pytest

from tests import newcomer
from tests.scripts import stand_ins
from tests.scripts.stand_ins import write_programs, write_python

# Each script also leaves the files the next one needs.
STEP = (
    stand_ins.STEP
    + """
given = dict(zip(sys.argv, sys.argv[1:]))
out = Path(given.get("--out") or given.get("--dest"))
out.mkdir(parents=True, exist_ok=True)
if name == "corpus":
    (out / "train.txt").write_text("A sentence of words. " * 3000)
if name == "corpus-tasks":
    sys.path.insert(0, os.getcwd())
    from fairseq_metro.prepare.corpus_tasks.main import task_text
    for task in os.environ.get("FAKE_TASKS", "topic opening order adjacent").split():
        (out / f"{task}.yaml").write_text(task_text(task, ("here", "there"), 64))
"""
)
TRAIN = """#!/usr/bin/env bash
echo "fairseq-train $*" >> calls
case "${FAKE_FAILS-}" in fairseq-train) echo "error: no data" >&2; exit 7 ;; esac
echo "2026-01-31 04:00:00 | INFO | fairseq_cli.train | done training in 1.0 seconds"
"""
SUMMARY = """case "$2" in *quickstart_summary) echo "summary $3" >> calls; exit 0 ;; esac
"""


@pytest.fixture
def clone(tmp_path, root):
    """A clone with the script itself and the package, and stand-ins for the rest."""
    clone = tmp_path / "clone"
    for folder in ("train_scripts", "programs"):
        (clone / folder).mkdir(parents=True)
    for name in ("quickstart_smash.sh", "stages.sh", "launch.sh", "kernels.sh"):
        shutil.copy(root / "train_scripts" / name, clone / "train_scripts")
    (clone / "train_scripts" / "environment.sh").write_text(stand_ins.ENVIRONMENT)
    (clone / "fairseq_metro").symlink_to(root / "fairseq_metro")
    write_python(clone, STEPS, STEP, SUMMARY)
    write_programs(clone, fairseq_train=TRAIN)
    return clone


STEPS = ["corpus", "corpus-tasks", "vocabulary", "binarize", "intermediate",
         "cache-teacher", "fewshot"]  # fmt: skip
OPTIONS = "RUN SEED UPDATES DISTILLATION TEXT TASKS TASK".split()


def quickstart(clone, cwd=None, **variables):
    kept = {key: value for key, value in os.environ.items() if key not in OPTIONS}
    done = subprocess.run(
        ["bash", str(clone / "train_scripts" / "quickstart_smash.sh")],
        cwd=cwd or clone, env=kept | {"PROCESSES": "1"} | variables,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True,
        timeout=200,
    )  # fmt: skip
    return done.returncode, done.stdout


def calls(clone, name=None):
    path = clone / "calls"
    found = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
    return found if name is None else [words for words in found if words[0] == name]


def value(words, option):
    return words[words.index(option) + 1]


def test_teacher_student_prompts_and_a_student_for_each_group(clone):
    given = {"SEED": "3", "UPDATES": "400", "DISTILLATION": "200", "RUN": "runs/mine"}
    given |= {"TASK": "topic order adjacent"}
    status, said = quickstart(clone, **given)
    assert status == 0, said
    made = [words[0] for words in calls(clone)]
    assert made == [
        "corpus", "corpus-tasks", "vocabulary", "binarize", "fairseq-train",
        "fairseq-train", *["intermediate", "cache-teacher"] * 2, "fairseq-train", "fairseq-train",
        "fewshot", "fewshot", "summary",
    ]  # fmt: skip
    teacher, student, pair, single = calls(clone, "fairseq-train")
    assert value(teacher, "--save-dir") == "runs/mine/teacher"
    assert value(teacher, "--embed-dim") == "128" and "--embed-dim" not in student
    assert value(student, "--task") == "masked_lm_blocks"
    assert value(teacher, "--max-update") == "400" and value(teacher, "--seed") == "3"
    assert value(student, "--max-update") == "100"
    for group, words in (("sentence_pair", pair), ("single_sentence", single)):
        assert words[1] == f"runs/mine/prompts/{group}"
        assert value(words, "--task") == "prompt_distillation"
        assert value(words, "--init-from") == "runs/mine/student"
        assert value(words, "--teacher-cache") == f"runs/mine/prompts/{group}/cache"
        assert value(words, "--max-update") == "200"
    prompts = calls(clone, "intermediate")[0]
    assert int(value(prompts, "--size")) == 63000 // 300  # small texts have fewer prompts
    assert calls(clone, "cache-teacher")[0][1:4] == [
        "runs/mine/prompts/sentence_pair", "--teacher", "runs/mine/teacher",
    ]  # fmt: skip
    of_pair, of_single = (" ".join(words) for words in calls(clone, "fewshot"))
    assert "--model runs/mine/student runs/mine/smash-sentence_pair runs/mine/teacher" in of_pair
    assert "--task runs/mine/tasks/adjacent.yaml --tasks runs/mine/tasks" in of_pair
    assert "--task runs/mine/tasks/topic.yaml runs/mine/tasks/order.yaml" in of_single
    words = (clone / "runs/mine/tasks/words.txt").read_text().split()
    assert {"here", "there", "No", "Yes", "Maybe", "terrible", "great", "It", "was"} <= {*words}
    # A second time everything is there already.
    before = len(calls(clone))
    status, said = quickstart(clone, **given)
    assert (status, said.count("there already")) == (0, 9)
    assert calls(clone)[before:] == [["summary", "runs/mine"]]


@pytest.mark.parametrize("name", ["corpus-tasks", "fairseq-train", "cache-teacher", "fewshot"])
def test_failure_is_handed_back_and_the_next_run_goes_on_from_there(clone, name):
    status, said = quickstart(clone, FAKE_FAILS=name, FAKE_TASKS="topic")
    assert status == (7 if name == "fairseq-train" else 1)
    assert said.count("error: ") == 1 and "goes on from there" in said
    assert ("teacher/train.log" in said) == (name == "fairseq-train")
    before = len(calls(clone))
    status, said = quickstart(clone, FAKE_TASKS="topic")
    assert status == 0, said
    assert calls(clone)[before][0] in (name, "intermediate")
    assert len(calls(clone, "corpus")) == 1 and len(calls(clone, "summary")) == 1


def test_real_tasks_are_grouped_by_their_own_files(clone, tmp_path):
    (tmp_path / "tasks").mkdir()
    status, said = quickstart(clone, cwd=tmp_path, TASKS="tasks", TASK="sst2 cola", RUN="real")
    assert status == 0, said
    assert not calls(clone, "corpus-tasks")
    assert len(calls(clone, "intermediate")) == 1
    (words,) = calls(clone, "fewshot")
    assert f"--task sst2 cola --tasks {tmp_path}/tasks" in " ".join(words)
    assert (tmp_path / "real" / "tasks" / "tasks.txt").read_text() == (
        "single_sentence\tsst2\nsingle_sentence\tcola\n"
    )


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"TASKS": "none"}, "error: TASKS: none: no such file or folder\n"),
        ({"TEXT": "none.txt"}, "error: TEXT: none.txt: no such file or folder\n"),
        ({"TASK": "sst2"}, "error: TASK: sst2 is none of topic, opening, order, adjacent; "),
        ({"TASKS": ".", "TASK": "no.yaml"}, "error: TASK: no.yaml: no such file or folder\n"),
        ({"SEED": "one"}, "error: SEED=one must be a whole number, such as SEED=1\n"),
        ({"UPDATES": "3"}, "error: UPDATES=3 must be a whole number of at least 80\n"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_made(clone, variables, message):
    status, said = quickstart(clone, **variables)
    assert status == 1 and message in said and len(said.splitlines()) == 1
    assert calls(clone) == [] and not (clone / "runs").exists()


def test_other_settings_in_the_same_folder_are_one_line(clone):
    assert quickstart(clone, FAKE_TASKS="topic")[0] == 0
    status, said = quickstart(clone, FAKE_TASKS="topic", SEED="2")
    assert status == 1 and len(said.splitlines()) == 1
    assert "holds a run with other settings (now SEED=2, there SEED=1)" in said


@pytest.mark.slow
def test_the_whole_of_it_on_a_small_text(tmp_path):
    """Real stages, few updates: numbers that mean nothing, files that are all there."""
    clone = newcomer.clone(tmp_path / "clone")
    text = tmp_path / "text.txt"
    text.write_text(stories(), "utf-8")
    given = {"TEXT": str(text), "UPDATES": "80", "DISTILLATION": "20", "RUN": "runs/whole"}
    status, said = quickstart_whole(clone, **given)
    assert status == 0, said
    summary = json.loads((clone / "runs/whole/summary.json").read_text())
    assert {test["test"] for test in summary["tests"]} == {"topic", "opening"}
    assert summary["parameters"]["teacher"] > 2 * summary["parameters"]["student"]
    assert (clone / "runs/whole/bars.png").stat().st_size > 10_000
    status, said = quickstart_whole(clone, **given)
    assert (status, said.count("there already")) == (0, 9)


def quickstart_whole(clone, **given):
    kept = {key: value for key, value in os.environ.items() if key not in OPTIONS}
    done = subprocess.run(
        ["bash", "train_scripts/quickstart_smash.sh"], cwd=clone, env=kept | given, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, timeout=3000,
    )  # fmt: skip
    return done.returncode, done.stdout


def stories():
    """A text of 400 documents, each about one thing of four; no sentence comes twice. Names give it
    the different words that a vocabulary of 2,000 pieces needs."""
    things = {"river": "boats", "garden": "flowers", "kitchen": "bread", "forest": "trees"}
    rng, documents = random.Random(1), []
    syllables = [first + second for second in "aeiou" for first in "bcdfghjklmnpqrstvwxyz"]
    names = ["".join(rng.choices(syllables, k=rng.randint(2, 4))) for _ in range(1500)]
    for number in range(400):
        thing, part = list(things.items())[number % 4]
        village = names[number]
        lines = [
            f"The {thing} of {village} is known for its {part}. "
            f"In year {day} they counted {17 * number + day} {part} there, and said so aloud. "
            f"Nobody had seen that many near house {day} of {rng.choice(names)} street "
            f"in {rng.choice(names)} before. "
            f"So the {thing} was written about once more in letter {100 * number + day}."
            for day in range(1, 6)
        ]
        documents.append("\n".join(lines))
    return "\n\n".join(documents) + "\n"
