# Sizes, rates and batches of pretraining, one table for every objective (METRO-T0, Table 5).
# Sourced by the pretrain_*.sh; the caller has set -euo pipefail, stands in the clone, and has set
# DATA, ARCH, PROCESSES, SAVE and, where wanted, TOKENS.
#
# Sets LENGTH, TOKENS, ACCUMULATE and the array OPTIONS: all of fairseq-train's options but task,
# architecture and criterion. pretrain OBJECTIVE_OPTIONS... prints the command, keeps it beside the
# checkpoints and runs it.

LENGTH=512 WARMUP=10000 CLIP=0 WORKERS=1
case $ARCH in
  # tiny and small are for CPUs: short blocks, small batches, no worker processes for the data.
  tiny)    BATCH=$((8 * 128)) LENGTH=128 LR=1.5e-3 UPDATES=4000 WARMUP=240 CLIP=2.0 TOKENS=${TOKENS:-1024} WORKERS=0 ;;
  small)   BATCH=$((8 * 128)) LENGTH=128 LR=1e-3 UPDATES=4000 WARMUP=240 CLIP=2.0 TOKENS=${TOKENS:-1024} WORKERS=0 ;;
  base)    BATCH=$((2048 * 512)) LR=4e-4 UPDATES=125000 ;;
  basepp)  BATCH=$((2048 * 512)) LR=2e-4 UPDATES=2000000 CLIP=2.0 ;;
  largepp) BATCH=$((2048 * 512)) LR=2e-4 UPDATES=1335000 CLIP=2.0 ;;
  *) echo "${0##*/}: ARCH is '$ARCH', must be tiny, small, base, basepp or largepp" >&2; exit 2 ;;
esac
TOKENS=${TOKENS:-8192}

# The tokens of an update are the constant; accumulation follows from them.
ACCUMULATE=$(( BATCH / (TOKENS * PROCESSES) ))
(( ACCUMULATE * TOKENS * PROCESSES == BATCH )) || {
  echo "${0##*/}: TOKENS x PROCESSES = $TOKENS x $PROCESSES must divide $BATCH, the tokens of an update" >&2
  exit 2
}

OPTIONS=(
  --num-workers "$WORKERS" --tokens-per-sample "$LENGTH" --max-tokens "$TOKENS" --update-freq "$ACCUMULATE"
  --optimizer fused_adam --adam-betas '(0.9, 0.98)' --adam-eps 1e-6 --weight-decay 0.01
  --clip-norm "$CLIP" --lr "$LR" --lr-scheduler polynomial_decay
  --warmup-updates "$WARMUP" --total-num-update "$UPDATES" --max-update "$UPDATES"
  --save-dir "$SAVE" --no-epoch-checkpoints --save-interval-updates 1000
  --keep-interval-updates 1 --validate-interval-updates 1000
  --log-format json --log-interval 50)

pretrain() {
  local cmd=(bash train_scripts/launch.sh "$PROCESSES" fairseq-train "$DATA" --user-dir fairseq_metro "$@")
  mkdir -p "$SAVE"
  { printf '%q ' "${cmd[@]}"; echo; } | tee "$SAVE/command.txt"
  exec "${cmd[@]}"
}
