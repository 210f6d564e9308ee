#!/usr/bin/env bash
# SMASH, Figure 3: Other templates and label words.
#   TEXT=text TASKS=tasks bash train_scripts/reproduce/smash_figure3.sh
# SCALE=cpu | paper; PLAN=1 says what would be run. All variables: train_scripts/reproduce/reproduce.sh.
set -euo pipefail
# shellcheck source=train_scripts/reproduce/reproduce.sh
source "$(dirname "${BASH_SOURCE[0]}")/reproduce.sh"
reproduce smash_figure3 "$@"
