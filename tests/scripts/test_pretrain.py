"""train_scripts/pretrain_*.sh: the same sizes, rates and batches for METRO-T5 and its baseline."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time

import pytest

from fairseq_metro.analysis import health, summary
from tests.analysis.fairseq_logs import write_log
from tests.tasks.conftest import corpus, data, vocabulary  # noqa: F401  fixtures
from tests.training import spawn

SCRIPTS = ("pretrain_metro.sh", "pretrain_t5.sh")
SIZES = ("tiny", "small", "base", "basepp", "largepp")


@pytest.fixture
def started(root, tmp_path):
    """Runs a script on a stand-in for fairseq-train: (CompletedProcess, its words as a dict)."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("fairseq-train", "torchrun"):
        (programs / name).write_text(f'#!/bin/sh\nprintf "%s\\n" {name} "$@" > "$RECORD"\n')
        (programs / name).chmod(0o755)
    (programs / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (programs / "python").chmod(0o755)

    def start(script, *options, **variables):
        record = tmp_path / "record"
        record.unlink(missing_ok=True)
        env = {"PATH": f"{programs}:/usr/bin:/bin", "HOME": os.environ.get("HOME", "")}
        env |= {"RECORD": str(record), "DATA": "some data", "SAVE": str(tmp_path / "run")}
        done = subprocess.run(
            ["bash", root / "train_scripts" / script, *options],
            capture_output=True,
            text=True,
            timeout=60,
            env=env | variables,
        )
        words = record.read_text().splitlines() if record.exists() else []
        return done, words

    return start


def options_of(words):
    """Option -> value, the last one winning as in argparse."""
    found, name = {}, None
    for word in words:
        if word.startswith("--"):
            name = word
            found[name] = True
        elif name:
            found[name], name = word, None
    return found


@pytest.mark.parametrize("size", SIZES)
def test_the_baseline_differs_from_metro_t5_in_its_objective_only(size, started):
    metro, t5 = (options_of(started(script, ARCH=size)[1]) for script in SCRIPTS)
    different = {key for key in metro | t5 if metro.get(key) != t5.get(key)}
    assert different == {"--task", "--arch", "--criterion"}
    assert (t5["--task"], t5["--arch"], t5["--criterion"]) == ("t5", f"t5_transformer_{size}", "t5")
    assert metro["--arch"] == f"metro_t5_{size}"


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize(
    "size, rate, updates, clip",  # METRO-T0, Table 5
    [("base", 4e-4, 125000, 0), ("basepp", 2e-4, 2000000, 2), ("largepp", 2e-4, 1335000, 2)],
)
def test_rates_and_updates_are_the_papers(script, size, rate, updates, clip, started):
    words = options_of(started(script, ARCH=size)[1])
    assert float(words["--lr"]) == rate and int(words["--max-update"]) == updates
    assert float(words["--clip-norm"]) == clip and int(words["--tokens-per-sample"]) == 512
    assert int(words["--warmup-updates"]) == 10000
    assert (words["--adam-betas"], float(words["--adam-eps"])) == ("(0.9, 0.98)", 1e-6)
    assert int(words["--max-tokens"]) * int(words["--update-freq"]) == 2048 * 512


@pytest.mark.parametrize("script", SCRIPTS)
def test_tokens_of_an_update_stay_the_same_for_any_number_of_processes(script, started):
    for processes, tokens in ((1, 8192), (2, 8192), (4, 2048), (256, 4096)):
        variables = {"ARCH": "base", "PROCESSES": str(processes), "TOKENS": str(tokens)}
        words = options_of(started(script, **variables)[1])
        assert int(words["--max-tokens"]) == tokens
        assert tokens * int(words["--update-freq"]) * processes == 2048 * 512


@pytest.mark.parametrize("script", SCRIPTS)
def test_options_at_the_end_win_and_the_command_is_kept(script, started, tmp_path):
    done, words = started(script, "--lr", "7e-7", ARCH="tiny")
    assert done.returncode == 0, done.stderr
    assert words[:2] == ["fairseq-train", "some data"]
    assert options_of(words)["--lr"] == "7e-7"
    kept = shlex.split((tmp_path / "run" / "command.txt").read_text())
    assert kept[:3] == ["bash", "train_scripts/launch.sh", "1"]
    assert kept[3:] == words[: len(kept) - 3]  # launch.sh adds what this machine needs


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize(
    "variables, said",
    [
        ({"ARCH": "huge"}, "ARCH is 'huge', must be tiny"),
        ({"ARCH": "base", "TOKENS": "1000"}, "must divide 1048576"),
        ({"DATA": ""}, "set DATA"),
    ],
)
def test_a_mistake_is_one_line(script, variables, said, started):
    done, words = started(script, **variables)
    assert done.returncode != 0 and words == []
    (line,) = done.stderr.strip().splitlines()
    assert said in line


@pytest.mark.parametrize("script", SCRIPTS)
def test_processes_share_an_update_of_their_size_without_being_told_how(script, started):
    for processes, tokens in ((1, 1024), (2, 512), (8, 128)):  # several: torchrun, words within
        words = options_of(started(script, ARCH="small", PROCESSES=str(processes))[1])
        assert (int(words["--max-tokens"]), words["--update-freq"]) == (tokens, "1")


@pytest.mark.parametrize("given", [("--recipe", "release"), ("--recipe=release",)])
def test_the_recipe_given_at_the_end_sets_the_rates_too(given, started):
    words = options_of(started("pretrain_metro.sh", *given, ARCH="largepp")[1])
    assert (float(words["--lr"]), int(words["--max-update"])) == (1e-4, 2000000)
    words = options_of(started("pretrain_t5.sh", *given, ARCH="basepp")[1])
    assert float(words["--clip-norm"]) == 0


def test_every_machine_adds_its_processes(started):
    variables = {"ARCH": "base", "MACHINES": "4", "PROCESSES": "8", "TOKENS": "4096"}
    machine = {"MACHINE": "1", "MASTER": "first:29500"}
    words = options_of(started("pretrain_metro.sh", **variables, **machine)[1])
    assert int(words["--update-freq"]) * 4096 * 32 == 2048 * 512


@pytest.fixture
def gpu(started, tmp_path):
    """Stand-ins: nvidia-smi with two GPUs of 40 and 80 GiB; python, which notes its words."""
    said = '[ "$1" = -L ] && echo "GPU 0: stand-in" || printf "81920\\n40960\\n"'
    (tmp_path / "programs" / "nvidia-smi").write_text(f"#!/bin/sh\n{said}\n")
    (tmp_path / "programs" / "nvidia-smi").chmod(0o755)
    note = 'printf "%s\\n" "$@" > "$RECORD.python"; echo --max-tokens; echo 512'
    (tmp_path / "programs" / "python").write_text(f"#!/bin/sh\n{note}\n")
    return lambda: (tmp_path / "record.python").read_text().splitlines()


def test_on_gpus_the_batch_is_chosen_for_the_smallest(started, gpu):
    done, words = started("pretrain_metro.sh", "--bf16", ARCH="base", PROCESSES="2")
    assert done.returncode == 0, done.stderr
    asked = gpu()
    assert asked[:2] == ["-m", "fairseq_metro.recipes.options"]
    assert asked[asked.index("--gpu-mib") + 1] == "40960"
    assert asked[-2:] == ["--", "--bf16"]
    assert options_of(words)["--distributed-world-size"] == "2"
    assert options_of(words)["--max-tokens"] == "512" and "--bf16" in words


@pytest.mark.parametrize("options, variables", [(["--plan"], {}), ([], {"PLAN": "1"})])
def test_a_plan_starts_nothing(options, variables, started, gpu, tmp_path):
    variables = {**variables, "GPU": "a100-40", "MFU": "0.14", "PROCESSES": "64"}
    done, words = started("pretrain_metro.sh", "--bf16", *options, **variables)
    assert done.returncode == 0, done.stderr
    assert words == [] and not (tmp_path / "run").exists()
    asked = gpu()
    assert asked[:3] == ["-m", "fairseq_metro", "plan"] and asked[-2:] == ["--", "--bf16"]
    for option, value in {"--gpu": "a100-40", "--mfu": "0.14", "--processes": "64"}.items():
        assert asked[asked.index(option) + 1] == value


@pytest.mark.parametrize("machine, rank", [("0", "0"), ("3", "3")])
def test_several_machines_meet_through_torchrun(machine, rank, started):
    variables = {"MACHINES": "4", "MACHINE": machine, "MASTER": "first:29500", "PROCESSES": "2"}
    _, words = started("pretrain_metro.sh", ARCH="base", **variables)
    assert words[0] == "torchrun"
    told = " ".join(words[: words.index("--no-python")])
    assert f"--nnodes 4 --node-rank {rank} --master-addr first --master-port 29500" in told
    assert "--nproc-per-node 2" in told


@pytest.mark.parametrize(
    "variables, said",
    [
        ({"MACHINES": "2", "MASTER": "first:29500"}, "MACHINE is '', must be"),
        ({"MACHINES": "2", "MACHINE": "2", "MASTER": "first:29500"}, "0 to 1"),
        ({"MACHINES": "2", "MACHINE": "1", "MASTER": "first"}, "MASTER is 'first', must be"),
        ({"MACHINES": "many"}, "MACHINES is 'many'"),
    ],
)
def test_a_machine_that_is_told_too_little_says_so(variables, said, started):
    done, words = started("pretrain_metro.sh", ARCH="base", **variables)
    assert done.returncode != 0 and words == []
    assert said in done.stderr.strip().splitlines()[-1]


# What a run leaves beside its checkpoints.


def stand_in(tmp_path, text):
    (tmp_path / "programs" / "fairseq-train").write_text(f"#!/bin/bash\n{text}\n")


def test_all_output_goes_on_and_is_kept_for_the_summary(started, tmp_path):
    run = tmp_path / "run"
    for name, process in (("1", {"last": 200}), ("2", {"first": 201})):
        with open(tmp_path / name, "w") as stream:
            write_log(stream, **process)
        stand_in(tmp_path, f'cat "{tmp_path}/{name}"; echo "odd {name}" >&2; exit 3')
        done, _ = started("pretrain_metro.sh", ARCH="tiny")
        assert done.returncode == 3
        assert done.stdout.endswith((tmp_path / name).read_text())  # after the command
        assert done.stderr.endswith(f"odd {name}\n")
    kept = (run / "train.log").read_text()
    for name in "12":
        assert (tmp_path / name).read_text() in kept.replace("odd 1\n", "").replace("odd 2\n", "")
        assert kept.count(f"odd {name}\n") == 1
    assert summary.main([str(run)]) == 0 and health.main([str(run)]) == 0
    assert json.loads((run / "summary.json").read_text())["updates"] == 400
    assert (run / "curves.png").exists() and (run / "health.png").exists()


@pytest.mark.parametrize("number, group", [(signal.SIGINT, True), (signal.SIGTERM, True),
                                           (signal.SIGTERM, False)])  # fmt: skip
def test_a_signal_ends_the_training_and_its_last_words_are_kept(number, group, root, tmp_path,
                                                                started):  # fmt: skip
    """Ctrl-C reaches all processes of the terminal's group, kill one of them."""
    last = "trap 'sleep 0.3; echo last words; echo bad >&2; exit 9' INT TERM"
    stand_in(tmp_path, f"{last}\necho began; while :; do sleep 0.05; done")
    env = {"PATH": f"{tmp_path}/programs:/usr/bin:/bin", "DATA": "data", "ARCH": "tiny"}
    command = ["bash", root / "train_scripts" / "pretrain_metro.sh"]
    process = subprocess.Popen(
        command, env=env | {"SAVE": str(tmp_path / "run")}, start_new_session=True, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # ignored behind an "&"
    )  # fmt: skip
    log, deadline = tmp_path / "run" / "train.log", time.monotonic() + 30
    while not log.exists() or "began" not in log.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    (os.killpg if group else os.kill)(process.pid, number)
    said, wrong = process.communicate(timeout=20)
    assert process.returncode == 9
    assert said.endswith("began\nlast words\n") and wrong.endswith("bad\n")
    assert {"bad", "began", "last words"} <= set(log.read_text().splitlines())


def test_the_first_of_several_machines_keeps_the_log(started, tmp_path):
    several = {"ARCH": "base", "MACHINES": "2", "MASTER": "first:29500"}
    for machine in "10":
        done, words = started("pretrain_metro.sh", MACHINE=machine, **several)
        assert done.returncode == 0 and words, done.stderr
        assert (tmp_path / "run" / "train.log").exists() == (machine == "0")


@pytest.mark.slow
def test_a_real_run_is_summed_up(data, tmp_path):  # noqa: F811
    run = tmp_path / "run"
    end = ["--max-update", "4", "--warmup-updates", "1", "--log-interval", "1"]
    end += ["--tokens-per-sample", "32", "--validate-interval-updates", "2"]
    path = f"{sys.exec_prefix}/bin:{os.environ['PATH']}"
    done = spawn(["bash", "train_scripts/pretrain_metro.sh", *end], DATA=str(data), ARCH="tiny",
                 SAVE=str(run), PATH=path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert summary.main([str(run)]) == 0 and health.main([str(run)]) == 0
    found = json.loads((run / "summary.json").read_text())
    assert (found["updates"], found["updates_planned"]) == (4, 4)
    assert found["start"].keys() == found["end"].keys() >= {"mlm_loss", "rtd_loss", "clm_loss"}
