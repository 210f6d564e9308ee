"""train_scripts/finetune_*.sh and their YAML counterparts: Table 6's rows, and a tiny run of each."""

import json
import os
import shlex
import sys

import pytest
from fairseq.dataclass.initialize import add_defaults, hydra_init
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from fairseq_metro.analysis import prompt_summary
from fairseq_metro.recipes import configs, finetuning_configs
from fairseq_metro.recipes.batches import share_sequences
from fairseq_metro.recipes.finetuning import words
from fairseq_metro.recipes.finetuning_table import finetuning
from fairseq_metro.recipes.memory import resolved
from tests import prompted
from tests.scripts.test_configs import FOLDER, flat
from tests.scripts.test_pretrain import options_of, started  # noqa: F401  a fixture
from tests.tasks.conftest import corpus, vocabulary  # noqa: F401  fixtures
from tests.training import ROOT, call, spawn

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # hydra, of fairseq's own config
SCRIPTS = {"finetune_t0.sh": "t0", "finetune_t0p.sh": "t0+", "finetune_t0pp.sh": "t0++",
           "finetune_flan.sh": "flan"}  # fmt: skip


@pytest.fixture
def data(tmp_path, vocabulary):  # noqa: F811
    return prompted.folder(tmp_path / "prompts", vocabulary)


@pytest.fixture
def begin(started, data, tmp_path):  # noqa: F811
    """As ``started``, with data and something to begin with; what PYTHONPATH needs is given."""
    (tmp_path / "pretrained" / "vocab").mkdir(parents=True)
    given = {"DATA": str(data), "INIT": str(tmp_path / "pretrained"), "PYTHONPATH": str(ROOT)}
    return lambda script, *options, **changes: started(script, *options, **given | changes)


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_starts_its_row_on_its_mixture(script, begin, data, tmp_path):
    (data / "train" / "mixture.json").write_text(json.dumps({"mixture": SCRIPTS[script]}))
    done, said = begin(script, "--seed", "7", ARCH="base", PROCESSES="2", BATCH="4", MODEL="t5")
    assert done.returncode == 0 and "warning" not in done.stderr, done.stderr
    options = options_of(said)
    assert options["--arch"] == "t5_transformer_base" and options["--seed"] == "7"
    assert options["--init-from"] == str(tmp_path / "pretrained")
    assert options["--valid-subset"] == "valid,heldout"
    flan = SCRIPTS[script] == "flan"
    assert float(options["--lr"]) == (3e-5 if flan else 4e-5)
    assert options["--optimizer"] == ("plain_adafactor" if flan else "fused_adam")
    assert int(options["--update-freq"]) * 4 * 2 == (8 if flan else 2048)
    assert (tmp_path / "run" / "command.txt").exists()


def test_data_of_another_mixture_is_warned_of(begin, data):
    (data / "train" / "mixture.json").write_text('{"mixture": "t0+"}')
    done, said = begin("finetune_t0pp.sh", ARCH="base")
    assert said and "is made of the mixture t0+, not of t0++" in done.stderr


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"INIT": ""}, "INIT is not set"),
        ({"INIT": "no/run"}, "INIT is 'no/run': no such file"),
        ({"DATA": "no/data"}, "DATA is 'no/data', no folder"),
        ({"DATA": ""}, "set DATA to a folder"),
        ({"PROCESSES": "3"}, "3 processes cannot share an update of 2,048 sequences"),
        ({"BATCH": "24"}, "24 x 1 must divide 2048"),
        ({"BATCH": "x"}, "BATCH is 'x'"),
        ({"ARCH": "basep"}, "perhaps basepp"),
        ({"MODEL": "bert"}, "MODEL is 'bert'"),
        ({"TASKS": "no/tasks"}, "no/tasks: no such folder"),
        ({"TASKS": "no/tasks", "INIT": ""}, "INIT is not set"),
        ({"TASKS": "x", "MACHINES": "2", "MACHINE": "0"}, "on one of them first"),
    ],
)
def test_a_mistake_is_one_line_and_starts_nothing(changes, said, begin, tmp_path):
    done, command = begin("finetune_t0.sh", **changes)
    assert done.returncode != 0 and command == [] and not (tmp_path / "run").exists()
    (line,) = done.stderr.strip().splitlines()
    assert said in line and line.startswith("error: ")


