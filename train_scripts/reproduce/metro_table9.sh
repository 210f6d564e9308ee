#!/usr/bin/env bash
# METRO-T0, Table 9: Why a target of masked tokens alone is ill-formed.
#   bash train_scripts/reproduce/metro_table9.sh
# SCALE=cpu | paper; PLAN=1 says what would be run. All variables: train_scripts/reproduce/reproduce.sh.
set -euo pipefail
# shellcheck source=train_scripts/reproduce/reproduce.sh
source "$(dirname "${BASH_SOURCE[0]}")/reproduce.sh"
reproduce metro_table9 "$@"
