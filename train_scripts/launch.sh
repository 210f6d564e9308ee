#!/usr/bin/env bash
# Run a fairseq-train command on N processes of this machine, on GPUs or on the CPU.
#   bash train_scripts/launch.sh N fairseq-train DATA [options]
#   MACHINES=4 MACHINE=0 MASTER=host:port bash train_scripts/launch.sh N fairseq-train DATA [options]
# On several machines type the same command on each, with its own MACHINE from 0 to MACHINES - 1;
# MASTER is machine 0's name and a free port of it. Data and run folder are the same everywhere, as
# on a shared disk: machine 0 writes checkpoints, all read them when a run is resumed.
# Among the options, --kernels auto|fused|reference|OPERATION=CHOICE,... says which operations run fused,
# layers=compiled that torch.compile runs the layers (FAIRSEQ_METRO_KERNELS); fairseq-train does not see
# it, so no checkpoint keeps it.
# fairseq reaches several GPUs by itself. On a CPU it needs every rank told by options, or it runs N
# independent copies that overwrite one another; this script tells them.
set -euo pipefail
fail() { echo "launch.sh: $*" >&2; exit 2; }
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=train_scripts/kernels.sh
source "$root/train_scripts/kernels.sh"
(( $# >= 2 )) || { echo "usage: bash train_scripts/launch.sh N fairseq-train DATA [options]" >&2; exit 2; }
N=$1; shift
[[ $N =~ ^[1-9][0-9]*$ ]] || fail "N is '$N', must be a number of processes"

words=()
while (( $# )); do
  case $1 in
    --kernels) export FAIRSEQ_METRO_KERNELS=$2; shift ;;
    --kernels=*) export FAIRSEQ_METRO_KERNELS=${1#*=} ;;
    *) words+=("$1") ;;
  esac
  shift
done
set -- "${words[@]}"
(( $# )) || fail "no command after $N and --kernels"

# Which machine of how many this is, in torchrun's words.
MACHINES=${MACHINES:-1}
[[ $MACHINES =~ ^[1-9][0-9]*$ ]] || fail "MACHINES is '$MACHINES', must be a number of machines"
where=(--standalone)
if (( MACHINES > 1 )); then
  [[ ${MACHINE:-} =~ ^[0-9]+$ ]] && (( MACHINE < MACHINES )) || fail "MACHINE is '${MACHINE:-}', must be this machine's number, 0 to $(( MACHINES - 1 ))"
  [[ ${MASTER:-} =~ ^[^:]+:[0-9]+$ ]] || fail "MASTER is '${MASTER:-}', must be machine 0's name and a free port of it, host:port"
  where=(--nnodes "$MACHINES" --node-rank "$MACHINE" --master-addr "${MASTER%:*}" --master-port "${MASTER##*:}")
fi

# The environment that quickstart.sh and tests/run.sh make is used where none is active.
command -v "$1" >/dev/null || PATH=$root/.venv/bin:$PATH
command -v "$1" >/dev/null || fail "$1 is not on the PATH, nor in .venv; run train_scripts/quickstart.sh once"

# Two OpenMP threads on busy cores can be 25 times slower than one.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}

if command -v nvidia-smi >/dev/null && nvidia-smi -L >/dev/null 2>&1; then
  (( MACHINES > 1 )) || exec "$@" --distributed-world-size "$N"
  ranked='exec "$@" --device-id "$LOCAL_RANK"'
elif (( N == 1 && MACHINES == 1 )); then
  exec "$@" --cpu --distributed-world-size 1
else
  ranked='exec "$@" --cpu --distributed-backend gloo --ddp-backend legacy_ddp'
fi
exec torchrun "${where[@]}" --nproc-per-node "$N" --no-python --max-restarts 0 bash -c "$ranked"' \
    --distributed-world-size "$WORLD_SIZE" --distributed-rank "$RANK" \
    --distributed-init-method env:// --distributed-no-spawn' bash "$@"
