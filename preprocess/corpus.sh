# What the corpora of METRO-T0 share; sourced by corpus_*.sh, which set SOURCES, VOCAB_SIZE, CASE.
#
# OUT      folder for documents/, vocab/ and data/ (data/shardN are fairseq-train's argument)
# WORKERS  processes (default: all cores)     SHARDS  shards, one per epoch in turn (default below)
# PLAN=1   print disk and time, and stop
: "${OUT:?set OUT to a folder with room for the corpus; PLAN=1 tells how much}"
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
command -v fairseq-train >/dev/null || PATH=$root/.venv/bin:$PATH
WORKERS=${WORKERS:-$(env -u OMP_NUM_THREADS -u OMP_THREAD_LIMIT nproc)}
python -m fairseq_metro documents --source "${SOURCES[@]}" --out "$OUT/documents" ${PLAN:+--plan}
[ -z "${PLAN:-}" ] || exit 0
python -m fairseq_metro vocabulary --input "$OUT"/documents/train/*.zst --out "$OUT/vocab" \
  --vocab-size "$VOCAB_SIZE" --normalization metro $CASE
python -m fairseq_metro binarize --vocab "$OUT/vocab" --train "$OUT"/documents/train/*.zst \
  --valid "$OUT"/documents/valid/*.zst --dest "$OUT/data" --shards "${SHARDS:-$DEFAULT_SHARDS}" --workers "$WORKERS"
