#!/usr/bin/env bash
# SMASH for sentence-pair tasks: distils a student on prompts of two sentences, by the paper's numbers.
#   INIT=models/distilroberta TEACHER=models/roberta-large TEXT="wiki/*.txt" bash train_scripts/smash_pair.sh
#   INIT=models/distilroberta TEACHER=models/roberta-base DATA=data-bin/pair SETTING=hidden bash train_scripts/smash_pair.sh
#
# INIT       the student to begin with: a Hugging Face folder, a run's folder or checkpoint
# TEACHER    the larger model, the same; several joined by ':' are averaged
# DATA       folder written by fairseq-metro intermediate; or
# TEXT       files of documents, of which DATA (by default data-bin/smash_pair) is made first, with the
#            student's vocabulary (VOCAB= another); what is there already is kept. SIZE= so many prompts
# CACHE      a folder for what the teacher says of every prompt, 2 KB each: made first where it is
#            missing, then read by this run and every other, instead of running the teacher
# SETTING    of section 4.3: ce (default) | hidden | attention | rule | temperature, or mlm, which is
#            DistilBERT's on raw text: DATA is then a folder written by fairseq-metro binarize
# MODEL      roberta (default) | hf: Hugging Face's T5 | t5: METRO-T5's main model or our T5
# ARCH       the student's size: of roberta distil (default), base, large, small, tiny; of hf small
#            (default), base, large, v1_1_small ...; of t5 base (default), basepp, largepp, small, tiny
# PROCESSES  GPUs of this machine, or processes on its CPU (default 1)
# SAVE       run folder (default checkpoints/smash_pair, with MODEL and SETTING where they are others)
# BATCH      prompts in one batch of one process
# MACHINES, MACHINE, MASTER   several machines: their number, this one's (from 0), host:port of the
#            first; the same command on each
# PLAN=1, or --plan at the end, prints the commands, and how often a prompt is visited, and runs none.
#
# The 128 prompts of an update are the constant; gradient accumulation is derived from PROCESSES and
# BATCH. Options given at the end win. checkpoint_last.pt is the result; all others stay, for
# Figure 2. The paper's sizes of data are ten times too small for its 200,000 updates to be its
# epochs: fairseq_metro/recipes/smash.yaml, which has all numbers, says more.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=train_scripts/smash.sh
source train_scripts/smash.sh
distil sentence_pair "$@"
