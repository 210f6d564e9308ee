#!/usr/bin/env bash
# SMASH, Table 3: T5 models.
#   TEXT=text TASKS=tasks bash train_scripts/reproduce/smash_table3.sh
# SCALE=cpu | paper; PLAN=1 says what would be run. All variables: train_scripts/reproduce/reproduce.sh.
set -euo pipefail
# shellcheck source=train_scripts/reproduce/reproduce.sh
source "$(dirname "${BASH_SOURCE[0]}")/reproduce.sh"
reproduce smash_table3 "$@"
