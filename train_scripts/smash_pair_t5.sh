#!/usr/bin/env bash
# SMASH for T5 (section 4.6 of the paper): T5-large teaches T5-small by prompts of two sentences.
#   INIT=models/t5-small TEACHER=models/t5-large TEXT="wiki/*.txt" bash train_scripts/smash_pair_t5.sh
#
# smash_pair.sh with MODEL=hf, or MODEL=t5; INIT and TEACHER are runs, as fairseq-metro import-t5
# makes them of Hugging Face folders. The mask is T5's first sentinel, and what is learned is the token
# generated after it.
MODEL=${MODEL:-hf} exec bash "$(dirname "${BASH_SOURCE[0]}")/smash_pair.sh" "$@"
