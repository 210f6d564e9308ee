#!/usr/bin/env bash
# T5 pretraining by span corruption: the paper's baseline for METRO-T5, on the same data, blocks and
# batches, with the same main model, sizes and rates (METRO-T0, Table 5).
#   DATA=data-bin/mine ARCH=small PROCESSES=2 bash train_scripts/pretrain_t5.sh [fairseq-train options]
#   ... bash train_scripts/pretrain_t5.sh --decoding-target all      Table 4, All-token LM loss
#
# DATA       folder(s) written by fairseq-metro binarize, joined by ':'
# ARCH       tiny | small | base | basepp | largepp
# PROCESSES  GPUs of this machine, or processes on its CPU (default 1)
# SAVE       run folder (default checkpoints/t5_$ARCH)
# TOKENS     tokens in one micro-batch of one process (default: derived; on GPUs the largest that fits,
#            on a CPU at most 8192; tiny and small 1024)
# MACHINES, MACHINE, MASTER   several machines: their number, this one's (from 0), host:port of the
#            first; the same command on each
# PLAN=1     or --plan: print parameters, memory, tokens and hours (estimates), and start nothing;
#            GPU=a100-40|a100-80|h100|h200|v100-16|GB:TFLOPS and MFU=0.3 for another than this machine's
#
# Tokens are those of the text, before sentinels take their places, as in METRO-T5's batches.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
: "${DATA:?set DATA to a folder written by fairseq-metro binarize}"
ARCH=${ARCH:-base} PROCESSES=${PROCESSES:-1}
SAVE=${SAVE:-checkpoints/t5_$ARCH}
# shellcheck source=train_scripts/sizes.sh
source train_scripts/sizes.sh
pretrain t5 "$@"
