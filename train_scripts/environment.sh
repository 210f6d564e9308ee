#!/usr/bin/env bash
# The Python environment of this clone, .venv: made with pinned packages, or reused and said so.
#   source train_scripts/environment.sh     afterwards `python` and `fairseq-train` are .venv's
#   PYTHON=python3.12                       interpreter to build with (default: see find_python)
#   TORCH_SPEC="torch==2.13.0 --index-url https://download.pytorch.org/whl/cu128"   another torch
# A .venv made with them is reused by commands that do not name them. The caller has set -euo
# pipefail. Whatever is written beside .venv (lock, log, constraints) lies in .venv.setup/.

TORCH_PIN=torch==2.13.0
FAIRSEQ_PIN=fairseq-fixed==0.12.3.1
CPU_INDEX=https://download.pytorch.org/whl/cpu
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
VENV=$ROOT/.venv
ENV_STAMP=$VENV/.fairseq_metro_environment      # written last: without it .venv is half-installed
ENV_STARTED=$VENV/.fairseq_metro_started        # written first: without it .venv is not ours
ENV_WORK=$ROOT/.venv.setup
ENV_LOG=$ENV_WORK/install.log

env_say() { printf '[environment] %s\n' "$*"; }
env_fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

# What is wrong with interpreter $1 (nothing: usable). 3.12 on Linux x86-64 has a ready fairseq wheel;
# everything else compiles fairseq, which takes a C++ compiler and Python's headers.
python_fault() {
    command -v "$1" >/dev/null || { echo "is not there"; return; }
    local said
    said=$("$1" - 2>/dev/null <<'PY'
import os, platform, sys, sysconfig
if sys.version_info < (3, 11):
    sys.exit(print(f"is Python {platform.python_version()}, older than 3.11"))
try:
    import ensurepip, venv
except ImportError:
    sys.exit(print("cannot make environments (on Debian and Ubuntu: apt install python3-venv)"))
wheel = sys.version_info[:2] == (3, 12) and sys.platform == "linux" and platform.machine() == "x86_64"
if not wheel and not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")):
    sys.exit(print("lacks the C headers fairseq is built with (apt install python3-dev)"))
print("fine" if wheel else "fine, builds fairseq")
PY
    ) || { echo "does not run"; return; }
    case $said in
        "fine, builds fairseq")
            command -v g++ >/dev/null || echo "would have to build fairseq, and g++ is missing (apt install g++)" ;;
        fine) ;;
        *) echo "${said:-does not run}" ;;
    esac
}

# Sets PYTHON_FOUND: PYTHON, or the first usable one of python3.11, 3.12, 3.13 and python3.
find_python() {
    local candidate fault faults='' candidates=(python3.11 python3.12 python3.13 python3)
    [ -z "${PYTHON:-}" ] || candidates=("$PYTHON")
    for candidate in "${candidates[@]}"; do
        fault=$(python_fault "$candidate")
        [ -n "$fault" ] || { PYTHON_FOUND=$candidate; return; }
        [ "$fault" = "is not there" ] && [ -z "${PYTHON:-}" ] || faults+="${faults:+; }$candidate $fault"
    done
    [ -z "${PYTHON:-}" ] || env_fail "PYTHON=$PYTHON cannot be used: $faults"
    env_fail "no usable Python 3.11 or newer found (${faults:-none on PATH}); install one or name it: PYTHON=/path/to/python3.11"
}

wanted_device() { if nvidia-smi -L 2>/dev/null | grep -q '^GPU '; then echo cuda; else echo cpu; fi; }

# Fingerprints: of everything that decides what is installed, and of what decides our own commands.
# The clone's path is part of both, since an environment cannot be moved.
recipe_hash() {
    { echo "$ROOT $TORCH_PIN $FAIRSEQ_PIN $CPU_INDEX"; cat "$ROOT"/requirements*.txt; } | sha256sum | cut -c1-16
}
package_hash() { { echo "$ROOT"; cat "$ROOT/setup.py" "$ROOT/pyproject.toml"; } | sha256sum | cut -c1-16; }

stamped() { sed -n "s/^$1=//p" "$ENV_STAMP" 2>/dev/null; }

