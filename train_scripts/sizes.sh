# Starts pretraining from the one table of sizes, rates and batches (METRO-T0, Table 5),
# fairseq_metro/recipes/pretraining.yaml. Sourced by the pretrain_*.sh, which have set
# -euo pipefail, stand in the clone, and have set DATA, ARCH, PROCESSES and SAVE.
# shellcheck source=train_scripts/kernels.sh
source train_scripts/kernels.sh

# The environment that quickstart.sh and tests/run.sh make is used where none is active.
command -v fairseq-train >/dev/null || PATH=$PWD/.venv/bin:$PATH
command -v python >/dev/null || { echo "${0##*/}: there is no python on the PATH, nor in .venv; run train_scripts/quickstart.sh once" >&2; exit 2; }
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}

refuse() { echo "error: $*" >&2; exit 2; }

# step COMMAND...: prints it and runs it; with PLAN prints it alone.
step() {
  printf '%q ' "$@"; echo
  [[ ${PLAN:-0} != 0 ]] || "$@" || exit 2
}

# recipe_of OPTIONS...: the last --recipe among fairseq-train's options decides the rates too.
recipe_of() {
  local recipe=paper
  while (( $# )); do
    case $1 in --recipe) recipe=${2:-} ;; --recipe=*) recipe=${1#*=} ;; esac
    shift
  done
  echo "$recipe"
}

# gpu_mib: memory of this machine's smallest GPU; nothing where there is none.
gpu_mib() {
  command -v nvidia-smi >/dev/null || return 0
  nvidia-smi --query-gpu=memory.total --format=csv,noheader,nounits 2>/dev/null | grep -E '^[0-9]+$' | sort -n | head -n 1 || true
}

# keep FILE: copies its input to its output and to the end of FILE, until all who write are gone: no
# signal that ends them ends it, so that their last words are kept.
keep() {
  trap '' INT TERM HUP PIPE
  exec tee -a "$1"
}

# start WORDS...: prints the command of fairseq-train, keeps it beside the checkpoints and becomes it. Its
# output goes on as it is and into train.log, which fairseq-metro summary and health read.
start() {
  local cmd=(bash train_scripts/launch.sh "$PROCESSES" fairseq-train "$DATA" --user-dir fairseq_metro "$@")
  mkdir -p "$SAVE"
  { printf '%q ' "${cmd[@]}"; echo; } | tee "$SAVE/command.txt"
  # Of several machines, which share the folder, the first alone logs the losses.
  if [[ ${MACHINES:-1} != 1 && ${MACHINE:-} != 0 ]]; then exec "${cmd[@]}"; fi
  exec "${cmd[@]}" > >(keep "$SAVE/train.log") 2> >(keep "$SAVE/train.log" >&2)
}

# pretrain OBJECTIVE OPTIONS...: starts it by the table's words.
# PLAN=1, or --plan among the options, prints what it would cost instead.
pretrain() {
  local words mib row=(--objective "$1" --size "$ARCH" --processes "$PROCESSES"
    --machines "${MACHINES:-1}" --tokens-per-process "${TOKENS:-}")
  shift
  local options=() kernels=()       # launch.sh takes --kernels: fairseq-train has no such option
  while (( $# )); do
    case $1 in
      --plan) PLAN=1 ;;
      --kernels) kernels=("${@:1:2}"); shift $(( $# > 1 )) ;;
      --kernels=*) kernels=("$1") ;;
      *) options+=("$1") ;;
    esac
    shift
  done
  row+=(--recipe "$(recipe_of "${options[@]}")" --data "$DATA")
  mib=$(gpu_mib)
  if [[ ${PLAN:-0} != 0 ]]; then
    row+=(--mfu "${MFU:-0.3}")
    if [[ -n ${GPU:-} ]]; then row+=(--gpu "$GPU")
    elif [[ -n $mib ]]; then row+=(--gpu-mib "$mib"); fi
    exec python -m fairseq_metro plan "${row[@]}" -- "${options[@]}"
  fi
  [[ -z $mib ]] || row+=(--gpu-mib "$mib")
  words=$(python -m fairseq_metro.recipes.options "${row[@]}" --save-dir "$SAVE" -- "${options[@]}") || exit 2
  mapfile -t words <<< "$words"
  start "${words[@]}" "${options[@]}" "${kernels[@]}"
}
