#!/usr/bin/env bash
# FLAN, instructions: Templates are necessary.
#   TEXT=text TASKS=tasks bash train_scripts/reproduce/flan_instructions.sh
# SCALE=cpu | paper; PLAN=1 says what would be run. All variables: train_scripts/reproduce/reproduce.sh.
set -euo pipefail
# shellcheck source=train_scripts/reproduce/reproduce.sh
source "$(dirname "${BASH_SOURCE[0]}")/reproduce.sh"
reproduce flan_instructions "$@"
