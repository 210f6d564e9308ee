#!/usr/bin/env bash
# METRO-T0+: prompt fine-tuning on the mixture T0+ Train (48 data sets, 392 tasks), by METRO-T0's Table 6: rows base,
# base++ and large++ are ARCH=base, basepp and largepp.
#   INIT=checkpoints/metro_t5_base DATA=data-bin/t0p bash train_scripts/finetune_t0p.sh [fairseq-train options]
#   INIT=checkpoints/metro_t5_base TASKS=/path/to/tasks bash train_scripts/finetune_t0p.sh
#
# INIT       what it begins with: a pretrained run's folder or checkpoint, RUN@UPDATES for one that it
#            kept, an authors' or a Hugging Face folder
# DATA       folder written by fairseq-metro prompts; or
# TASKS      the folder of raw task files: DATA (then by default data-bin/t0p) is made of them
#            first, with the vocabulary beside INIT (VOCAB= another) and the installed templates
#            (TEMPLATES= others); what is there already is kept. MIXTURE=FILE.yaml: another mixture
# PROMPT_OPTIONS   with TASKS: more options of fairseq-metro prompts, such as "--hold-out nli"
# ARCH       tiny | small | base | basepp | largepp (default base)
# MODEL      metro (default) | t5: METRO-T5's main model or our T5 | hf: Hugging Face's T5, where basepp
#            and largepp mean its base and large (v1.1: --arch hf_t5_v1_1_base at the end)
# PROCESSES  GPUs of this machine, or processes on its CPU (default 1)
# SAVE       run folder (default checkpoints/t0p_$MODEL_$ARCH)
# BATCH      sequences in one micro-batch of one process; or TOKENS, and BATCH is the most of full length
#            that have so many tokens
# PLAN=1     or --plan: print the commands and start nothing
# MACHINES, MACHINE, MASTER   several machines: their number, this one's (from 0), host:port of the
#            first; the same command on each
#
# The sequences of an update are the constant (2,048 in the paper); gradient accumulation is derived
# from PROCESSES and BATCH. Nothing is selected: checkpoint_last.pt, after the last update, is the
# result, and no step reads checkpoint_best.pt, which fairseq writes by itself. Validated are the
# splits valid and heldout, as far as DATA has them. Options given at the end win. All numbers:
# fairseq_metro/recipes/finetuning.yaml.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=train_scripts/finetuning.sh
source train_scripts/finetuning.sh
finetune t0 t0+ "$@"