# Why .venv has to be made anew (nothing: it is whole and fits).
env_fault() {
    local version
    [ -e "$VENV" ] || { echo "there is none yet"; return; }
    [ -f "$ENV_STAMP" ] || { echo "its installation was not finished"; return; }
    version=$("$VENV/bin/python" -c 'import platform; print(platform.python_version())' 2>/dev/null) || version=
    [ -n "$version" ] || { echo "its Python does not run any more"; return; }
    [ "$version" = "$(stamped python)" ] || { echo "it was made with Python $(stamped python), which is now $version"; return; }
    [ "$(stamped recipe)" = "$(recipe_hash)" ] || { echo "the pinned packages or the clone's folder have changed"; return; }
    if [ -n "${PYTHON:-}" ]; then
        version=$("$PYTHON" -c 'import platform; print(platform.python_version())' 2>/dev/null) || version="that does not run"
        [ "$version" = "$(stamped python)" ] || { echo "PYTHON=$PYTHON is $version, .venv has $(stamped python)"; return; }
    fi
    if [ -n "${TORCH_SPEC:-}" ]; then
        [ "$(stamped spec)" = "$TORCH_SPEC" ] || { echo "TORCH_SPEC is now $TORCH_SPEC"; return; }
    elif [ "$(stamped device)" = cpu ] && [ "$(wanted_device)" = cuda ]; then
        echo "its torch is for CPUs and there is a GPU now"
    fi
}

# Reads a command's output: all of it into the log, on the screen one line that is refreshed on a
# terminal and repeated every 20 s elsewhere.
show_step() {
    local line part='' last='' status began=$SECONDS shown=$SECONDS text columns
    columns=$(tput cols 2>/dev/null) || columns=80
    while true; do
        status=0
        IFS= read -r -t 2 line || status=$?
        part+=$line                                  # status 0: a line, above 128: 2 s of silence,
        if [ "$status" -le 128 ]; then               # else: the end
            [ -z "$part" ] || { printf '%s\n' "$part" >> "$ENV_LOG"; last=$part; part=''; }
            [ "$status" -eq 0 ] || break
        fi
        if [ -t 1 ]; then
            text="[environment] $1, $((SECONDS - began)) s  $last"
            printf '\r\033[K%s' "${text:0:columns-1}"
        elif [ $((SECONDS - shown)) -ge 20 ]; then
            printf '[environment] … %s, %d s\n' "$1" $((SECONDS - began)); shown=$SECONDS
        fi
    done
    [ ! -t 1 ] || printf '\r\033[K'
    printf '[environment] %s: %d s\n' "$1" $((SECONDS - began))
}

# try_step TITLE COMMAND...; step TITLE COMMAND... ends everything where the command fails.
try_step() {
    local title=$1; shift
    printf '\n$ %s\n' "$*" >> "$ENV_LOG"
    "$@" </dev/null 2>&1 | show_step "$title"
}
step() {
    try_step "$@" && return
    { echo "--- the last lines of $ENV_LOG:"; tail -n 15 "$ENV_LOG"; } >&2
    env_fail "the step '$1' failed; mend what the lines above name (network, disk space, compiler) and run the same command again"
}
pip_install() { "$VENV/bin/python" -m pip --disable-pip-version-check install --progress-bar off "$@"; }

# Pins that pip may not leave: what torch brought, and ours for everything torch did not bring.
write_constraints() {
    "$VENV/bin/python" -m pip --disable-pip-version-check list --format=freeze \
        --exclude pip --exclude setuptools --exclude wheel > "$ENV_WORK/torch.txt"
    awk 'function name(line) { sub(/==.*/, "", line); gsub(/[-_.]+/, "-", line); return tolower(line) }
         !/==/ { next } NR == FNR { has[name($0)] = 1; print; next } !(name($0) in has)' \
        "$ENV_WORK/torch.txt" "$ROOT/requirements.txt" "$ROOT/requirements-test.txt" \
        "$ROOT/requirements-indirect.txt" > "$ENV_WORK/constraints.txt"
}

install_torch() {
    local device=$1 indirect=$ENV_WORK/indirect.txt
    # Triton's pin is for a torch without one; a torch for CUDA brings its own.
    grep -v '^triton==' "$ROOT/requirements-indirect.txt" > "$indirect"
    if [ -n "${TORCH_SPEC:-}" ]; then
        # shellcheck disable=SC2086  # several words: a requirement and options of pip
        step "torch ($TORCH_SPEC)" pip_install $TORCH_SPEC
    elif [ "$device" = cuda ]; then
        step "$TORCH_PIN with CUDA (large)" pip_install -c "$indirect" "$TORCH_PIN"
    elif ! try_step "$TORCH_PIN for CPUs" pip_install --no-deps --index-url "$CPU_INDEX" --timeout 15 --retries 0 "$TORCH_PIN"; then
        env_say "$CPU_INDEX does not answer: taking $TORCH_PIN from the usual index (larger)"
        step "$TORCH_PIN" pip_install -c "$indirect" "$TORCH_PIN"
    fi
    write_constraints
    grep -q '^torch==' "$ENV_WORK/torch.txt" || env_fail "TORCH_SPEC='${TORCH_SPEC:-}' installed no torch; give something like TORCH_SPEC='$TORCH_PIN'"
}

