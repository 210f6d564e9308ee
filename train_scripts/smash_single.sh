#!/usr/bin/env bash
# SMASH for tasks of single sentences: distils a student on prompts of one, by the paper's numbers.
#   INIT=models/distilroberta TEACHER=models/roberta-large TEXT="wiki/*.txt" bash train_scripts/smash_single.sh
#
# As smash_pair.sh, with all its variables (SETTING without rule), and
# FILTER     with TEXT: the RoBERTa that decides which sentences stay, those on which it has an opinion
#            (default: TEACHER, the first); no: all stay
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=train_scripts/smash.sh
source train_scripts/smash.sh
distil single_sentence "$@"
