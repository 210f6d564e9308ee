#!/usr/bin/env bash
# From nothing to a pretrained METRO-T5: environment, text, vocabulary, data, fairseq-train, curves.
#   bash train_scripts/quickstart.sh                          English text that is already installed
#   TEXT="a.txt b.txt.gz" RUN=runs/mine bash train_scripts/quickstart.sh     your own; blank line = new document
#   SEED=2 RUN=runs/seed2 bash train_scripts/quickstart.sh    another seed
# Interrupted at any point it goes on from there: type the same command again.
set -euo pipefail
here=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# The whole recipe. It fits two CPU cores and six minutes; the paper's is in train_scripts/pretrain_metro.sh.
ARCH=metro_t5_tiny
VOCABULARY=1000                     # SentencePiece pieces, of lower-cased text
BLOCK=128                           # tokens in a block
BATCH=8                             # blocks in an update: 8 x 128 = 1,024 tokens, over all processes
UPDATES=${UPDATES:-7000}
WARMUP=$(( UPDATES * 6 / 100 ))     # then linearly to 0
LR=0.0015                           # at twice that the auxiliary model runs ahead and RTD learns less
EVERY=$(( UPDATES / 10 ))           # updates from one validation and checkpoint to the next

SEED=${SEED:-1}
RUN=${RUN:-$PWD/runs/quickstart}
case $RUN in /*) ;; *) RUN=$here/$RUN ;; esac
RUN=${RUN#"$PWD/"}                  # relative where it lies in the clone: short to read

say() { printf '[quickstart] %s\n' "$*"; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

at_work=''                          # the stage in which something went wrong
on_exit() {
    local status=$?
    if [ "$status" -ge 129 ]; then echo "interrupted: the same command goes on from here" >&2
    elif [ "$status" -ne 0 ] && [ -n "$at_work" ]; then
        [ "$at_work" != pretraining ] || echo "the whole output of fairseq-train: $RUN/train.log" >&2
        echo "stopped at '$at_work' (status $status): once mended, the same command goes on from there" >&2
    fi
}
trap on_exit EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

[[ $SEED =~ ^[0-9]+$ ]] || fail "SEED=$SEED must be a whole number, such as SEED=1"
[[ $UPDATES =~ ^[0-9]+$ && $UPDATES -ge 20 ]] || fail "UPDATES=$UPDATES must be a whole number of at least 20"

# TEXT: file names and patterns, as typed in the folder the command was started in.
texts=()
if [ -n "${TEXT:-}" ]; then
    cd "$here"
    # shellcheck disable=SC2206  # several words, with patterns
    texts=($TEXT)
    for i in "${!texts[@]}"; do
        [ -f "${texts[$i]}" ] || fail "TEXT: ${texts[$i]}: no such file"
        texts[i]=$(realpath "${texts[$i]}")
    done
    cd - >/dev/null
fi

# Processes of fairseq-train: two share a CPU's cores better than two threads; one GPU is enough.
if [ -z "${PROCESSES:-}" ]; then
    if [ "$(nproc)" -lt 2 ] || nvidia-smi -L >/dev/null 2>&1; then PROCESSES=1; else PROCESSES=2; fi
fi
[[ $PROCESSES =~ ^[124]$ ]] || fail "PROCESSES=$PROCESSES must be 1, 2 or 4: an update's $BATCH blocks are shared evenly"

train_command() {                  # sets cmd: the training of run folder $1
    local run=$1
    cmd=(bash train_scripts/launch.sh "$PROCESSES" fairseq-train "$run/data" --user-dir fairseq_metro
        --task metro_t5 --arch "$ARCH" --criterion metro_t5 --dropout 0 --attention-dropout 0
        --tokens-per-sample "$BLOCK" --batch-size $(( BATCH / PROCESSES )) --seed "$SEED"
        --optimizer fused_adam --adam-betas '(0.9, 0.98)' --adam-eps 1e-6 --weight-decay 0.01 --clip-norm 2.0
        --lr "$LR" --lr-scheduler polynomial_decay --warmup-updates "$WARMUP"
        --total-num-update "$UPDATES" --max-update "$UPDATES"
        --num-workers 0
        --save-dir "$run/checkpoints" --save-interval-updates "$EVERY" --keep-interval-updates 1
        --no-epoch-checkpoints --save-interval 1000000       # by updates, not by epochs
        --validate-interval-updates "$EVERY" --validate-interval 1000000
        --log-format json --log-interval 20 --tensorboard-logdir "$run/tensorboard")
}

# What the run is made of. A folder holds one run: another text, seed or recipe needs another RUN.
settings() {
    if [ ${#texts[@]} -eq 0 ]; then echo "TEXT=default corpus"
    else echo "TEXT=${#texts[@]} file(s), sha256 $(cat "${texts[@]}" | sha256sum | cut -c1-16)"; fi
    echo "SEED=$SEED"
    local SEED=any
    train_command .
    echo "RECIPE=$UPDATES updates, sha256 of all options $(echo "$VOCABULARY ${cmd[*]}" | sha256sum | cut -c1-16)"
}
if [ -e "$RUN/settings.txt" ]; then
    changed=$(diff <(settings) "$RUN/settings.txt" | grep '^[<>]' | head -n 2 | sed 's/^< /now /; s/^> /there /' | paste -sd ';' | sed 's/;/, /') || true
    [ -z "$changed" ] || fail "$RUN holds a run with other settings ($changed); name another folder with RUN=, or remove this one (rm -r $RUN)"
elif [ -e "$RUN" ] && [ -n "$(ls -A "$RUN" | grep -v '^\.')" ]; then
    fail "$RUN is there and holds no run of this script; name another folder with RUN="
fi
mkdir -p "$RUN/.done"
if command -v flock >/dev/null; then
    exec 8> "$RUN/.lock"
    flock -n 8 || fail "another quickstart is at work in $RUN; wait for it, or name another folder with RUN="
fi
[ -e "$RUN/settings.txt" ] || { settings > "$RUN/.settings.tmp"; mv "$RUN/.settings.tmp" "$RUN/settings.txt"; }

# shellcheck source=train_scripts/environment.sh
source train_scripts/environment.sh
# What hydra and torch say about fairseq's own code at every start is no concern of this run's.
export PYTHONWARNINGS=${PYTHONWARNINGS:-ignore::FutureWarning,ignore::UserWarning}
after_environment=$SECONDS

# stage N NAME COMMAND...: once; what an interruption left of it is made again or gone on with.
stage() {
    local number=$1 name=$2 began=$SECONDS; shift 2
    if [ -e "$RUN/.done/$name" ]; then say "$number/5 $name: there already"; return; fi
    say "$number/5 $name"
    at_work=$name
    "$@"
    at_work=''
    : > "$RUN/.done/$name"
    say "$number/5 $name: $((SECONDS - began)) s"
}

make_corpus() {
    rm -rf "$RUN/corpus"
    if [ ${#texts[@]} -eq 0 ]; then python preprocess/default_corpus.py --valid-share 0.05 --out "$RUN/corpus"
    else python -m fairseq_metro.prepare.split --out "$RUN/corpus" "${texts[@]}"; fi
}
make_vocabulary() {
    rm -rf "$RUN/vocab"
    python preprocess/train_vocabulary.py --input "$RUN/corpus/train.txt" --out "$RUN/vocab" --vocab-size "$VOCABULARY" --lowercase
}
make_data() {
    python preprocess/binarize.py --vocab "$RUN/vocab" --train "$RUN/corpus/train.txt" --valid "$RUN/corpus/valid.txt" --dest "$RUN/data"
}
pretrain() {
    train_command "$RUN"
    { printf '%q ' "${cmd[@]}"; echo; } | tee "$RUN/command.txt"
    # A run that ended between its last checkpoint and our mark is not trained one update further.
    if grep -qs '| done training in' "$RUN/train.log"; then return; fi
    python -m fairseq_metro.analysis.progress --log "$RUN/train.log" -- "${cmd[@]}"
}

stage 1 corpus make_corpus
stage 2 vocabulary make_vocabulary
stage 3 data make_data
stage 4 pretraining pretrain
say "5/5 summary"
at_work=summary
python -m fairseq_metro.analysis.summary "$RUN"
at_work=''
say "finished: $RUN, $((SECONDS - after_environment)) s after the environment; look at $RUN/curves.png"
