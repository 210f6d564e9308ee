#!/usr/bin/env bash
# SMASH from nothing: a teacher and a smaller student by masked LM, the student distilled on prompts,
# and few-shot accuracy of the student before and after, and of the teacher.
#   bash train_scripts/quickstart_smash.sh              English text that is already installed, and
#                                                       tasks derived from it
#   TEXT="a.txt b.txt.gz" RUN=runs/mine bash train_scripts/quickstart_smash.sh   your own text, and tasks
#                                                       derived from it; blank line = new document
#   TASK="topic order adjacent" RUN=runs/more bash train_scripts/quickstart_smash.sh   other derived
#                                                       tasks: topic, opening, order, adjacent (of pairs)
#   TASKS=/path/to/tasks RUN=runs/real bash train_scripts/quickstart_smash.sh    real sets, as published
#                                                       or as LM-BFF has them: SST-2, CR, Subj, RTE;
#                                                       TASK="sst2 trec mine.yaml": others
#   SEED=2 RUN=runs/smash2 UPDATES=6000 DISTILLATION=4000 bash train_scripts/quickstart_smash.sh
#                                                       longer: updates of masked LM, of distillation
# Interrupted at any point it goes on from there: type the same command again.
set -euo pipefail
here=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# The whole recipe. It fits two CPU cores and five minutes; the paper's is in train_scripts/smash_pair.sh.
VOCABULARY=2000                     # SentencePiece pieces, of lower-cased text
BLOCK=128                           # tokens in a block
BATCH=8                             # blocks in an update, over all processes
UPDATES=${UPDATES:-2400}            # of the teacher; of the student a quarter, so that it has more to learn
LR=0.0015
TEACHER="--arch roberta_mlm_tiny --embed-dim 128 --ffn-dim 512 --attention-heads 4"
STUDENT="--arch roberta_mlm_tiny"   # 64 wide, 2 layers
LENGTH=64                           # tokens of a prompt, at most
PROMPTS=12000                       # of each group, as far as the text gives them
DISTILLATION=${DISTILLATION:-1000}  # updates, for each group
PROMPT_BATCH=32                     # prompts in one of them, over all processes
DISTILLATION_LR=0.001
FEWSHOT="--k 32 --seeds 13 21 42 --lr 1e-3 3e-3 --batch 8 --steps 120 --every 30 --test-rows 400"

SEED=${SEED:-1}
SCRIPT=quickstart_smash STAGES=9
# shellcheck source=train_scripts/stages.sh
source train_scripts/stages.sh
find_run quickstart_smash

whole_number SEED "$SEED" 0 ", such as SEED=1"
whole_number UPDATES "$UPDATES" 80 " of at least 80"
whole_number DISTILLATION "$DISTILLATION" 20 " of at least 20"

# found NAME VALUE: prints the path VALUE, as typed in the folder the command was started in.
found() {
    (cd "$here" && realpath -e -- "$2" 2>/dev/null) || fail "$1: $2: no such file or folder"
}
find_texts
# TASK: names of few-shot tasks, and files of them.
[ -z "${TASKS:-}" ] || TASKS=$(found TASKS "$TASKS")
read -ra tasks <<< "${TASK:-$([ -n "${TASKS:-}" ] && echo sst2 cr subj rte || echo topic opening)}"
for i in "${!tasks[@]}"; do
    case ${TASKS:+real}${tasks[$i]} in
        real*.yaml) tasks[i]=$(found TASK "${tasks[$i]}") ;;
        real* | topic | opening | order | adjacent) ;;
        *) fail "TASK: ${tasks[$i]} is none of topic, opening, order, adjacent; for another give TASKS, the folder of its original files" ;;
    esac
done

choose_processes "$BATCH blocks"

# shellcheck source=train_scripts/environment.sh
source train_scripts/environment.sh
# What hydra and torch say about fairseq's own code at every start is no concern of this run's.
export PYTHONWARNINGS=${PYTHONWARNINGS:-ignore::FutureWarning,ignore::UserWarning}
after_environment=$SECONDS

common_options() {                 # sets common: options of every training of $1 updates
    local every=$(( $1 / 2 ))
    common=(--user-dir fairseq_metro --dropout 0 --attention-dropout 0 --max-positions "$BLOCK" --seed "$SEED" --num-workers 0
        --optimizer fused_adam --adam-betas '(0.9, 0.98)' --adam-eps 1e-6 --weight-decay 0.01 --clip-norm 2.0
        --lr-scheduler polynomial_decay --warmup-updates $(( $1 * 6 / 100 )) --total-num-update "$1" --max-update "$1"
        --save-interval-updates "$every" --keep-interval-updates 1 --no-epoch-checkpoints --save-interval 1000000
        --validate-interval-updates "$every" --validate-interval 1000000 --max-valid-steps 40
        --log-format json --log-interval 20)
}
# Both set cmd: masked LM of the model $1, teacher or student, and distillation of group $1, in run folder $2.
pretrain_command() {
    local sizes=$TEACHER updates=$UPDATES common
    [ "$1" = teacher ] || sizes=$STUDENT updates=$(( UPDATES / 4 ))
    common_options "$updates"
    # shellcheck disable=SC2206,SC2086  # sizes: several words
    cmd=(bash train_scripts/launch.sh "$PROCESSES" fairseq-train "$2/data" --task masked_lm_blocks --criterion masked_lm_blocks $sizes
        --mask-prob 0.2 --tokens-per-sample "$BLOCK" --batch-size $(( BATCH / PROCESSES )) --lr "$LR" "${common[@]}"
        --save-dir "$2/$1" --tensorboard-logdir "$2/tensorboard/$1")
}
distillation_command() {
    local common
    common_options "$DISTILLATION"
    # shellcheck disable=SC2206,SC2086
    cmd=(bash train_scripts/launch.sh "$PROCESSES" fairseq-train "$2/prompts/$1" --task prompt_distillation --criterion prompt_distillation $STUDENT
        --init-from "$2/student" --teacher-cache "$2/prompts/$1/cache" --batch-size $(( PROMPT_BATCH / PROCESSES )) --lr "$DISTILLATION_LR" "${common[@]}"
        --save-dir "$2/smash-$1" --tensorboard-logdir "$2/tensorboard/smash-$1")
}

