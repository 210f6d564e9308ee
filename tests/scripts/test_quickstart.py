"""train_scripts/quickstart.sh with stand-ins for the environment, the preprocessing and fairseq."""

import gzip
import json
import os
import shutil
import signal
import subprocess
import time

import pytest

from tests.analysis.fairseq_logs import write_log
from tests.scripts import stand_ins
from tests.scripts.stand_ins import write_programs, write_python

ENVIRONMENT = stand_ins.ENVIRONMENT + 'echo "[environment] using a stand-in"\n'

# Each command also writes the files the next stage asks for.
STEP = (
    stand_ins.STEP
    + """
out = Path(sys.argv[sys.argv.index("--dest" if name == "binarize" else "--out") + 1])
out.mkdir(parents=True, exist_ok=True)
for file in ("train.txt", "valid.txt"):
    (out / file).write_text("text")
"""
)

TRAIN = """#!/usr/bin/env bash
echo "fairseq-train $*" >> calls
case "${FAKE_FAILS-}" in fairseq-train) echo "error: no data" >&2; exit 7 ;; esac
case "${FAKE_WAITS-}" in fairseq-train) touch waiting; sleep 60 ;; esac
cat run.log
echo "2026-01-31 04:00:00 | INFO | fairseq_cli.train | done training in 1.0 seconds"
"""


@pytest.fixture
def clone(tmp_path, root):
    """A clone with quickstart.sh, the package itself, and stand-ins for the rest."""
    clone = tmp_path / "clone"
    for folder in ("train_scripts", "programs"):
        (clone / folder).mkdir(parents=True)
    for name in ("quickstart.sh", "stages.sh", "launch.sh", "kernels.sh"):
        shutil.copy(root / "train_scripts" / name, clone / "train_scripts")
    (clone / "train_scripts" / "environment.sh").write_text(ENVIRONMENT)
    (clone / "fairseq_metro").symlink_to(root / "fairseq_metro")
    write_python(clone, ("corpus", "vocabulary", "binarize"), STEP)
    write_programs(clone, fairseq_train=TRAIN)
    with open(clone / "run.log", "w") as stream:
        write_log(stream)
    return clone


def start(clone, cwd=None, **variables):
    kept = {
        key: value
        for key, value in os.environ.items()
        if key not in ("TEXT", "RUN", "SEED", "FIELD")
    }
    return subprocess.Popen(
        ["bash", str(clone / "train_scripts" / "quickstart.sh")],
        cwd=cwd or clone, start_new_session=True,
        env=kept | {"MPLBACKEND": "Agg", "PROCESSES": "1"} | variables,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True,
    )  # fmt: skip


def quickstart(clone, **options):
    process = start(clone, **options)
    said, _ = process.communicate(timeout=60)
    return process.returncode, said


def calls(clone):
    path = clone / "calls"
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def stages(clone):
    return [words[0] for words in calls(clone)]


ALL = ["corpus", "vocabulary", "binarize", "fairseq-train"]


def test_stages_run_in_order_once_and_a_second_run_prints_the_summary_again(clone):
    status, said = quickstart(clone)
    assert status == 0, said
    assert stages(clone) == ALL
    run = clone / "runs" / "quickstart"
    assert json.loads((run / "summary.json").read_text())["updates"] == 400
    assert (run / "curves.png").exists() and "CLM corrects 16.0%" in said
    command = (run / "command.txt").read_text()
    assert (
        command.startswith("bash train_scripts/launch.sh 1 fairseq-train ")
        and "'--user-dir' fairseq_metro" not in command
    )
    assert command in said
    trained = calls(clone)[-1]
    for option, value in {"--task": "metro_t5", "--seed": "1", "--batch-size": "8"}.items():
        assert trained[trained.index(option) + 1] == value

    status, said = quickstart(clone)
    assert (status, stages(clone)) == (0, ALL)
    assert said.count("there already") == 4 and "CLM corrects 16.0%" in said


@pytest.mark.parametrize("name", ALL)
def test_failure_is_handed_back_and_the_next_run_goes_on_from_there(clone, name):
    status, said = quickstart(clone, FAKE_FAILS=name)
    assert status == (7 if name == "fairseq-train" else 1)
    assert said.count("error: ") == 1 and "goes on from there" in said
    assert ("train.log" in said) == (name == "fairseq-train")
    status, said = quickstart(clone)
    assert status == 0
    at = ALL.index(name)
    assert stages(clone) == ALL[: at + 1] + ALL[at:]


