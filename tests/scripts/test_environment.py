"""train_scripts/environment.sh with a stand-in for Python and pip: what is built, kept, refused."""

import os
import shutil
import subprocess
import time

import pytest

# Answers what environment.sh asks an interpreter; `pip install` is noted, fails, waits on demand.
PYTHON = """#!/usr/bin/env bash
here=$(cd "$(dirname "$0")" && pwd)
case "$*" in
    -) cat >/dev/null; echo "${FAKE_PROBE-fine}" ;;
    -V) echo "Python 3.11.9" ;;
    "-c import platform"*) echo "${FAKE_VERSION-3.11.9}" ;;
    "-m venv "*) mkdir -p "$3/bin"; cp "$0" "$3/bin/python" ;;
    *"pip "*" list "*) printf 'torch==9.9.9\\nJinja2==1.0\\n' ;;
    *"pip "*" install "*)
        echo "${@:7}" >> "$FAKE_CALLS"
        case "$*" in *"${FAKE_FAILS-nothing}"*) echo "no such package"; exit 1 ;; esac
        case "$*" in *"${FAKE_WAITS-nothing}"*) sleep "${FAKE_SECONDS-30}" ;; esac ;;
    *" -c "*)
        shift 4
        printf 'recipe=%s\\npackage=%s\\ndevice=%s\\nspec=%s\\n' "${@:2}" > "$1/.stamp.tmp"
        printf 'torch=9.9.9\\nfairseq=0.1\\npython=3.11.9\\n' >> "$1/.stamp.tmp" ;;
esac
"""


@pytest.fixture
def clone(tmp_path, root):
    """A clone's files that matter here, and a folder with a fake ``python3.11`` on PATH."""
    (tmp_path / "train_scripts").mkdir()
    shutil.copy(root / "train_scripts" / "environment.sh", tmp_path / "train_scripts")
    for path in root.glob("requirements*.txt"):
        shutil.copy(path, tmp_path)
    for name in ("setup.py", "pyproject.toml"):
        (tmp_path / name).write_text("# one\n")
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "python3.11").write_text(PYTHON)
    (programs / "python3.11").chmod(0o755)
    return tmp_path


def environment(clone, **variables):
    kept = {key: value for key, value in os.environ.items() if key not in ("PYTHON", "TORCH_SPEC")}
    path = f"{clone / 'programs'}:/usr/bin:/bin"
    return kept | {"PATH": path, "FAKE_CALLS": str(clone / "calls")} | variables


def start(clone, then="true", **variables):
    command = f'set -euo pipefail; source "{clone}/train_scripts/environment.sh"; {then}'
    return subprocess.Popen(
        ["bash", "-c", command], env=environment(clone, **variables), start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def source(clone, then="true", **variables):
    process = start(clone, then, **variables)
    said, _ = process.communicate(timeout=60)
    return process.returncode, said


def calls(clone):
    path = clone / "calls"
    return path.read_text().splitlines() if path.exists() else []


def wait_for(path):
    deadline = time.monotonic() + 20
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} never came"
        time.sleep(0.05)


def test_environment_is_built_in_order_and_then_reused(clone):
    status, said = source(clone, 'echo "threads $OMP_NUM_THREADS $(command -v python)"')
    assert status == 0, said
    assert "making .venv with Python 3.11.9" in said
    installs = calls(clone)
    assert "--index-url https://download.pytorch.org/whl/cpu" in installs[0]
    assert installs[0].endswith("torch==2.13.0")
    assert "setuptools wheel Cython numpy" in installs[1]
    assert "requirements-test.txt torch==9.9.9" in installs[2]
    assert installs[3] == "--no-build-isolation --no-deps fairseq-fixed==0.12.3.1"
    assert installs[4].endswith(
        f"--no-deps --ignore-requires-python -r {clone}/requirements-no-deps.txt"
    )
    assert installs[5] == f"--no-build-isolation --no-deps -e {clone}"
    assert f"{clone}/.venv/bin/python" in said

    status, said = source(clone)
    assert (status, len(calls(clone))) == (0, 6)
    assert "using .venv (Python 3.11.9, torch 9.9.9, fairseq 0.1)" in said


def test_constraints_keep_what_torch_brought_and_pin_the_rest(clone):
    source(clone)
    constraints = (clone / ".venv.setup" / "constraints.txt").read_text().splitlines()
    assert "torch==9.9.9" in constraints
    assert [line for line in constraints if line.lower().startswith("jinja2")] == ["Jinja2==1.0"]
    assert any(line.startswith("numpy==") for line in constraints)
    assert any(line.startswith("scipy==") for line in constraints)
    assert all("==" in line for line in constraints)


def test_half_installed_environment_is_rebuilt(clone):
    status, said = source(clone, FAKE_FAILS="fairseq-fixed")
    assert status == 1
    assert "no such package" in said and "the step 'fairseq-fixed" in said
    (clone / ".venv" / "left-over").touch()
    status, said = source(clone)
    assert status == 0
    assert "making .venv again: its installation was not finished" in said
    assert not (clone / ".venv" / "left-over").exists()
    assert not list(clone.glob(".venv.removed*"))


