#!/usr/bin/env bash
# SMASH, Table 4: Templates and label words.
#   bash train_scripts/reproduce/smash_table4.sh
# SCALE=cpu | paper; PLAN=1 says what would be run. All variables: train_scripts/reproduce/reproduce.sh.
set -euo pipefail
# shellcheck source=train_scripts/reproduce/reproduce.sh
source "$(dirname "${BASH_SOURCE[0]}")/reproduce.sh"
reproduce smash_table4 "$@"
