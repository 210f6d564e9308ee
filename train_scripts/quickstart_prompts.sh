#!/usr/bin/env bash
# From a pretrained model to one that follows prompts: task data, prompted pairs, fine-tuning, and
# accuracy before and after, on tasks that it was trained on and on tasks that it never saw.
#   bash train_scripts/quickstart_prompts.sh        the quickstart's model (made if missing), tasks
#                                                   derived from the text that is already installed
#   INIT=runs/mine RUN=runs/mine_prompts bash train_scripts/quickstart_prompts.sh
#                                                   any run of METRO-T5 or T5
#   TASKS=/path/to/tasks RUN=runs/real bash train_scripts/quickstart_prompts.sh
#                                                   real sets: SST-2, TREC, CoLA, DREAM, Subj; held out
#                                                   RTE, CB, CR. Their templates are promptsource's:
#                                                   pip install --no-deps --ignore-requires-python promptsource==0.2.3
#                                                   or TEMPLATES=DIR, a folder of them
#   SEED=2 RUN=runs/prompts2 UPDATES=9000 LR=0.001 MIXTURE=mine.yaml       other numbers, another mixture
# Interrupted at any point it goes on from there: type the same command again.
set -euo pipefail
here=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# The whole recipe. It fits two CPU cores and six minutes; the paper's is METRO-T0's Table 6.
UPDATES=${UPDATES:-6000}
BATCH=4096                          # source tokens in an update, at most, over all processes
WARMUP=$(( UPDATES * 6 / 100 ))     # then linearly to 0
LR=${LR:-0.0015}
EVERY=$(( UPDATES / 2 ))            # updates from one validation and checkpoint to the next
ROWS=400                            # of a data set for validation, under each of its templates

SEED=${SEED:-1}
SCRIPT=quickstart_prompts STAGES=4
# shellcheck source=train_scripts/stages.sh
source train_scripts/stages.sh
trained=fine-tuning
find_run quickstart_prompts

whole_number SEED "$SEED" 0 ", such as SEED=1"
whole_number UPDATES "$UPDATES" 2 " of at least 2"
[[ $LR =~ ^[0-9]*\.?[0-9]+(e-?[0-9]+)?$ ]] || fail "LR=$LR must be a number, such as LR=0.001"
choose_processes "$BATCH tokens"

# absolute NAME VALUE: prints the path VALUE, as typed in the folder the command was started in.
absolute() {
    (cd "$here" && realpath -e -- "$2" 2>/dev/null) || fail "$1=$2: no such file or folder"
}
MIXTURE=${MIXTURE:-$([ -n "${TASKS:-}" ] && echo real-small || echo quickstart)}
case $MIXTURE in *.yaml) MIXTURE=$(absolute MIXTURE "$MIXTURE") ;; esac
[ -z "${TASKS:-}" ] || TASKS=$(absolute TASKS "$TASKS")
[ -z "${TEMPLATES:-}" ] || TEMPLATES=$(absolute TEMPLATES "$TEMPLATES")
INIT=${INIT:-${CHECKPOINT:-}}       # its former name
[ -z "$INIT" ] || INIT=$(absolute INIT "$INIT")

# shellcheck source=train_scripts/environment.sh
source train_scripts/environment.sh
# What hydra and torch say about fairseq's own code at every start is no concern of this run's.
export PYTHONWARNINGS=${PYTHONWARNINGS:-ignore::FutureWarning,ignore::UserWarning}

# Without a model of the user's: the quickstart's, pretrained first where it is missing.
if [ -z "$INIT" ]; then
    INIT=$PWD/runs/quickstart
    if [ ! -e runs/quickstart/.done/pretraining ]; then
        say "first a model: bash train_scripts/quickstart.sh"
        env -u RUN -u SEED -u UPDATES -u TEXT bash train_scripts/quickstart.sh
    fi
fi
{ read -r MODEL; read -r ARCH; } < <(python -m fairseq_metro.prepare.starting_model "$INIT" || true)
[ -n "${ARCH:-}" ] || exit 1        # it has said why
after_pretraining=$SECONDS

train_command() {                  # sets cmd: the fine-tuning of run folder $1
    local run=$1
    cmd=(bash train_scripts/launch.sh "$PROCESSES" fairseq-train "$run/data" --user-dir fairseq_metro
        --task prompt_finetuning --arch "$ARCH" --criterion prompt_finetuning --dropout 0 --attention-dropout 0
        --init-from "$MODEL" --seed "$SEED"
        --max-tokens $(( BATCH / PROCESSES )) --max-tokens-valid 16384 --valid-subset valid,heldout
        --optimizer fused_adam --adam-betas '(0.9, 0.98)' --adam-eps 1e-6 --weight-decay 0.01 --clip-norm 2.0
        --lr "$LR" --lr-scheduler polynomial_decay --warmup-updates "$WARMUP"
        --total-num-update "$UPDATES" --max-update "$UPDATES"
        --num-workers 0
        --save-dir "$run/checkpoints" --save-interval-updates "$EVERY" --keep-interval-updates 1
        --no-epoch-checkpoints --save-interval 1000000       # by updates, not by epochs
        --validate-interval-updates "$EVERY" --validate-interval 1000000
        --log-format json --log-interval 20 --tensorboard-logdir "$run/tensorboard")
}

# What the run is made of. How many processes share an update makes no difference.
settings() {
    echo "TASKS=${TASKS:-default corpus}, MIXTURE=$MIXTURE, TEMPLATES=${TEMPLATES:-installed}"
    echo "INIT=$INIT, sha256 $(sha256sum "$MODEL/checkpoint_last.pt" | cut -c1-16)"
    echo "SEED=$SEED"
    echo "RECIPE=$UPDATES updates, LR=$LR"
    echo "ROWS=$ROWS"
    local SEED=any PROCESSES=1 cmd
    train_command .
    option_lines '' "${cmd[@]}"
}
claim_run

make_tasks() {
    if [ -n "${TASKS:-}" ]; then say "$TASKS, as it is"; return; fi
    python -m fairseq_metro docstring-tasks --out "$RUN/tasks"
}
make_data() {
    local templates=()
    [ -z "${TEMPLATES:-}" ] || templates=(--templates "$TEMPLATES")
    python -m fairseq_metro prompts --mixture "$MIXTURE" --tasks "${TASKS:-$RUN/tasks}" "${templates[@]}" \
        --vocab "$MODEL/vocab" --dest "$RUN/data" --split train valid heldout --valid-rows "$ROWS" --evaluation-overlap drop
}
finetune() {
    train_command "$RUN"
    train
}

stage 1 tasks make_tasks
stage 2 data make_data
stage 3 fine-tuning finetune
say "$STAGES/$STAGES summary"
at_work=summary
python -m fairseq_metro.analysis.prompt_summary "$RUN"
at_work=''
say "finished: $RUN, $((SECONDS - after_pretraining)) s after the model; look at $RUN/bars.png"
