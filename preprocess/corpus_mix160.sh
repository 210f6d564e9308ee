#!/usr/bin/env bash
# The corpus of METRO-T0's base++ and large++ (section 5), RoBERTa's mix of 160 GB: Wikipedia and books,
# news, web text, stories; a vocabulary of 64,000 cased pieces.
#   WIKI=… BOOKS=… NEWS="cc_news/*.jsonl.gz" WEB="openwebtext/*.zst" STORIES="stories/*.txt" OUT=corpora/mix160 \
#     bash preprocess/corpus_mix160.sh
# Each is a file, a folder or a quoted pattern (plain text, rows with a field "text", in any packing), or
# hf:NAME:CONFIG where the hub is reached.
set -euo pipefail
: "${WIKI:?set WIKI to Wikipedia}" "${BOOKS:?set BOOKS to books}" "${NEWS:?set NEWS to CC-News}" "${WEB:?set WEB to OpenWebText}" "${STORIES:?set STORIES}"
SOURCES=("$WIKI" "$BOOKS" "$NEWS" "$WEB" "$STORIES") VOCAB_SIZE=${VOCAB_SIZE:-64000} CASE= DEFAULT_SHARDS=32
source "$(dirname "${BASH_SOURCE[0]}")/corpus.sh"
