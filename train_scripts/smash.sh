# Starts prompt distillation from the one table of its rates and settings (SMASH, section 4.3),
# fairseq_metro/recipes/smash.yaml. Sourced by the smash_*.sh, which have set -euo pipefail and stand
# in the clone.
MODEL=${MODEL:-roberta} ARCH=${ARCH:-} SETTING=${SETTING:-ce} PROCESSES=${PROCESSES:-1}
INIT=${INIT:-} TEACHER=${TEACHER:-} CACHE=${CACHE:-} PLAN=${PLAN:-0}
# shellcheck source=train_scripts/sizes.sh
source train_scripts/sizes.sh

# tokenizer_of_start: --vocab and the vocabulary beside what INIT names, or --tokenizer and INIT.
tokenizer_of_start() {
  local folder
  [[ -z ${VOCAB:-} ]] || { printf '%s\n' --vocab "$VOCAB"; return; }
  for folder in "$INIT/vocab" "$INIT/checkpoints/vocab" "$(dirname "$INIT")/vocab" "${INIT%@*}"{,/checkpoints}/vocab; do
    [[ ! -d $folder ]] || { printf '%s\n' --vocab "$folder"; return; }
  done
  [[ ! -e $INIT/tokenizer.json && ! -e $INIT/vocab.json ]] || { printf '%s\n' --tokenizer "$INIT"; return; }
  [[ $PLAN == 0 || -e $INIT ]] || { printf '%s\n' --vocab "${INIT%@*}/vocab"; return; }
  refuse "no vocab/ beside INIT=$INIT, and no tokenizer in it; set VOCAB to the vocabulary folder of that model"
}

# filter_of GROUP: whose opinion decides which single sentences stay; nothing for no filter.
filter_of() {
  [[ $1 == single_sentence && ${FILTER:-} != no ]] || return 0
  if [[ $MODEL != roberta ]]; then
    [[ -z ${FILTER:-} ]] || refuse "FILTER=$FILTER: the filter reads a RoBERTa's prompts, not MODEL=$MODEL's; make the data without it (FILTER=no)"
    echo "the sentences are not filtered: that takes a RoBERTa" >&2
    return 0
  fi
  [[ -n ${FILTER:-${TEACHER%%:*}} ]] || refuse "the sentences are filtered by a teacher: give TEACHER, or FILTER=DIR, or FILTER=no"
  printf '%s\n' "${FILTER:-${TEACHER%%:*}}"
}

# make_data GROUP: TEXT's documents to DATA; what is finished there already is kept as it is.
make_data() {
  local found kind=roberta filter words texts
  [[ $SETTING != mlm ]] || refuse "TEXT with SETTING=mlm, which reads raw text: run fairseq-metro binarize with the student's vocabulary, then give DATA alone"
  (( ${MACHINES:-1} == 1 )) || refuse "TEXT with several machines: run fairseq-metro intermediate on one of them first, then give DATA alone"
  [[ $MODEL == roberta ]] || kind=t5
  read -rd '' -a texts <<< "$TEXT" || true   # names and patterns, which the command looks up
  words=(python -m fairseq_metro intermediate --group "$1" --input "${texts[@]}")
  [[ -z ${FIELD:-} ]] || words+=(--field "$FIELD")
  found=$(tokenizer_of_start) || exit 2
  mapfile -t -O "${#words[@]}" words <<< "$found"
  words+=(--kind "$kind" --dest "$DATA")
  [[ -z ${SIZE:-} ]] || words+=(--size "$SIZE")
  filter=$(filter_of "$1") || exit 2
  [[ -z $filter ]] || words+=(--filter-teacher "$filter")
  step "${words[@]}"
}

# distil GROUP OPTIONS...: data and cache where they are still to be made, then the training.
distil() {
  local words word options=() group=$1 name=$1
  shift
  for word in "$@"; do
    if [[ $word == --plan ]]; then PLAN=1; else options+=("$word"); fi
  done
  name=${group//sentence_pair/pair} name=${name//single_sentence/single}
  [[ $MODEL == roberta ]] || name+=_$MODEL
  [[ $SETTING == ce ]] || name+=_$SETTING
  SAVE=${SAVE:-checkpoints/smash_$name}
  [[ -n ${DATA:-} || -n ${TEXT:-} ]] || refuse "set DATA to a folder written by fairseq-metro intermediate, or TEXT to files of documents"
  local row=(--group "$group" --setting "$SETTING" --model "$MODEL" --size "$ARCH" --processes "$PROCESSES"
    --machines "${MACHINES:-1}" --batch "${BATCH:-}" --init-from "$INIT" --teacher "$TEACHER" --cache "$CACHE" --save-dir "$SAVE")
  [[ $PLAN == 0 ]] || row+=(--plan)
  if [[ -n ${TEXT:-} ]]; then
    words=$(python -m fairseq_metro.recipes.smash "${row[@]}" 2>&1) || refuse "${words#error: }"   # before hours of work
    DATA=${DATA:-data-bin/smash_${name%"_$SETTING"}}
    make_data "$group"
  fi
  if [[ -n $CACHE && -n $TEACHER && ! -e $CACHE ]]; then
    step python -m fairseq_metro cache-teacher "$DATA" --teacher "$TEACHER" --dest "$CACHE"
  fi
  [[ $PLAN != 0 && ! -e $DATA ]] || row+=(--data "$DATA")
  words=$(python -m fairseq_metro.recipes.smash "${row[@]}" -- "${options[@]}") || exit 2
  mapfile -t words <<< "$words"
  if [[ $PLAN != 0 ]]; then
    step bash train_scripts/launch.sh "$PROCESSES" fairseq-train "$DATA" --user-dir fairseq_metro "${words[@]}" "${options[@]}"
  else
    start "${words[@]}" "${options[@]}"
  fi
}
