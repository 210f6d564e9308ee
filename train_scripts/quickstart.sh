#!/usr/bin/env bash
# From nothing to a pretrained METRO-T5: environment, text, vocabulary, data, fairseq-train, curves.
#   bash train_scripts/quickstart.sh                          English text that is already installed
#   TEXT="a.txt b.txt.gz" RUN=runs/mine bash train_scripts/quickstart.sh     your own; blank line = new document
#   TEXT=wiki FIELD=body RUN=runs/rows bash train_scripts/quickstart.sh       a folder of rows, JSON lines or parquet
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
SCRIPT=quickstart STAGES=5
# shellcheck source=train_scripts/stages.sh
source train_scripts/stages.sh
trained=pretraining
find_run quickstart

whole_number SEED "$SEED" 0 ", such as SEED=1"
whole_number UPDATES "$UPDATES" 20 " of at least 20"

find_texts

choose_processes "$BATCH blocks"

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

# What the run is made of. How many processes share an update makes no difference.
settings() {
    text_settings
    echo "SEED=$SEED"
    echo "RECIPE=$UPDATES updates"
    echo "VOCABULARY=$VOCABULARY"
    local SEED=any PROCESSES=1 cmd
    train_command .
    option_lines '' "${cmd[@]}"
}
claim_run

# shellcheck source=train_scripts/environment.sh
source train_scripts/environment.sh
# What hydra and torch say about fairseq's own code at every start is no concern of this run's.
export PYTHONWARNINGS=${PYTHONWARNINGS:-ignore::FutureWarning,ignore::UserWarning}
after_environment=$SECONDS

make_corpus() {
    rm -rf "$RUN/corpus"
    if [ ${#texts[@]} -eq 0 ]; then python -m fairseq_metro corpus --valid-share 0.05 --out "$RUN/corpus"
    else split_texts; fi
}
make_vocabulary() {
    rm -rf "$RUN/vocab"
    python -m fairseq_metro vocabulary --input "$RUN/corpus/train.txt" --out "$RUN/vocab" --vocab-size "$VOCABULARY" --lowercase
}
make_data() {
    python -m fairseq_metro binarize --vocab "$RUN/vocab" --train "$RUN/corpus/train.txt" --valid "$RUN/corpus/valid.txt" --dest "$RUN/data"
}
pretrain() {
    train_command "$RUN"
    train
}

stage 1 corpus make_corpus
stage 2 vocabulary make_vocabulary
stage 3 data make_data
stage 4 pretraining pretrain
say "$STAGES/$STAGES summary"
at_work=summary
python -m fairseq_metro summary "$RUN"
at_work=''
say "finished: $RUN, $((SECONDS - after_environment)) s after the environment; look at $RUN/curves.png"
