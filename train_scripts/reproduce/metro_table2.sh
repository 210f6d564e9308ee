#!/usr/bin/env bash
# METRO-T0, Table 2: METRO-T0 against T0 on T0 Eval.
#   TEXT=text TASKS=tasks bash train_scripts/reproduce/metro_table2.sh
# SCALE=cpu | gpu1 | paper; PLAN=1 says what would be run. All variables: train_scripts/reproduce/reproduce.sh.
set -euo pipefail
# shellcheck source=train_scripts/reproduce/reproduce.sh
source "$(dirname "${BASH_SOURCE[0]}")/reproduce.sh"
reproduce metro_table2 "$@"
