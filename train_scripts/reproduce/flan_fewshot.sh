#!/usr/bin/env bash
# FLAN, few-shot exemplars: Exemplars in the input help further.
#   TEXT=text TASKS=tasks bash train_scripts/reproduce/flan_fewshot.sh
# SCALE=cpu | paper; PLAN=1 says what would be run. All variables: train_scripts/reproduce/reproduce.sh.
set -euo pipefail
# shellcheck source=train_scripts/reproduce/reproduce.sh
source "$(dirname "${BASH_SOURCE[0]}")/reproduce.sh"
reproduce flan_fewshot "$@"
