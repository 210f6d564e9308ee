"""Every command of README and documentation is run, in a clone with small files by the names it uses.

A page's commands run in their order in one folder. SMALLER replaces sizes that only large machines
take; ELSEWHERE names the test that runs what cannot be run so.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import newcomer
from tests.test_docs import PAGES
from tests.training import ROOT

# What a page's reader has large, and this test small; applied to a line from the top.
SMALLER = [
    (r"\bARCH=\w+", "ARCH=tiny"),
    (r"^DATA=data-bin/mine bash train_scripts", "ARCH=tiny DATA=data-bin/mine bash train_scripts"),
    (r"--init-from FOLDER", "--init-from runs/metro"),
    (r"metro_t5_small", "metro_t5_tiny"),
    (r"PROCESSES=8", "PROCESSES=2"),
    (r" --bf16\b", ""),
    (r"--vocab-size 32768", "--vocab-size 500"),
    (r"--size 200000", "--size 42 --valid-size 9 --held-out 0.1"),
    (r"--mixture t0\b", "--mixture demo.yaml"),
    (r"--mixture flan\b", "--mixture flan.yaml"),
    (r"/path/to/", ""),
    (r"\b500000=", "1="),
    (r"\b1000000=", "2="),
    (r"results/a results/b", "runs/mine/evaluation/t0_eval runs/mine/evaluation/t0_eval"),
    (r"--data DATA", "--data data-bin/mine --batches 2"),
    (
        r"(train_scripts/pretrain_\w+\.sh)",
        r"\1 --max-update 2 --warmup-updates 1 --tokens-per-sample 32",
    ),
    (r"(train_scripts/finetune_\w+\.sh)", r"\1 --max-update 2 --warmup-updates 1"),
    (r"(train_scripts/smash_(?:pair|single)\w*\.sh)", r"\1 --max-update 2 --warmup-updates 1"),
    (r"(eval/run\.sh (?!--compare)\S+)", r"\1 --limit 2"),
    (r"(fairseq-metro evaluate \S+)", r"\1 --limit 2"),
    (r"(fairseq-metro fewshot)", r"\1 --seeds 13 --steps 2 --every 2 --lr 1e-3 --batch 8"),
]
SCRIPTS = "tests/scripts"
# Beginning of a command -> the test, or script, that runs it.
ELSEWHERE = {
    "bash tests/run.sh": ".ci/run",
    "pip install": f"{SCRIPTS}/test_environment.py::test_environment_is_built_in_order",
    "torchrun --nnodes 32": f"{SCRIPTS}/test_pretrain.py::test_several_machines_meet",
    "DATA=data-bin/mine ARCH=base PROCESSES=8 MACHINES=4": f"{SCRIPTS}/test_machines.py::test_two",
    "DATA=data-bin/mine ARCH=largepp": f"{SCRIPTS}/test_pretrain.py::test_several_machines_meet",
    "DATA=data-bin/mine ARCH=base bash train_scripts/pretrain_metro.sh --bf16 --kernels":
        f"{SCRIPTS}/test_kernels_option.py::test_pretraining_passes_it_on",
    "bash train_scripts/quickstart_smash.sh": f"{SCRIPTS}/test_quickstart_smash.py::test_the_whole",
    'TEXT="a.txt b.txt.gz"': f"{SCRIPTS}/test_quickstart_smash.py::test_the_whole",
    "TASKS=tasks RUN=runs/real bash train_scripts/quickstart_smash":
        f"{SCRIPTS}/test_quickstart_smash.py::test_real_tasks",
    "INIT=models/": f"{SCRIPTS}/test_smash_scripts.py::test_the_numbers_are_the_papers",
    "python benchmarks/pretrain_throughput.py": "tests/test_pretrain_throughput.py",
    "python benchmarks/kernels.py": "tests/test_kernels_benchmark.py",
    "bash benchmarks/gpu_all.sh": "tests/test_gpu_all.py::test_every_part",
    "TEXT=text TASKS=tasks": "tests/papers/test_runner.py",
    "python -m fairseq_metro.papers.pair": "tests/papers/test_judging.py::test_the_pairs_report",
    "fairseq-metro import-flan": "tests/prompts/test_flan_import.py::test_sets_and_counts",
    "fairseq-metro prompts --mixture flan --templates":
        "tests/prompts/test_flan_import.py::test_fields_are_whole",
    "fairseq-metro prompts --mixture t0-original-prompts":
        "tests/prompts/mixtures/test_ready_made.py::test_t0s_mixtures_of_fewer_prompts",
    "SCALE=paper DATA=data-bin/mine":
        "tests/papers/test_rehearsal.py::test_every_kind_of_command_runs_to_its_end",
    "fairseq-metro lm-eval": "tests/evaluate/test_harness_command.py",
}  # fmt: skip
# What a page has its reader make, so that it is not there at its beginning.
MADE = {"README": ["runs/mine", "runs/quickstart_prompts"], "index": ["runs/quickstart_prompts"],
        "pretrain": ["runs/mine", "vocab", "data-bin/mine"], "distil": ["runs/mine"]}  # fmt: skip
VARIABLES = {"UPDATES": "80", "DISTILLATION": "20", "PROCESSES": "1"}


def lines_of(page):
    """(kind, text) of what a page tells its reader to type, in order."""
    found = re.compile(r"^```(bash|sh|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)
    for kind, text in found.findall(page.read_text("utf-8")):
        if kind == "python":
            if ">>>" not in text:  # those are doctests: tests/test_worked_examples.py
                yield kind, text
            continue
        for line in text.replace("\\\n", " ").splitlines():
            if shlex.split(line, comments=True):
                yield "bash", re.sub(r"\s+#.*", "", line).strip()


def test_what_is_run_elsewhere_is_there():
    for place in ELSEWHERE.values():
        path, _, name = place.partition("::")
        text = (ROOT / path).read_text("utf-8")
        assert not name or re.search(rf"^def {name}", text, re.MULTILINE), place
    said = "\n".join(line for page in PAGES for _, line in lines_of(page))
    for beginning in ELSEWHERE:
        assert beginning in said, f"{beginning}: no page says so any more"


FAST = sorted({line for page in PAGES for _, line in lines_of(page)
               if re.search("--help|PLAN=1", line)})  # fmt: skip


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """A clone with texts and task files, and no model."""
    place = newcomer.clone(tmp_path_factory.mktemp("bare") / "clone")
    newcomer.write_texts(place)
    newcomer.write_tasks(place / "tasks")
    return place


@pytest.mark.parametrize("line", FAST)
def test_a_command_that_needs_no_model(line, bare):
    done = run("bash", line, bare)
    assert done.returncode == 0 and len(done.stdout.splitlines()) > 3, done.stdout[-3000:]


@pytest.fixture(scope="session")
def shelf(tmp_path_factory):
    shelf = tmp_path_factory.mktemp("shelf")
    newcomer.write_texts(shelf)
    newcomer.write_tasks(shelf / "tasks")
    newcomer.write_models(shelf)
    return shelf


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page(page, shelf, tmp_path):
    place = newcomer.clone(tmp_path / "clone")
    shutil.copytree(shelf, place, dirs_exist_ok=True)
    newcomer.write_results(place)
    newcomer.write_settings(place, page.stem)
    for name in MADE.get(page.stem, ()):
        shutil.rmtree(place / name)
    for kind, text in lines_of(page):
        if any(text.startswith(one) for one in ELSEWHERE):
            continue
        done = run(kind, text, place)
        assert done.returncode == 0, f"{text}\n{done.stdout[-3000:]}"


def run(kind, text, place):
    for found, smaller in SMALLER:
        text = re.sub(found, smaller, text)
    words = ["bash", "-c", text] if kind == "bash" else [sys.executable, "-c", text]
    path = f"{place / 'programs'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, **VARIABLES, "PATH": path, "PYTHONPATH": str(place)}
    return subprocess.run(
        words, cwd=place, env=environment, text=True, timeout=900,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
    )  # fmt: skip
