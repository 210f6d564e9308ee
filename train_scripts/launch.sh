#!/usr/bin/env bash
# Run a fairseq-train command on N processes of this machine, on GPUs or on the CPU.
#   bash train_scripts/launch.sh N fairseq-train DATA [options]
# fairseq reaches several GPUs by itself. On a CPU it needs every rank told by options, or it runs N
# independent copies that overwrite one another; this script tells them.
set -euo pipefail
(( $# >= 2 )) || { echo "usage: bash train_scripts/launch.sh N fairseq-train DATA [options]" >&2; exit 2; }
N=$1; shift
[[ $N =~ ^[1-9][0-9]*$ ]] || { echo "launch.sh: N is '$N', must be a number of processes" >&2; exit 2; }

# The environment that quickstart.sh and tests/run.sh make is used where none is active.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
command -v "$1" >/dev/null || PATH=$root/.venv/bin:$PATH
command -v "$1" >/dev/null || { echo "launch.sh: $1 is not on the PATH, nor in .venv; run train_scripts/quickstart.sh once" >&2; exit 2; }

# Two OpenMP threads on busy cores can be 25 times slower than one.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}

if command -v nvidia-smi >/dev/null && nvidia-smi -L >/dev/null 2>&1; then
  exec "$@" --distributed-world-size "$N"
elif (( N == 1 )); then
  exec "$@" --cpu --distributed-world-size 1
fi
# --local-ranks-filter shows rank 0 only; --tee keeps the others' output for when they fail.
exec torchrun --standalone --nproc-per-node "$N" --no-python --max-restarts 0 bash -c '
  exec "$@" --cpu --distributed-world-size "$WORLD_SIZE" --distributed-rank "$RANK" \
    --distributed-backend gloo --distributed-init-method env:// --distributed-no-spawn \
    --ddp-backend legacy_ddp' bash "$@"
