#!/usr/bin/env bash
# Set up .venv (or reuse it) and run the tests.
#   bash tests/run.sh                          everything but the slow ones
#   bash tests/run.sh -m slow                  the slow ones; any other option of pytest works too
#   bash tests/run.sh tests/analysis -x        a part
#   WORKERS=4 bash tests/run.sh                so many processes (default 2; 0: pytest's own, for -s and --pdb)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
trap 'echo "interrupted; run the same command again" >&2; exit 130' INT
source train_scripts/environment.sh
echo "[tests] environment ready after $SECONDS s"
export PYTHONHASHSEED=0 MPLBACKEND=Agg
unset FAIRSEQ_METRO_TRACEBACK HYDRA_FULL_ERROR LOGLEVEL
exec python -m pytest -q -n "${WORKERS:-2}" --dist loadfile "$@"
