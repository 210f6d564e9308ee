#!/usr/bin/env bash
# METRO-T5 pretraining (METRO-T0, sections 4 and 5; sizes and rates of Table 5).
#   DATA=data-bin/mine ARCH=small PROCESSES=2 bash train_scripts/pretrain_metro.sh [fairseq-train options]
#
# DATA       folder(s) written by fairseq-metro binarize, joined by ':'
# ARCH       tiny | small | base | basepp | largepp
# PROCESSES  GPUs of this machine, or processes on its CPU (default 1)
# SAVE       run folder (default checkpoints/metro_t5_$ARCH)
# TOKENS     tokens in one micro-batch of one process (default: derived; on GPUs the largest that fits,
#            on a CPU at most 8192; tiny and small 1024)
# MACHINES, MACHINE, MASTER   several machines: their number, this one's (from 0), host:port of the
#            first; the same command on each
# PLAN=1     or --plan: print parameters, memory, tokens and hours (estimates), and start nothing;
#            GPU=a100-40|a100-80|h100|h200|v100-16|GB:TFLOPS and MFU=0.3 for another than this machine's
#
# The tokens of an update are the constant: 2,048 x 512 in the paper (base and above); gradient
# accumulation is derived from PROCESSES and TOKENS. Options given at the end win; --recipe release takes
# the released rates as well. All numbers: fairseq_metro/recipes/pretraining.yaml.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
: "${DATA:?set DATA to a folder written by fairseq-metro binarize}"
ARCH=${ARCH:-base} PROCESSES=${PROCESSES:-1}
SAVE=${SAVE:-checkpoints/metro_t5_$ARCH}
# shellcheck source=train_scripts/sizes.sh
source train_scripts/sizes.sh
pretrain metro_t5 "$@"
