#!/usr/bin/env bash
# The base corpus of METRO-T0 (section 5): English Wikipedia and BookCorpus, 16 GB of text, and a
# vocabulary of 32,768 uncased pieces.
#   WIKI="wiki/**/*.jsonl" BOOKS="books/*.txt" OUT=corpora/wikibooks bash preprocess/corpus_wikibooks.sh
# WIKI and BOOKS are files, folders or quoted patterns (plain text, rows with a field "text", in any
# packing), or hf:NAME:CONFIG where the hub is reached, e.g. WIKI=hf:wikimedia/wikipedia:20231101.en
set -euo pipefail
: "${WIKI:?set WIKI to files of Wikipedia, for example the output of WikiExtractor}"
: "${BOOKS:?set BOOKS to files of books}"
SOURCES=("$WIKI" "$BOOKS") VOCAB_SIZE=${VOCAB_SIZE:-32768} CASE=--lowercase DEFAULT_SHARDS=4
source "$(dirname "${BASH_SOURCE[0]}")/corpus.sh"
