#!/usr/bin/env bash
# A model's scores on suites of prompted tasks, by one command.
#   bash eval/run.sh CHECKPOINT                              the quickstarts' demonstration tasks, made where missing
#   TASKS=/path/to/tasks bash eval/run.sh CHECKPOINT         T0 Eval: every set of it whose files are there
#   TASKS=... SUITE=mmlu bash eval/run.sh CHECKPOINT         t0_eval, mmlu, mmlu_five, flan, quickstart, or a YAML file
#   HUB=1 bash eval/run.sh CHECKPOINT                        T0 Eval from Hugging Face's hub
#   OUT=results/mine bash eval/run.sh CHECKPOINT --limit 50  another folder, any option of fairseq-metro evaluate
#   bash eval/run.sh --compare OUT1 OUT2                     two evaluations side by side
# CHECKPOINT: a run's folder (or one with checkpoints/ in it), one of its files, or a Hugging Face
# folder. GPUS=N: processes, one GPU each (default: all); PROCESSES=N on a CPU (default 1).
# Interrupted at any point it goes on from there: type the same command again.
set -euo pipefail
here=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }
absolute() { (cd "$here" && realpath -e -- "$1" 2>/dev/null) || fail "$2: no such file or folder"; }

# The environment that quickstart.sh and tests/run.sh make is used where none is active.
command -v fairseq-train >/dev/null || PATH=$PWD/.venv/bin:$PATH
command -v fairseq-train >/dev/null || fail "fairseq is not installed; run train_scripts/quickstart.sh once, or pip install -e ."
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
export PYTHONWARNINGS=${PYTHONWARNINGS:-ignore::FutureWarning,ignore::UserWarning}
evaluate=(-m fairseq_metro evaluate)

if [[ ${1:-} == --compare || ${1:-} == --help || ${1:-} == -h ]]; then
    root=$PWD; cd "$here"
    PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH} exec python "${evaluate[@]}" "$@"
fi
[[ $# -ge 1 && $1 != -* ]] || fail "usage: bash eval/run.sh CHECKPOINT [options]; CHECKPOINT is a run's folder or file"
CHECKPOINT=$(absolute "$1" "$1"); shift

SUITE=${SUITE:-$([ -n "${TASKS:-}${HUB:-}" ] && echo t0_eval || echo quickstart)}
case $SUITE in *.yaml | *.yml) SUITE=$(absolute "$SUITE" "SUITE=$SUITE") ;; esac
words=(--suite "$SUITE")
if [ -n "${TASKS:-}" ]; then
    words+=(--tasks "$(absolute "$TASKS" "TASKS=$TASKS")")
elif [ -z "${HUB:-}" ]; then
    TASKS=$CHECKPOINT/tasks                      # where quickstart_prompts.sh left them
    if [ ! -e "$TASKS/docstring_tasks.json" ]; then
        TASKS=$PWD/runs/demonstration_tasks      # the same for all models: they depend on no vocabulary
        python -m fairseq_metro docstring-tasks --out "$TASKS"
    fi
    words+=(--tasks "$TASKS")
fi
[ -z "${HUB:-}" ] || words+=(--hub)
if [ -n "${OUT:-}" ]; then case $OUT in /*) ;; *) OUT=$here/$OUT ;; esac; words+=(--out "$OUT"); fi
# Files that options name are meant as of the folder the command was started in.
for word in "$@"; do
    if [[ $word != /* && $word == *.* && -e $here/$word ]]; then word=$here/$word; fi
    words+=("$word")
done

processes=${PROCESSES:-1}
if nvidia-smi -L >/dev/null 2>&1; then processes=${GPUS:-$(nvidia-smi -L | grep -c '^GPU ')}; fi
[[ $processes =~ ^[1-9][0-9]*$ ]] || fail "PROCESSES and GPUS are numbers, not '$processes'"
if (( processes == 1 )); then exec python "${evaluate[@]}" "$CHECKPOINT" "${words[@]}"; fi
export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH}
exec torchrun --standalone --nproc-per-node "$processes" --max-restarts 0 "${evaluate[@]}" "$CHECKPOINT" "${words[@]}"
