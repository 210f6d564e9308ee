#!/usr/bin/env bash
# Reproduce a table or figure of the papers: what would run, the runs, a table, a plot, a verdict.
#   bash train_scripts/reproduce.sh                    the tables and figures
#   TEXT=text TASKS=tasks bash train_scripts/reproduce.sh metro_table2
#   PLAN=1 SCALE=paper bash train_scripts/reproduce.sh smash_table2
#   SCALE=cpu      (default) two cores, TEXT and TASKS; SCALE=gpu1: hours on one GPU (metro_table2);
#                  SCALE=paper: the original, with DATA, TASKS and many GPUs
#   TEXT, TASKS    folders of text files and of task files; TEMPLATES= another promptsource folder
#   SEEDS="1 2"    these alone; PROCESSES=2: of pretraining, or GPUs
#   WORK, OUT      for runs (default runs/reproduction/SCALE), the file of results (default results.jsonl
#                  there); OUT=benchmarks/results/reproduction.jsonl goes on with what this project found
#   PLAN=1         or --dry-run: says what would be run, tokens, disk and time, and starts nothing
# Interrupted it goes on from there: type the same command again. Options at the end are those of
# fairseq-metro reproduce; --rehearse 40 with SCALE=paper runs the original's commands with tiny models.
# SCALE=paper reads more variables, each named by PLAN=1 where it is needed: DATA and DATA_PP, PASSAGES,
# TEMPLATES; of SMASH MODELS, T5_MODELS, TEXT, RAW_TEXT, AUGMENTED, LMBFF.

set -euo pipefail

# absolute WORDS SEPARATOR: paths of the folder the command was started in, made absolute.
absolute() {
    local word out=() words
    IFS=$2 read -ra words <<< "$1"
    for word in "${words[@]}"; do
        case $word in /* | '') out+=("$word") ;; *) out+=("$here/$word") ;; esac
    done
    (IFS=$2; printf '%s' "${out[*]}")
}

here=$PWD words=()
cd "$(dirname "${BASH_SOURCE[0]}")/.."
command -v fairseq-train >/dev/null || PATH=$PWD/.venv/bin:$PATH
command -v python >/dev/null || { echo "error: no python on the PATH, nor in .venv; run train_scripts/quickstart.sh once" >&2; exit 2; }
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
export PYTHONWARNINGS=${PYTHONWARNINGS:-ignore::FutureWarning,ignore::UserWarning}
if [ "${SCALE:-cpu}" = paper ]; then
    for name in DATA DATA_PP PASSAGES MODELS T5_MODELS RAW_TEXT AUGMENTED LMBFF; do
        [ -z "${!name:-}" ] || export "$name=$(absolute "${!name}" :)"
    done
    [ -z "${TEXT:-}" ] || export "TEXT=$(absolute "$TEXT" ' ')"   # files and patterns
elif [ -n "${TEXT:-}" ]; then
    words+=(--text "$(absolute "$TEXT" '|')")
fi
for name in TASKS TEMPLATES WORK OUT; do
    [ -z "${!name:-}" ] || words+=("--${name,,}" "$(absolute "${!name}" '|')")
done
[ -z "${PROCESSES:-}" ] || words+=(--processes "$PROCESSES")
# shellcheck disable=SC2206  # several numbers
[ -z "${SEEDS:-}" ] || words+=(--seeds $SEEDS)
[ "${PLAN:-0}" = 0 ] || words+=(--plan)
if [ $# -eq 0 ]; then exec python -m fairseq_metro reproduce --help; fi
exec python -m fairseq_metro reproduce "$@" --scale "${SCALE:-cpu}" "${words[@]}"
