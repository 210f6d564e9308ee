#!/usr/bin/env bash
# Everything that needs a GPU: tests of the kernels, then the measurements.
#   bash benchmarks/gpu_all.sh [OUT]        results (default: benchmarks/results/gpu) as they come
#   PYTHON=python3                          a Python with torch for CUDA (2.11 or newer), Triton, pytest
#   LIMIT=1800                              seconds after which a part that hangs is ended
#   SECONDS_A_VARIANT=60                    of measurement; more give narrower intervals
# What the machine lacks is said in one line, status 2. Each part has its own log, OUT/NAME.log;
# OUT/summary.txt has a line for each as it ends: its status (0: well, 124 or 137: cut off) and its seconds.
# A part that fails stops no other. Status 1 if any did. The tests run side by side (most of their time is
# compiling, on a core each), the measurements alone and one after the other.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
OUT=${1:-benchmarks/results/gpu}
LIMIT=${LIMIT:-1800} SECONDS_A_VARIANT=${SECONDS_A_VARIANT:-60}
PYTHON=${PYTHON:-python3}
refuse() { echo "error: $*" >&2; exit 2; }
command -v "$PYTHON" >/dev/null || refuse "there is no $PYTHON; name one with torch for CUDA: PYTHON=/path/to/python3"
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-4} PYTHONUNBUFFERED=1 MPLBACKEND=Agg
unset TRITON_INTERPRET FAIRSEQ_METRO_KERNELS

# What it says is standard output's; packages log on the other stream whatever they like.
said=$(mktemp)
lacks=$("$PYTHON" -W ignore - 2>"$said" <<'PY'
import importlib.util
needed = "torch triton numpy pytest hypothesis fairseq omegaconf hydra antlr4 sacrebleu bitarray regex tqdm yaml"
needed += " packaging sklearn scipy jinja2"
missing = [name for name in needed.split() if importlib.util.find_spec(name) is None]
if missing:
    print("it lacks " + ", ".join(missing))
else:
    import torch
    if not torch.cuda.is_available():
        print(f"torch {torch.__version__} sees no GPU")
    elif torch.cuda.get_device_capability() < (8, 0):
        print(f"{torch.cuda.get_device_name()} is older than the kernels are for (compute capability 8.0)")
    else:  # what is there may still not fit together
        try:
            import fairseq_metro.kernels.attention_ahead
            import tests.training
        except Exception as error:
            print(f"{type(error).__name__}: {error}".splitlines()[0])
PY
) || lacks=${lacks:-$(tail -n 1 "$said")}
rm -f "$said"
[ -z "$lacks" ] || refuse "$PYTHON: $lacks; name another with PYTHON=/path/to/python3"

mkdir -p "$OUT" || refuse "$OUT cannot be made"
: > "$OUT/summary.txt"
{ nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader
  "$PYTHON" -c 'import torch, triton; print("torch", torch.__version__, "triton", triton.__version__)'
  git rev-parse HEAD 2>/dev/null; } | tee "$OUT/machine.txt"

# part NAME COMMAND...
part() {
    local name=$1 began=$SECONDS status
    shift
    timeout --signal=INT --kill-after=5 "$LIMIT" "$@" > "$OUT/$name.log" 2>&1
    status=$?
    printf '%-24s status %3d  %4d s\n' "$name" "$status" $((SECONDS - began)) | tee -a "$OUT/summary.txt"
}
# tests NAME FILE [PYTEST'S WORDS]: in the background.
tests() {
    local name=$1 file=$2
    shift 2
    FAIRSEQ_METRO_KERNELS=fused part "$name" "$PYTHON" -m pytest -v -p no:cacheprovider \
        --override-ini=timeout=0 "tests/kernels/$file" "$@" &
}

tests attention_gradients attention_numbers.py -k "equal_float64s"
tests attention_halves attention_numbers.py -k "half_precision or lengths_of_training"
tests attention_shapes attention_numbers.py -k "any_shape"
tests attention_rest attention_numbers.py \
    -k "not (equal_float64s or half_precision or lengths_of_training or any_shape)"
tests attention_dropout attention_dropout.py
tests attention_model attention_model.py
for name in residual_norm head_loss model; do
    tests "$name" "${name}_cases.py"
done
# By the default choice of kernels: what waits for the device, optimizer, scores, precisions.
part others "$PYTHON" -m pytest -v -p no:cacheprovider --override-ini=timeout=0 \
    tests/criterions/test_gpu.py tests/scoring/test_gpu.py tests/optim/test_fused_adam.py \
    tests/trainer/test_workarounds.py tests/tasks/test_trainer_modes.py tests/modules/test_compiled.py \
    -k "(gpu or cuda) and not hydra and not refuse" &
wait
part pretrain_throughput "$PYTHON" benchmarks/pretrain_throughput.py \
    --arch base --batch 64 --seconds "$SECONDS_A_VARIANT" --json "$OUT/pretrain_throughput.jsonl"
# Apart, since torch.compile takes a minute before the first step.
part compiled_layers "$PYTHON" benchmarks/pretrain_throughput.py --variants ours-fused ours-compiled \
    --arch base --batch 64 --seconds "$SECONDS_A_VARIANT" --json "$OUT/pretrain_throughput.jsonl"
part kernels "$PYTHON" benchmarks/kernels.py --out "$OUT/kernels.jsonl"
! grep -qv 'status   0' "$OUT/summary.txt"
