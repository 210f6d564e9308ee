#!/usr/bin/env bash
# Everything that needs a GPU, in under 9 minutes: tests of the kernels, then the measurements.
#   bash benchmarks/gpu_all.sh [OUT]        results (default: benchmarks/results/gpu) as they come
#   PYTHON=python3                          a Python with torch for CUDA (2.11 or newer), Triton, pytest
#   WHEELS=DIR                              wheels of what it lacks, installed for this run alone, without
#                                           a network; for a Python 3.12, made where there is one:
#       pip download --no-deps --only-binary=:all: --python-version 3.12 --platform manylinux_2_28_x86_64 \
#           --platform manylinux2014_x86_64 -d DIR fairseq-fixed==0.12.3.1 hydra-core==1.3.2 omegaconf==2.3.0 bitarray
#       pip wheel --no-deps -w DIR antlr4-python3-runtime==4.9.3
# What the machine lacks is said in one line, status 2. Each part has its own limit and its own log,
# OUT/NAME.log; OUT/summary.txt has a line for each as it ends: its status (0: well, 124 or 137: cut off)
# and its seconds. A part that fails stops no other. Status 1 if any did. The tests run side by side (most
# of their time is compiling, on a core each), the measurements alone and one after the other.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
OUT=${1:-benchmarks/results/gpu}
PYTHON=${PYTHON:-python3}
refuse() { echo "error: $*" >&2; exit 2; }
command -v "$PYTHON" >/dev/null || refuse "there is no $PYTHON; name one with torch for CUDA: PYTHON=/path/to/python3"
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-4} PYTHONUNBUFFERED=1 MPLBACKEND=Agg
unset TRITON_INTERPRET FAIRSEQ_METRO_KERNELS

if [ -n "${WHEELS:-}" ]; then
    site=$(mktemp -d)
    trap 'rm -rf "$site"' EXIT
    "$PYTHON" -m pip install -q --no-index --no-deps --no-compile --target "$site" "$WHEELS"/*.whl ||
        refuse "the wheels of WHEELS=$WHEELS cannot be installed by $PYTHON -m pip"
    export PYTHONPATH=$site
fi
# What it says is standard output's; packages log on the other stream whatever they like.
said=$(mktemp)
lacks=$("$PYTHON" -W ignore - 2>"$said" <<'PY'
import importlib.util
needed = "torch triton numpy pytest hypothesis fairseq omegaconf hydra antlr4 sacrebleu bitarray regex tqdm yaml"
needed += " packaging sklearn scipy jinja2"
missing = [name for name in needed.split() if importlib.util.find_spec(name) is None]
if missing:
    print("it lacks " + ", ".join(missing) + " (WHEELS=DIR of wheels is installed for this run)")
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

# part NAME SECONDS COMMAND...
part() {
    local name=$1 limit=$2 began=$SECONDS status
    shift 2
    timeout --signal=INT --kill-after=5 "$limit" "$@" > "$OUT/$name.log" 2>&1
    status=$?
    printf '%-24s status %3d  %4d s\n' "$name" "$status" $((SECONDS - began)) | tee -a "$OUT/summary.txt"
}
# tests NAME FILE [PYTEST'S WORDS]: in the background, 150 s at most.
tests() {
    local name=$1 file=$2
    shift 2
    FAIRSEQ_METRO_KERNELS=fused part "$name" 150 "$PYTHON" -m pytest -v -p no:cacheprovider \
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
part others 150 "$PYTHON" -m pytest -v -p no:cacheprovider --override-ini=timeout=0 \
    tests/criterions/test_gpu.py tests/scoring/test_gpu.py tests/optim/test_fused_adam.py \
    tests/trainer/test_workarounds.py tests/tasks/test_trainer_modes.py tests/modules/test_compiled.py \
    -k "(gpu or cuda) and not hydra and not refuse" &
wait
part pretrain_throughput 115 "$PYTHON" benchmarks/pretrain_throughput.py \
    --arch base --batch 64 --seconds 35 --json "$OUT/pretrain_throughput.jsonl"
# Apart, since torch.compile takes a minute before the first step.
part compiled_layers 110 "$PYTHON" benchmarks/pretrain_throughput.py --variants ours-fused ours-compiled \
    --arch base --batch 64 --seconds 20 --json "$OUT/pretrain_throughput.jsonl"
part kernels 110 "$PYTHON" benchmarks/kernels.py --seconds 80 --out "$OUT/kernels.jsonl"
! grep -qv 'status   0' "$OUT/summary.txt"