def test_raw_tasks_become_data_first(begin, tmp_path):
    """fairseq-metro prompts is asked for the script's mixture, with the start's vocabulary."""
    programs, asked = tmp_path / "programs", tmp_path / "asked"
    note = f'case $3 in prompts) printf "%s\\n" "$@" > {asked}; exit 0 ;; esac'
    (programs / "python").write_text(f'#!/bin/sh\n{note}\nexec {sys.executable} "$@"\n')
    done, said = begin("finetune_t0p.sh", TASKS="raw", TEMPLATES="mine")
    assert done.returncode == 0 and said, done.stderr
    options = options_of(asked.read_text().splitlines())
    assert options == {
        "--mixture": "t0+", "--tasks": "raw", "--templates": "mine",
        "--dest": str(tmp_path / "prompts"), "--vocab": str(tmp_path / "pretrained" / "vocab"),
        "--max-source-length": "512",
    }  # fmt: skip
    # Nothing is built for a run that cannot start.
    asked.unlink()
    done, said = begin("finetune_t0p.sh", TASKS="raw", PROCESSES="3")
    assert done.returncode != 0 and not asked.exists()


def test_a_plan_prints_the_commands_and_starts_nothing(begin, tmp_path):
    """Neither the start nor the data have to be there yet."""
    given = {"PLAN": "1", "TASKS": "raw", "INIT": "runs/mine@500", "DATA": "data-bin/new"}
    done, said = begin("finetune_flan.sh", PROMPT_OPTIONS="--hold-out nli --mode none", **given)
    assert done.returncode == 0 and said == [] and not (tmp_path / "run").exists(), done.stderr
    prompts, train = map(shlex.split, done.stdout.splitlines())
    assert prompts[:4] == ["python", "-m", "fairseq_metro", "prompts"]
    assert options_of(prompts)["--vocab"] == "runs/mine/vocab"
    assert prompts[-4:] == ["--hold-out", "nli", "--mode", "none"]
    assert train[:5] == ["bash", "train_scripts/launch.sh", "1", "fairseq-train", "data-bin/new"]
    assert options_of(train)["--init-from"] == "runs/mine@500"


@pytest.mark.parametrize(
    ("options", "size", "length"),
    [([], "base", "1024"), ([], "tiny", "512"), (["--max-source-length", "256"], "base", "256")],
)
def test_data_is_made_for_the_sources_of_the_recipe(begin, options, size, length):
    given = {"PLAN": "1", "TASKS": "raw", "INIT": "runs/mine", "DATA": "new", "ARCH": size}
    done, _ = begin("finetune_flan.sh", *options, PROMPT_OPTIONS="--exemplars 16", **given)
    assert done.returncode == 0, done.stderr
    prompts, train = map(shlex.split, done.stdout.splitlines())
    assert options_of(prompts)["--max-source-length"] == length
    assert options_of(train)["--max-source-length"] == length


def test_a_soft_prompt_is_tuned_by_lesters_numbers_as_flan_changes_them(begin):
    done, said = begin("finetune_soft_prompt.sh", ARCH="base")
    assert done.returncode == 0, done.stderr
    options = options_of(said)
    assert options["--soft-prompt-tokens"] == "10" and "--pack" not in options
    assert (float(options["--lr"]), float(options["--weight-decay"])) == (0.3, 1e-4)
    assert (float(options["--dropout"]), float(options["--attention-dropout"])) == (0.1, 0)
    assert int(options["--batch-size"]) * int(options["--update-freq"]) == 32
    assert options["--max-update"] == "30000" and options["--lr-scheduler"] == "fixed"


# YAML for fairseq-hydra-train


@pytest.mark.parametrize("name", finetuning_configs.names())
def test_the_files_are_up_to_date(name):
    again = "python -m fairseq_metro.recipes.finetuning_configs --out train_scripts/configs"
    text = (FOLDER / f"{name}.yaml").read_text()
    assert text == finetuning_configs.text(name), f"run: {again}"


def test_no_name_is_used_twice():
    assert not set(finetuning_configs.names()) & set(configs.names())