# What the run is made of. How many processes share an update makes no difference.
settings() {
    text_settings
    echo "TASKS=${TASKS:-derived from the text}, TASK=${tasks[*]}"
    echo "SEED=$SEED"
    echo "RECIPE=$UPDATES and $DISTILLATION updates"
    printf '%s\n' "VOCABULARY=$VOCABULARY" "LENGTH=$LENGTH" "PROMPTS=$PROMPTS" "FEWSHOT=$FEWSHOT"
    local SEED=any PROCESSES=1 cmd
    pretrain_command teacher .; option_lines 'teacher ' "${cmd[@]}"
    pretrain_command student .; option_lines 'student ' "${cmd[@]}"
    distillation_command group .; option_lines 'distillation ' "${cmd[@]}"
}
claim_run

make_corpus() {
    rm -rf "$RUN/corpus"
    if [ ${#texts[@]} -eq 0 ]; then python -m fairseq_metro corpus --valid-share 0.1 --out "$RUN/corpus"
    else split_texts --most-valid-bytes 500000 --share 0.1; fi
}
# RUN/tasks/tasks.txt: a line for each few-shot task, its group and its name or file.
make_tasks() {
    rm -rf "$RUN/tasks"
    if [ -z "${TASKS:-}" ]; then
        python -m fairseq_metro corpus-tasks --corpus "$RUN/corpus" --out "$RUN/tasks" --max-length "$LENGTH"
        for i in "${!tasks[@]}"; do     # one that the text has too few rows for has been left out
            if [ -e "$RUN/tasks/${tasks[$i]}.yaml" ]; then tasks[i]=$RUN/tasks/${tasks[$i]}.yaml; else unset "tasks[$i]"; fi
        done
        [ ${#tasks[@]} -gt 0 ] || fail "the text gives none of the tasks; give more text, or another TASK="
    fi
    mkdir -p "$RUN/tasks"
    # Words of tasks and groups, which the vocabulary will have as one piece each.
    python -m fairseq_metro.smash.task_list "${tasks[@]}" --words "$RUN/tasks/words.txt" > "$RUN/tasks/tasks.txt"
}
groups() { cut -f 1 "$RUN/tasks/tasks.txt" | sort -u; }
tasks_of() { awk -F '\t' -v group="$1" '$1 == group { print $2 }' "$RUN/tasks/tasks.txt"; }

make_vocabulary() {
    rm -rf "$RUN/vocab"
    python -m fairseq_metro vocabulary --input "$RUN/corpus/train.txt" --out "$RUN/vocab" --vocab-size "$VOCABULARY" \
        --lowercase --require-words "$RUN/tasks/words.txt"
}
make_data() {
    python -m fairseq_metro binarize --vocab "$RUN/vocab" --train "$RUN/corpus/train.txt" --valid "$RUN/corpus/valid.txt" --dest "$RUN/data"
}
pretrain() {
    pretrain_command "$1" "$RUN"
    train "$RUN/$1"
}
# A prompt for every 300 bytes at most: no text has fewer sentences that fit.
make_prompts() {
    local group size
    size=$(( $(wc -c < "$RUN/corpus/train.txt") / 300 ))
    size=$(( (size < PROMPTS ? size : PROMPTS) / 3 * 3 ))
    for group in $(groups); do
        python -m fairseq_metro intermediate --group "$group" --input "$RUN/corpus/train.txt" --vocab "$RUN/vocab" \
            --dest "$RUN/prompts/$group" --size "$size" --max-length "$LENGTH" --held-out 0.03 --seed "$SEED"
        python -m fairseq_metro cache-teacher "$RUN/prompts/$group" --teacher "$RUN/teacher" --dest "$RUN/prompts/$group/cache"
    done
}
distil() {
    local group
    for group in $(groups); do
        distillation_command "$group" "$RUN"
        train "$RUN/smash-$group"
    done
}
fewshot() {
    local group of_group
    for group in $(groups); do
        mapfile -t of_group < <(tasks_of "$group")
        # shellcheck disable=SC2086  # FEWSHOT: several words
        python -m fairseq_metro fewshot --model "$RUN/student" "$RUN/smash-$group" "$RUN/teacher" --task "${of_group[@]}" --tasks "${TASKS:-$RUN/tasks}" \
            --rows majority zero-shot prompt $FEWSHOT --out "$RUN/fewshot/$group"
    done
}

stage 1 corpus make_corpus
stage 2 tasks make_tasks
stage 3 vocabulary make_vocabulary
stage 4 data make_data
trained=teacher
stage 5 teacher pretrain teacher
trained=student
stage 6 student pretrain student
stage 7 prompts make_prompts
trained=distillation
stage 8 distillation distil
stage 9 few-shot fewshot
at_work=summary
python -m fairseq_metro.papers.smash.quickstart_summary "$RUN"
at_work=''
say "finished: $RUN, $((SECONDS - after_environment)) s after the environment; look at $RUN/bars.png"
