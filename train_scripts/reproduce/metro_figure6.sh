#!/usr/bin/env bash
# METRO-T0, Figure 6: Under-activated neurons.
#   TEXT=text TASKS=tasks bash train_scripts/reproduce/metro_figure6.sh
# SCALE=cpu | paper; PLAN=1 says what would be run. All variables: train_scripts/reproduce/reproduce.sh.
set -euo pipefail
# shellcheck source=train_scripts/reproduce/reproduce.sh
source "$(dirname "${BASH_SOURCE[0]}")/reproduce.sh"
reproduce metro_figure6 "$@"