def test_a_torch_for_cuda_brings_its_own_triton(clone):
    """Held by our pin, pip finds no torch 2.13 for CUDA at all: it wants triton 3.7.1."""
    status, said = source(clone)
    assert status == 0, said
    held = (clone / ".venv.setup" / "indirect.txt").read_text()
    assert "triton==" not in held and "scipy==" in held
    assert "triton==" in (clone / ".venv.setup" / "constraints.txt").read_text()  # torch without it


def test_killed_installation_is_rebuilt(clone):
    process = start(clone, FAKE_WAITS="fairseq-fixed")
    wait_for(clone / ".venv.setup" / "constraints.txt")
    os.killpg(process.pid, 9)
    process.communicate()
    status, said = source(clone)
    assert status == 0 and "its installation was not finished" in said


def test_environment_that_is_not_ours_is_left_alone(clone):
    (clone / ".venv").mkdir()
    (clone / ".venv" / "precious").touch()
    status, said = source(clone)
    assert status == 1
    assert said.strip().splitlines() == [
        "error: .venv was not made by this script, so it is left alone; move it away or remove it "
        "(rm -r .venv), then run the same command again"
    ]
    assert (clone / ".venv" / "precious").exists() and calls(clone) == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"FAKE_VERSION": "3.11.10"}, "made with Python 3.11.9, which is now 3.11.10"),
        ({"FAKE_VERSION": ""}, "its Python does not run any more"),
        ({"TORCH_SPEC": "torch==2.9.0"}, "TORCH_SPEC is now torch==2.9.0"),
    ],
)
def test_environment_that_no_longer_fits_is_rebuilt(clone, change, reason):
    source(clone)
    status, said = source(clone, **change)
    assert status == 0
    assert f"making .venv again: {reason}" in said or f"making .venv again: it was {reason}" in said


def test_changed_pins_rebuild_and_changed_setup_reinstalls_the_package_alone(clone):
    source(clone)
    (clone / "setup.py").write_text("# two\n")
    _, said = source(clone)
    assert "setup.py has changed" in said and len(calls(clone)) == 7
    with open(clone / "requirements.txt", "a") as stream:
        stream.write("another==1.0\n")
    _, said = source(clone)
    assert "making .venv again: the pinned packages" in said and len(calls(clone)) == 13


def test_torch_spec_is_passed_on_and_its_environment_kept_without_it(clone):
    spec = "torch==2.9.0 --index-url https://example.org/whl"
    status, _ = source(clone, TORCH_SPEC=spec)
    assert status == 0 and calls(clone)[0] == spec
    _, said = source(clone)
    assert "using .venv" in said


def test_plain_pin_is_the_fallback_for_the_cpu_index(clone):
    status, said = source(clone, FAKE_FAILS="whl/cpu")
    assert status == 0, said
    assert "does not answer: taking torch==2.13.0 from the usual index" in said
    assert calls(clone)[1].endswith(".venv.setup/indirect.txt torch==2.13.0")


def test_cuda_torch_where_there_is_a_gpu(clone):
    source(clone)
    smi = clone / "programs" / "nvidia-smi"
    smi.write_text('#!/bin/sh\necho "GPU 0: Something (UUID: 1)"\n')
    smi.chmod(0o755)
    _, said = source(clone)
    assert "making .venv again: its torch is for CPUs and there is a GPU now" in said
    assert calls(clone)[6].endswith(".venv.setup/indirect.txt torch==2.13.0")
    smi.unlink()
    _, said = source(clone)
    assert "using .venv" in said


def test_unusable_python_is_one_line(clone):
    faults = {"python3.11": "is Python 3.9.1, older than 3.11", "py4": "is not there"}
    for name, fault in faults.items():
        status, said = source(clone, PYTHON=name, FAKE_PROBE=fault)
        assert status == 1
        assert said.strip() == f"error: PYTHON={name} cannot be used: {name} {fault}"


def test_second_command_waits_for_the_first_to_build(clone):
    first = start(clone, FAKE_WAITS="-r ", FAKE_SECONDS="2")
    wait_for(clone / ".venv.setup" / "constraints.txt")
    status, said = source(clone)
    assert status == 0
    assert "waiting: another command is making .venv" in said and "using .venv" in said
    assert first.wait(20) == 0
    assert len(calls(clone)) == 6


def test_environment_in_use_is_not_rebuilt_under_a_running_command(clone):
    source(clone)
    user = start(clone, f'touch "{clone}/inside"; sleep 1.5; test -e "{clone}/.venv/marker"')
    wait_for(clone / "inside")
    (clone / ".venv" / "marker").touch()
    status, said = source(clone, TORCH_SPEC="torch==2.9.0")
    assert status == 0
    assert "waiting: another command uses .venv" in said
    assert user.wait(20) == 0
    assert not (clone / ".venv" / "marker").exists()
