#!/usr/bin/env bash
# METRO-T5 on data of plain fairseq: SentencePiece's pieces, fairseq-preprocess, fairseq-train, curves.
#   bash train_scripts/quickstart_stock.sh                    English text that is already installed
#   TEXT="a.txt b.txt.gz" RUN=runs/mine bash train_scripts/quickstart_stock.sh   your own; blank line = new document
#   TASK=t5 RUN=runs/t5 bash train_scripts/quickstart_stock.sh       or masked_lm_blocks
# Nothing of preprocess/ but the text: whoever has a folder of fairseq-preprocess begins at the fourth
# stage. Interrupted at any point it goes on from there: type the same command again.
set -euo pipefail
here=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."

VOCABULARY=1000                     # SentencePiece pieces
BLOCK=128                           # tokens in a block
BATCH=8                             # blocks in an update: 8 x 128 = 1,024 tokens, over all processes
UPDATES=${UPDATES:-1000}            # one minute of two cores; quickstart.sh shows what 7,000 learn
WARMUP=$(( UPDATES * 6 / 100 ))     # then linearly to 0
LR=0.0015
EVERY=$(( UPDATES / 5 ))            # updates from one validation and checkpoint to the next

TASK=${TASK:-metro_t5}
SEED=${SEED:-1}
SCRIPT=quickstart_stock STAGES=5
# shellcheck source=train_scripts/stages.sh
source train_scripts/stages.sh
trained=pretraining
find_run quickstart_stock

whole_number SEED "$SEED" 0 ", such as SEED=1"
whole_number UPDATES "$UPDATES" 20 " of at least 20"
case $TASK in
    metro_t5) ARCH=metro_t5_tiny ;;
    t5) ARCH=t5_transformer_tiny ;;
    masked_lm_blocks) ARCH=roberta_mlm_tiny ;;
    *) fail "TASK=$TASK must be metro_t5, t5 or masked_lm_blocks" ;;
esac

find_texts

choose_processes "$BATCH blocks"

train_command() {                  # sets cmd: the training of run folder $1
    local run=$1
    cmd=(bash train_scripts/launch.sh "$PROCESSES" fairseq-train "$run/data" --user-dir fairseq_metro
        --task "$TASK" --arch "$ARCH" --criterion "$TASK" --dropout 0 --attention-dropout 0
        --sentencepiece-model "$run/spm.model"               # kept beside the checkpoints, for predict
        --tokens-per-sample "$BLOCK" --batch-size $(( BATCH / PROCESSES )) --seed "$SEED"
        --optimizer fused_adam --adam-betas '(0.9, 0.98)' --adam-eps 1e-6 --weight-decay 0.01 --clip-norm 2.0
        --lr "$LR" --lr-scheduler polynomial_decay --warmup-updates "$WARMUP"
        --total-num-update "$UPDATES" --max-update "$UPDATES"
        --num-workers 0
        --save-dir "$run/checkpoints" --save-interval-updates "$EVERY" --keep-interval-updates 1
        --no-epoch-checkpoints --save-interval 1000000       # by updates, not by epochs
        --validate-interval-updates "$EVERY" --validate-interval 1000000
        --log-format json --log-interval 20)
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
# SentencePiece alone, as its spm_train and spm_encode --output_format=piece: a line of pieces for each line.
make_pieces() {
    python - "$RUN" "$VOCABULARY" <<'PY'
import sys
import sentencepiece

run, size = sys.argv[1:]
sentencepiece.SentencePieceTrainer.train(
    input=f"{run}/corpus/train.txt", model_prefix=f"{run}/spm", vocab_size=int(size), minloglevel=2,
    max_sentence_length=1 << 16, hard_vocab_limit=False,
)
processor = sentencepiece.SentencePieceProcessor(model_file=f"{run}/spm.model")
for split in ("train", "valid"):
    with (
        open(f"{run}/corpus/{split}.txt", encoding="utf-8", newline="\n") as text,
        open(f"{run}/{split}.pieces", "w", encoding="utf-8", newline="\n") as pieces,
    ):
        for line in text:
            pieces.write(" ".join(processor.encode(line.removesuffix("\n"), out_type=str)) + "\n")
PY
}
make_data() {
    rm -rf "$RUN/data"             # fairseq-preprocess writes over no dictionary
    fairseq-preprocess --only-source --trainpref "$RUN/train.pieces" --validpref "$RUN/valid.pieces" \
        --destdir "$RUN/data" --workers "$(cores)" > "$RUN/preprocess.log" 2>&1 ||
        { tail -n 5 "$RUN/preprocess.log" >&2; return 1; }
}
pretrain() {
    train_command "$RUN"
    train
}

stage 1 corpus make_corpus
stage 2 pieces make_pieces
stage 3 data make_data
stage 4 pretraining pretrain
say "$STAGES/$STAGES summary"
at_work=summary
python -m fairseq_metro summary "$RUN"
at_work=''
say "finished: $RUN, $((SECONDS - after_environment)) s after the environment; look at $RUN/curves.png"
