#!/usr/bin/env bash
# After METRO-T0, Tables 2 and 4: settings that could make METRO-T5 pay at a small scale.
#   TEXT=text TASKS=tasks bash train_scripts/reproduce/metro_followups.sh
# PLAN=1 says what would be run. All variables: train_scripts/reproduce/reproduce.sh.
set -euo pipefail
# shellcheck source=train_scripts/reproduce/reproduce.sh
source "$(dirname "${BASH_SOURCE[0]}")/reproduce.sh"
reproduce metro_followups "$@"
