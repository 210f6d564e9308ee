#!/usr/bin/env bash
# Losses and accuracies of a pretrained checkpoint on a split of binarized data.
#   DATA=data-bin/mine CHECKPOINT=checkpoints/run/checkpoint_best.pt bash eval/validate.sh [fairseq-validate options]
# SPLIT (default valid) and TOKENS per batch (default 4096) can be set too.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
: "${DATA:?set DATA to a folder written by fairseq-metro binarize}"
: "${CHECKPOINT:?set CHECKPOINT to a file written by fairseq-train}"
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
exec fairseq-validate "$DATA" --user-dir fairseq_metro --task metro_t5 --path "$CHECKPOINT" \
  --valid-subset "${SPLIT:-valid}" --max-tokens "${TOKENS:-4096}" --log-interval 1000000 "$@"