install_package() { step "fairseq_metro (this clone)" pip_install --no-build-isolation --no-deps -e "$ROOT"; }

write_stamp() {    # write_stamp DEVICE SPEC
    "$VENV/bin/python" -W ignore -c "$(cat <<'PY'
import os, platform, sys
from importlib.metadata import version
import fairseq_cli.train, fairseq_metro, torch
folder, recipe, package, device, spec = sys.argv[1:]
with open(os.path.join(folder, ".stamp.tmp"), "w") as stream:
    for key, value in {
        "recipe": recipe, "package": package, "device": device, "spec": spec, "torch": torch.__version__,
        "fairseq": version("fairseq-fixed"), "python": platform.python_version(),
    }.items():
        print(f"{key}={value}", file=stream)
PY
    )" "$VENV" "$(recipe_hash)" "$(package_hash)" "$1" "$2" && mv "$VENV/.stamp.tmp" "$ENV_STAMP"
}

build_env() {
    local device began=$SECONDS
    find_python
    device=$(wanted_device)
    if [ -e "$VENV" ]; then     # renamed first: a removal that is cut short leaves no half .venv
        mv "$VENV" "$ROOT/.venv.removed.$$"
    fi
    rm -rf "$ROOT"/.venv.removed.*
    : > "$ENV_LOG"
    env_say "making .venv with $("$PYTHON_FOUND" -V 2>&1) ($PYTHON_FOUND) and torch for $device; log: .venv.setup/install.log"
    mkdir "$VENV" && : > "$ENV_STARTED"
    step ".venv" "$PYTHON_FOUND" -m venv "$VENV"
    install_torch "$device"
    # What builds the others comes first, so that nothing is built in an isolated copy of torch.
    step "build tools" pip_install -c "$ENV_WORK/constraints.txt" setuptools wheel Cython numpy
    step "packages" pip_install --no-build-isolation -c "$ENV_WORK/constraints.txt" -r "$ROOT/requirements.txt" -r "$ROOT/requirements-test.txt" "$(grep '^torch==' "$ENV_WORK/torch.txt")"
    env_say "next: $FAIRSEQ_PIN, which is compiled here (about 3 minutes) unless there is a wheel"
    step "$FAIRSEQ_PIN" pip_install --no-build-isolation --no-deps "$FAIRSEQ_PIN"
    step "promptsource's templates" pip_install --no-build-isolation --no-deps --ignore-requires-python -r "$ROOT/requirements-no-deps.txt"
    install_package
    step "first import" write_stamp "$device" "${TORCH_SPEC:-}"
    env_say "made .venv in $((SECONDS - began)) s"
}

prepare_env() {
    local fault
    if [ -e "$VENV" ] && [ ! -e "$ENV_STARTED" ] && [ -n "$(ls -A "$VENV")" ]; then
        env_fail ".venv was not made by this script, so it is left alone; move it away or remove it (rm -r .venv), then run the same command again"
    fi
    fault=$(env_fault)
    if [ -n "$fault" ]; then
        [ ! -e "$VENV" ] || env_say "making .venv again: $fault"
        build_env
    elif [ "$(stamped package)" != "$(package_hash)" ]; then
        env_say "setup.py has changed: installing this clone's commands again"
        install_package
        step "import" write_stamp "$(stamped device)" "$(stamped spec)"
    else
        env_say "using .venv (Python $(stamped python), torch $(stamped torch), fairseq $(stamped fairseq))"
    fi
}

use_env() {
    unset PYTHONPATH PYTHONHOME
    mkdir -p "$ENV_WORK"
    # Held shared for as long as .venv is in use, alone while it is made: two commands never build
    # at once, and none rebuilds under a running one. Children inherit it, so an orphan counts too.
    if command -v flock >/dev/null; then
        exec 9> "$ENV_WORK/lock"
        flock -s -n 9 || { env_say "waiting: another command is making .venv"; flock -s 9; }
        if [ -n "$(env_fault)" ] || [ "$(stamped package)" != "$(package_hash)" ]; then
            flock -n 9 || { env_say "waiting: another command uses .venv, which has to be made again"; flock 9; }
        fi
    fi
    prepare_env
    ! command -v flock >/dev/null || flock -s 9
    export VIRTUAL_ENV=$VENV PATH=$VENV/bin:$PATH
    # Two threads on busy cores can be 25 times slower than one: more only where asked for.
    export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
}

use_env