@pytest.mark.parametrize(
    "name, model",
    [("finetune_base", "metro"), ("finetune_largepp", "hf"), ("finetune_tiny", "metro"),
     ("finetune_flan_largepp", "metro"), ("finetune_flan_small", "hf")],
)  # fmt: skip
def test_hydra_resolves_a_file_to_the_config_of_the_script(name, model, tmp_path):
    row = finetuning(*finetuning_configs.names()[name], model)
    train = resolved([*words(row, share_sequences(row, 1), "SAVE"), "--distributed-world-size=1"])
    (tmp_path / f"{name}.yaml").write_text(finetuning_configs.text(name, model=model))
    hydra_init(name)
    with initialize_config_dir(str(tmp_path), version_base="1.1"):
        hydra = compose(name)
    OmegaConf.set_struct(hydra, False)
    hydra.task.init_from, hydra.task.save_dir, hydra.common.user_dir = "", "SAVE", None
    hydra.checkpoint.save_dir = "SAVE"
    add_defaults(hydra)
    # fairseq-train gives the task's copy of this one as a str.
    train.task.max_tokens_valid = int(train.task.max_tokens_valid)
    ours, theirs = flat(hydra), flat(train)
    different = {k: (ours.get(k), theirs[k]) for k in theirs if ours.get(k, "absent") != theirs[k]}
    assert different == {}
    assert train.model._name == row.architecture and hydra.model._name == row.model


@pytest.mark.parametrize("script, name", [("finetune_t0.sh", "finetune_tiny"),
                                          ("finetune_flan.sh", "finetune_flan_tiny")])  # fmt: skip
@pytest.mark.slow
def test_first_losses_are_equal_through_the_script_and_hydra(script, name, data, tmp_path):
    start = tmp_path / "start"
    said = words(finetuning("t0", "tiny"), share_sequences(finetuning("t0", "tiny"), 1), start)
    call("train", [str(data), f"--user-dir={ROOT / 'fairseq_metro'}", *said, "--cpu",
                   "--max-update=1", "--disable-validation", "--no-progress-bar"])  # fmt: skip
    variables = {"DATA": str(data), "INIT": str(start), "SAVE": str(tmp_path / "train"),
                 "ARCH": "tiny", "PATH": f"{sys.exec_prefix}/bin:{os.environ['PATH']}"}  # fmt: skip
    end = ["--max-update", "2", "--log-interval", "1"]
    done = spawn(["bash", f"train_scripts/{script}", *end], **variables)
    assert done.returncode == 0, done.stderr
    expected = losses(done.stdout + done.stderr)
    assert losses((tmp_path / "train" / "train.log").read_text()) == expected
    assert prompt_summary.main([str(tmp_path / "train")]) == 0
    assert json.loads((tmp_path / "train" / "summary.json").read_text())["updates"] == 2
    done = spawn([
        f"{sys.exec_prefix}/bin/fairseq-hydra-train", f"--config-dir={FOLDER}",
        f"--config-name={name}", f"task.data={data}", f"task.init_from={start}",
        'dataset.valid_subset="valid,heldout"', "common.cpu=true", "common.log_interval=1",
        "optimization.max_update=2", f"checkpoint.save_dir={tmp_path / 'hydra'}",
        f"hydra.run.dir={tmp_path / 'hydra' / 'hydra'}",
    ])  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    log = (tmp_path / "hydra" / "hydra" / "hydra_train.log").read_text()
    assert losses(log) == expected and set(expected) == {1, 2}
    assert (tmp_path / "train" / "scores" / "heldout_2.json").is_file()


def losses(log):
    """Update number -> training loss, as a run's output has them."""
    lines = [line for line in log.splitlines() if "train_inner" in line and "{" in line]
    values = [json.loads(line[line.index("{") :]) for line in lines]
    return {int(value["num_updates"]): value["loss"] for value in values}


@pytest.mark.slow
def test_a_file_that_is_told_no_start_trains_nothing(data, tmp_path):
    done = spawn([
        f"{sys.exec_prefix}/bin/fairseq-hydra-train", f"--config-dir={FOLDER}",
        "--config-name=finetune_tiny", f"task.data={data}", "common.cpu=true",
        "optimization.max_update=1", f"checkpoint.save_dir={tmp_path / 'run'}",
        f"hydra.run.dir={tmp_path / 'hydra'}",
    ])  # fmt: skip
    assert done.returncode != 0
    assert "give task.init_from" in done.stderr.strip().splitlines()[-1]


def test_flans_script_says_what_it_is_not():
    text = (ROOT / "train_scripts" / "finetune_flan.sh").read_text()
    assert "decoder-only" in text and "out of scope" in text
