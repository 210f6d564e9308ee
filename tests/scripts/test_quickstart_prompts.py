"""train_scripts/quickstart_prompts.sh with stand-ins for the environment, the data and fairseq."""

import json
import os
import shutil
import subprocess

import pytest

from tests.analysis.test_prompt_summary import write_run
from tests.prepare.test_starting_model import write_checkpoint
from tests.scripts.stand_ins import ENVIRONMENT, STEP, write_programs, write_python

CALLED = 'echo "$(basename "$0") $*" >> calls\n'

QUICKSTART = (
    CALLED
    + 'echo "given ${SEED-} ${RUN-} ${UPDATES-}" >> calls; mkdir -p runs/quickstart/.done; '
    + "cp -r model runs/quickstart/checkpoints; touch runs/quickstart/.done/pretraining\n"
)
TRAIN = (
    CALLED
    + """case "${FAKE_FAILS-}" in fairseq-train) echo "error: no data" >&2; exit 7 ;; esac
run=${1%/data}; cp -r made/data made/checkpoints "$run"; cat made/train.log
echo "2026-01-31 04:00:00 | INFO | fairseq_cli.train | done training in 1.0 seconds"
"""
)


@pytest.fixture
def clone(tmp_path, root):
    """A clone with the script itself and the package, and stand-ins for the rest."""
    clone = tmp_path / "clone"
    for folder in ("train_scripts", "programs"):
        (clone / folder).mkdir(parents=True)
    for name in ("quickstart_prompts.sh", "stages.sh", "launch.sh", "kernels.sh"):
        shutil.copy(root / "train_scripts" / name, clone / "train_scripts")
    (clone / "train_scripts" / "environment.sh").write_text(ENVIRONMENT)
    (clone / "train_scripts" / "quickstart.sh").write_text(QUICKSTART)
    (clone / "fairseq_metro").symlink_to(root / "fairseq_metro")
    write_python(clone, ("docstring-tasks", "prompts"), STEP)
    write_programs(clone, fairseq_train=f"#!/usr/bin/env bash\n{TRAIN}")
    write_checkpoint(clone / "model")
    write_run(clone / "made")
    return clone


OPTIONS = "RUN SEED UPDATES LR TASKS MIXTURE TEMPLATES CHECKPOINT INIT".split()


def quickstart(clone, cwd=None, **variables):
    kept = {key: value for key, value in os.environ.items() if key not in OPTIONS}
    done = subprocess.run(
        ["bash", str(clone / "train_scripts" / "quickstart_prompts.sh")],
        cwd=cwd or clone, env=kept | {"MPLBACKEND": "Agg", "PROCESSES": "1"} | variables,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True,
        timeout=60,
    )  # fmt: skip
    return done.returncode, done.stdout


def calls(clone):
    path = clone / "calls"
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def programs(clone):
    return [words[0] for words in calls(clone) if words[0] != "given"]


STEPS = ["docstring-tasks", "prompts", "fairseq-train"]


def test_a_model_is_made_first_then_each_stage_once(clone):
    status, said = quickstart(clone, SEED="3", UPDATES="400", RUN="runs/mine")
    assert status == 0, said
    assert programs(clone) == ["quickstart.sh", *STEPS]
    assert calls(clone)[1] == ["given"]  # SEED, RUN and UPDATES are not the pretraining's
    run = clone / "runs" / "mine"
    assert json.loads((run / "summary.json").read_text())["updates"] == 400
    assert (run / "bars.png").exists() and "Held-in: 64.0% after" in said
    trained = calls(clone)[-1]
    expected = {
        "--arch": "t5_transformer_tiny", "--seed": "3", "--max-update": "400",
        "--task": "prompt_finetuning", "--valid-subset": "valid,heldout", "--max-tokens": "4096",
        "--init-from": f"{clone}/runs/quickstart/checkpoints",
    }  # fmt: skip
    assert {key: trained[trained.index(key) + 1] for key in expected} == expected
    status, said = quickstart(clone, SEED="3", UPDATES="400", RUN="runs/mine")
    assert (status, said.count("there already")) == (0, 3) and "Held-in: 64.0% after" in said
    assert programs(clone) == ["quickstart.sh", *STEPS]


@pytest.mark.parametrize("name", STEPS)
def test_failure_is_handed_back_and_the_next_run_goes_on_from_there(clone, name):
    status, said = quickstart(clone, INIT="model", FAKE_FAILS=name)
    assert status == (7 if name == "fairseq-train" else 1)
    assert said.count("error: ") == 1 and "goes on from there" in said
    assert ("train.log" in said) == (name == "fairseq-train")
    status, said = quickstart(clone, INIT="model")
    assert status == 0, said
    at = STEPS.index(name)
    assert programs(clone) == STEPS[: at + 1] + STEPS[at:]


def test_real_tasks_take_their_own_mixture_and_templates(clone, tmp_path):
    for name in ("tasks", "templates"):
        (tmp_path / name).mkdir()
    status, said = quickstart(clone, cwd=tmp_path, TASKS="tasks", TEMPLATES="templates",
                              INIT="clone/model", RUN="real")  # fmt: skip
    assert status == 0, said
    assert programs(clone) == STEPS[1:]
    built = " ".join(calls(clone)[0])
    assert f"--mixture real-small --tasks {tmp_path}/tasks" in built
    assert f"--templates {tmp_path}/templates --vocab {clone}/model/vocab" in built
    assert "--split train valid heldout" in built and "--evaluation-overlap drop" in built
    assert (tmp_path / "real" / "bars.png").exists()


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"SEED": "2"}, "(now SEED=2, there SEED=1)"),
        ({"LR": "0.01"}, "LR=0.01"),
        ({"TASKS": "made"}, "now TASKS="),
    ],
)
def test_other_settings_in_the_same_folder_are_one_line(clone, changed, named):
    assert quickstart(clone, INIT="model")[0] == 0
    status, said = quickstart(clone, INIT="model", **changed)
    assert status == 1 and len(said.splitlines()) == 1
    assert said.startswith("error: runs/quickstart_prompts holds a run with other settings (now ")
    assert named in said


def test_the_former_name_of_init_still_works(clone):
    status, said = quickstart(clone, CHECKPOINT="model")
    assert status == 0 and programs(clone) == STEPS, said
    status, said = quickstart(clone, INIT="model", CHECKPOINT="none")  # the same, said as it is now
    assert (status, said.count("there already")) == (0, 3), said


def test_a_model_trained_further_is_another_setting(clone):
    assert quickstart(clone, INIT="model")[0] == 0
    shutil.rmtree(clone / "model")
    write_checkpoint(clone / "model", "t5_transformer_tiny")
    status, said = quickstart(clone, INIT="model")
    assert status == 1 and "other settings (now INIT=" in said


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"TASKS": "none"}, "error: TASKS=none: no such file or folder\n"),
        ({"INIT": "none"}, "error: INIT=none: no such file or folder\n"),
        ({"INIT": "made"}, "/made: no checkpoint_last.pt in this folder"),
        ({"SEED": "one"}, "error: SEED=one must be a whole number, such as SEED=1\n"),
        ({"LR": "fast"}, "error: LR=fast must be a number, such as LR=0.001\n"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_made(clone, variables, message):
    shutil.rmtree(clone / "made" / "checkpoints")
    status, said = quickstart(clone, **variables)
    assert status == 1 and message in said and len(said.splitlines()) == 1
    assert calls(clone) == [] and not (clone / "runs").exists()
