#!/usr/bin/env bash
# Everything that needs a GPU, in under 9 minutes: tests of the kernels, then the measurements.
#   bash benchmarks/gpu_all.sh [OUT]        results (default: benchmarks/results/gpu) as they come
#   PYTHON=python3                          a Python with torch for CUDA (2.11 or newer), Triton, pytest
#   WHEELS=DIR                              wheels of what it lacks (fairseq-fixed and what fairseq needs),
#                                           installed for this run alone, without a network
# Each part has its own limit and its own log, OUT/NAME.log; OUT/summary.txt has a line for each: its
# status (0: well, 124: cut off) and its seconds. A part that fails stops no other. Status 1 if any did.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
OUT=${1:-benchmarks/results/gpu}
PYTHON=${PYTHON:-python3}
mkdir -p "$OUT" || exit 1
: > "$OUT/summary.txt"
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-4} PYTHONUNBUFFERED=1 MPLBACKEND=Agg
unset TRITON_INTERPRET
failed=0

if [ -n "${WHEELS:-}" ]; then
    site=$(mktemp -d)
    trap 'rm -rf "$site"' EXIT
    "$PYTHON" -m pip install -q --no-index --no-deps --no-compile --target "$site" "$WHEELS"/*.whl || exit 1
    export PYTHONPATH=$site
fi
if ! "$PYTHON" -c 'import torch, sys; sys.exit(not torch.cuda.is_available())'; then
    echo "error: $PYTHON sees no GPU; name one that does: PYTHON=/path/to/python3" >&2
    exit 1
fi
{ nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader
  "$PYTHON" -c 'import torch, triton; print("torch", torch.__version__, "triton", triton.__version__)'
  git rev-parse HEAD 2>/dev/null; } | tee "$OUT/machine.txt"

# part NAME SECONDS COMMAND...
part() {
    local name=$1 limit=$2 began=$SECONDS status
    shift 2
    timeout --signal=INT --kill-after=5 "$limit" "$@" > "$OUT/$name.log" 2>&1
    status=$?
    [ "$status" -eq 0 ] || failed=1
    printf '%-24s status %3d  %4d s\n' "$name" "$status" $((SECONDS - began)) | tee -a "$OUT/summary.txt"
}
tests() { part "$1" "$2" "$PYTHON" -m pytest -q -p no:cacheprovider --override-ini=timeout=0 "${@:3}"; }

export FAIRSEQ_METRO_KERNELS=fused
tests attention_numbers 100 tests/kernels/attention_numbers.py
tests attention_dropout 15 tests/kernels/attention_dropout.py
tests attention_model 60 tests/kernels/attention_model.py
for name in residual_norm head_loss model; do
    tests "${name}_cases" 40 "tests/kernels/${name}_cases.py"
done
unset FAIRSEQ_METRO_KERNELS
part kernels 110 "$PYTHON" benchmarks/kernels.py --seconds 90 --out "$OUT/kernels.jsonl"
if [ -f benchmarks/pretrain_throughput.py ]; then
    part pretrain_throughput 130 "$PYTHON" benchmarks/pretrain_throughput.py \
        --arch base --batch 64 --json "$OUT/pretrain_throughput.json"
fi
exit "$failed"
