#!/usr/bin/env bash
# METRO-T5 pretraining (METRO-T0, sections 4 and 5; sizes and rates of Table 5).
#   DATA=data-bin/mine ARCH=small PROCESSES=2 bash train_scripts/pretrain_metro.sh [fairseq-train options]
#
# DATA       folder(s) written by preprocess/binarize.py, joined by ':'
# ARCH       tiny | small | base | basepp | largepp
# PROCESSES  GPUs of this machine, or processes on its CPU (default 1)
# SAVE       run folder (default checkpoints/metro_t5_$ARCH)
# TOKENS     tokens in one micro-batch of one process (default: 8192; tiny and small 2048)
#
# The tokens of an update are the constant: 2,048 x 512 in the paper (base and above); gradient
# accumulation is derived from PROCESSES and TOKENS. Options given at the end win.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
: "${DATA:?set DATA to a folder written by preprocess/binarize.py}"
ARCH=${ARCH:-base} PROCESSES=${PROCESSES:-1}
SAVE=${SAVE:-checkpoints/metro_t5_$ARCH}

LENGTH=512 WARMUP=10000 CLIP=0
case $ARCH in
  tiny)    BATCH=$((16 * 128)) LENGTH=128 LR=1.5e-3 UPDATES=4000 WARMUP=240 CLIP=2.0 TOKENS=${TOKENS:-2048} ;;
  small)   BATCH=$((32 * 128)) LENGTH=128 LR=1e-3 UPDATES=4000 WARMUP=240 CLIP=2.0 TOKENS=${TOKENS:-2048} ;;
  base)    BATCH=$((2048 * 512)) LR=4e-4 UPDATES=125000 ;;
  basepp)  BATCH=$((2048 * 512)) LR=2e-4 UPDATES=2000000 CLIP=2.0 ;;
  largepp) BATCH=$((2048 * 512)) LR=2e-4 UPDATES=1335000 CLIP=2.0 ;;
  *) echo "pretrain_metro.sh: ARCH is '$ARCH', must be tiny, small, base, basepp or largepp" >&2; exit 2 ;;
esac
TOKENS=${TOKENS:-8192}
ACCUMULATE=$(( BATCH / (TOKENS * PROCESSES) ))
(( ACCUMULATE * TOKENS * PROCESSES == BATCH )) || {
  echo "pretrain_metro.sh: TOKENS x PROCESSES = $TOKENS x $PROCESSES must divide $BATCH, the tokens of an update" >&2
  exit 2
}

cmd=(fairseq-train "$DATA" --user-dir fairseq_metro
     --task metro_t5 --arch "metro_t5_$ARCH" --criterion metro_t5
     --tokens-per-sample $LENGTH --max-tokens "$TOKENS" --update-freq $ACCUMULATE
     --optimizer fused_adam --adam-betas '(0.9, 0.98)' --adam-eps 1e-6 --weight-decay 0.01
     --clip-norm $CLIP --lr $LR --lr-scheduler polynomial_decay
     --warmup-updates $WARMUP --total-num-update $UPDATES --max-update $UPDATES
     --save-dir "$SAVE" --no-epoch-checkpoints --save-interval-updates 1000
     --keep-interval-updates 1 --validate-interval-updates 1000
     --log-format json --log-interval 50 "$@")
mkdir -p "$SAVE"
printf '%q ' bash train_scripts/launch.sh "$PROCESSES" "${cmd[@]}" | tee "$SAVE/command.txt"
echo
exec bash train_scripts/launch.sh "$PROCESSES" "${cmd[@]}"