def test_interrupted_training_goes_on_and_a_finished_one_is_not_repeated(clone):
    process = start(clone, FAKE_WAITS="fairseq-train")
    deadline = time.monotonic() + 30
    while not (clone / "waiting").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    other = quickstart(clone)
    assert other[0] == 1 and "another quickstart is at work in runs/quickstart" in other[1]
    os.killpg(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    assert said.endswith("interrupted: the same command goes on from here\n")
    assert quickstart(clone)[0] == 0
    (clone / "runs" / "quickstart" / ".done" / "pretraining").unlink()
    assert quickstart(clone)[0] == 0
    assert stages(clone) == [*ALL, "fairseq-train"]


@pytest.mark.parametrize(
    ("changed", "named"),
    [({"SEED": "2"}, "(now SEED=2, there SEED=1)"), ({"UPDATES": "100"}, "100 updates")],
)
def test_other_settings_in_the_same_folder_are_one_line(clone, changed, named):
    quickstart(clone)
    status, said = quickstart(clone, **changed)
    assert status == 1 and len(said.splitlines()) == 1
    assert said.startswith("error: runs/quickstart holds a run with other settings (now ")
    assert named in said and "rm -r runs/quickstart" in said
    assert quickstart(clone, RUN="runs/other", **changed)[0] == 0


def test_changed_recipe_does_not_go_on_with_what_another_began(clone):
    assert quickstart(clone)[0] == 0
    script = clone / "train_scripts" / "quickstart.sh"
    script.write_text(script.read_text().replace("--clip-norm 2.0", "--clip-norm 1.0"))
    status, said = quickstart(clone)
    assert status == 1 and "(now --clip-norm 1.0, there --clip-norm 2.0)" in said


def settings_of(clone):
    return clone / "runs" / "quickstart" / "settings.txt"


@pytest.mark.parametrize("first, second", [("1", "2"), ("4", "1")])
def test_a_run_goes_on_with_another_number_of_processes(clone, first, second):
    quickstart(clone, FAKE_FAILS="fairseq-train", PROCESSES=first)
    status, said = quickstart(clone, PROCESSES=second)
    assert status == 0, said
    trained = calls(clone)[-1]
    assert trained[trained.index("--batch-size") + 1] == str(8 // int(second))


def test_a_folder_of_an_earlier_version_goes_on(clone):
    """Its settings are two hashes: of the text, and of all options with the number of processes."""
    assert quickstart(clone)[0] == 0
    kept = [
        "TEXT=default corpus",
        "SEED=1",
        f"RECIPE=7000 updates, sha256 of all options {'0' * 16}",
    ]
    settings_of(clone).write_text("\n".join(kept) + "\n")
    status, said = quickstart(clone, UPDATES="300")
    assert status == 1 and f"(now RECIPE=300 updates, there {kept[2]})" in said
    assert quickstart(clone)[0] == 0 and stages(clone) == ALL
    assert "--lr 0.0015" in settings_of(clone).read_text()


@pytest.mark.parametrize("threads", [None, "1", "3"])
def test_processes_are_counted_by_the_cores_one_may_use_not_by_threads(root, threads):
    """nproc alone says OMP_NUM_THREADS."""
    cores = len(os.sched_getaffinity(0))
    env = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    env |= {"OMP_NUM_THREADS": threads} if threads else {}
    script = "set -euo pipefail; SCRIPT=x; source train_scripts/stages.sh; cores"
    for words, expected in ((["bash"], cores), (["taskset", "-c", a_core(), "bash"], 1)):
        done = subprocess.run(
            [*words, "-c", script], cwd=root, env=env, capture_output=True, text=True, timeout=20
        )
        assert (done.stdout, done.stderr) == (f"{expected}\n", "")


def a_core():
    return str(min(os.sched_getaffinity(0)))


def test_own_text_is_split_and_a_changed_file_is_noticed(clone, tmp_path):
    text = tmp_path / "mine.txt"
    text.write_text("\n\n".join(f"Document {n}. {'word ' * 30}" for n in range(1000)))
    status, said = quickstart(clone, cwd=tmp_path, TEXT="m*.txt", RUN="mine")
    assert status == 0, said
    assert stages(clone) == ALL[1:]
    assert (tmp_path / "mine" / "corpus" / "valid.txt").stat().st_size > 2000
    text.write_text(text.read_text() + "\nmore\n")
    status, said = quickstart(clone, cwd=tmp_path, TEXT="mine.txt", RUN="mine")
    assert status == 1 and "other settings (now TEXT=1 file(s), " in said


def test_text_may_be_a_folder_of_rows_and_a_name_goes_before_a_pattern(clone, tmp_path):
    rows = [json.dumps({"body": f"Page {n}. {'word ' * 30}", "text": 1}) for n in range(1000)]
    (tmp_path / "wiki/AA").mkdir(parents=True)
    (tmp_path / "wiki/AA/wiki_00").write_bytes(gzip.compress("\n".join(rows).encode()))
    (tmp_path / "wiki/.hidden").write_text("nothing")
    (tmp_path / "a[1].txt").write_text("This is the file that is meant.\n")
    (tmp_path / "a1.txt").write_text("This is another file.\n")
    status, said = quickstart(clone, cwd=tmp_path, TEXT="wiki a[1].txt", RUN="rows", FIELD="body")
    assert status == 0, said
    text = "".join(path.read_text() for path in (tmp_path / "rows/corpus").glob("*.txt"))
    assert text.count("Page") == 1000 and "meant" in text and "another" not in text
    assert (tmp_path / "rows/settings.txt").read_text().startswith("TEXT=2 file(s)")
    status, said = quickstart(clone, cwd=tmp_path, TEXT="wiki a[1].txt", RUN="rows")
    assert status == 1 and "other settings" in said


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"TEXT": "none.txt"}, "error: TEXT: none.txt: no such file or folder\n"),
        ({"SEED": "one"}, "error: SEED=one must be a whole number, such as SEED=1\n"),
        ({"RUN": "programs"}, "error: programs is there and holds no run of this script; "),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_made(clone, variables, message):
    status, said = quickstart(clone, **variables)
    assert status == 1 and said.startswith(message) and len(said.splitlines()) == 1
    assert calls(clone) == [] and not (clone / "runs").exists()
