#!/usr/bin/env bash
# SMASH for T5 (section 4.6 of the paper): T5-large teaches T5-small by prompts of one sentence.
#   INIT=models/t5-small TEACHER=models/t5-large TEXT="wiki/*.txt" bash train_scripts/smash_single_t5.sh
#
# smash_single.sh with MODEL=hf, or MODEL=t5; INIT and TEACHER are runs, as fairseq-metro import-t5
# makes them of Hugging Face folders. The mask is T5's first sentinel, and what is learned is the token
# generated after it.
MODEL=${MODEL:-hf} exec bash "$(dirname "${BASH_SOURCE[0]}")/smash_single.sh" "$@"
