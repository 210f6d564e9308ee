# Starts pretraining from the one table of sizes, rates and batches (METRO-T0, Table 5),
# fairseq_metro/planning/pretraining.yaml. Sourced by the pretrain_*.sh, which have set
# -euo pipefail, stand in the clone, and have set DATA, ARCH, PROCESSES and SAVE.

# The environment that quickstart.sh and tests/run.sh make is used where none is active.
command -v fairseq-train >/dev/null || PATH=$PWD/.venv/bin:$PATH
command -v python >/dev/null || { echo "${0##*/}: there is no python on the PATH, nor in .venv; run train_scripts/quickstart.sh once" >&2; exit 2; }
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}

# recipe_of OPTIONS...: the last --recipe among fairseq-train's options decides the rates too.
recipe_of() {
  local recipe=paper
  while (( $# )); do
    case $1 in --recipe) recipe=${2:-} ;; --recipe=*) recipe=${1#*=} ;; esac
    shift
  done
  echo "$recipe"
}

# pretrain OBJECTIVE OPTIONS...: prints the command, keeps it beside the checkpoints and runs it.
pretrain() {
  local words cmd row=(--objective "$1" --size "$ARCH" --processes "$PROCESSES"
    --machines "${MACHINES:-1}" --tokens-per-process "${TOKENS:-}")
  shift
  row+=(--recipe "$(recipe_of "$@")" --data "$DATA")
  words=$(python -m fairseq_metro.planning.options "${row[@]}" --save-dir "$SAVE") || exit 2
  mapfile -t words <<< "$words"
  cmd=(bash train_scripts/launch.sh "$PROCESSES" fairseq-train "$DATA" --user-dir fairseq_metro "${words[@]}" "$@")
  mkdir -p "$SAVE"
  { printf '%q ' "${cmd[@]}"; echo; } | tee "$SAVE/command.txt"
  exec "${cmd[@]}"
}
