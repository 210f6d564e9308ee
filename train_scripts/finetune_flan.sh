#!/usr/bin/env bash
# FLAN's instruction tuning (Wei et al. 2022, section 2.4) on its mixture: Adafactor at 3e-5, 30k
# updates of 8,192 tokens, lengths 1,024 and 256, packed. FLAN's model, a decoder-only one of 137B
# parameters, is out of scope: what is tuned here is an encoder-decoder, METRO-T5, T5 or hf_t5.
#   INIT=checkpoints/metro_t5_base DATA=data-bin/flan bash train_scripts/finetune_flan.sh [fairseq-train options]
#   INIT=checkpoints/metro_t5_base TASKS=/path/to/tasks bash train_scripts/finetune_flan.sh
#
# INIT       what it begins with: a pretrained run's folder or checkpoint, RUN@UPDATES for one that it
#            kept, an authors' or a Hugging Face folder
# DATA       folder written by fairseq-metro prompts; or
# TASKS      the folder of raw task files: DATA (then by default data-bin/flan) is made of them
#            first, with the vocabulary beside INIT (VOCAB= another) and the installed templates
#            (TEMPLATES= others); what is there already is kept. MIXTURE=FILE.yaml: another mixture
# PROMPT_OPTIONS   with TASKS: more options of fairseq-metro prompts, such as "--hold-out nli"
# ARCH       tiny | small | base | basepp | largepp (default base)
# MODEL      metro (default) | t5: METRO-T5's main model or our T5 | hf: Hugging Face's T5, where basepp
#            and largepp mean its base and large (v1.1: --arch hf_t5_v1_1_base at the end)
# PROCESSES  GPUs of this machine, or processes on its CPU (default 1)
# SAVE       run folder (default checkpoints/flan_$MODEL_$ARCH)
# BATCH      rows of 1,024 source tokens in one micro-batch of one process; or TOKENS, and BATCH is the most of full length
#            that have so many tokens
# PLAN=1     or --plan: print the commands and start nothing
# MACHINES, MACHINE, MASTER   several machines: their number, this one's (from 0), host:port of the
#            first; the same command on each
#
# The 8 rows of an update, each of several examples, are the constant; gradient accumulation is derived
# from PROCESSES and BATCH. checkpoint_last.pt is the result. Validated are the splits valid and
# heldout, as far as DATA has them. Options given at the end win. All numbers, and what the paper
# leaves open: fairseq_metro/recipes/finetuning.yaml.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=train_scripts/finetuning.sh
source train_scripts/finetuning.sh
finetune flan flan "$@"
