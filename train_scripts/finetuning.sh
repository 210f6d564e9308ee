# Starts prompt fine-tuning from the one table of its rates and batches (METRO-T0, Table 6; FLAN's
# own), fairseq_metro/recipes/finetuning.yaml. Sourced by the finetune_*.sh, which have set
# -euo pipefail and stand in the clone.
ARCH=${ARCH:-base} MODEL=${MODEL:-metro} PROCESSES=${PROCESSES:-1} INIT=${INIT:-} PLAN=${PLAN:-0}
# shellcheck source=train_scripts/sizes.sh
source train_scripts/sizes.sh

# vocabulary_of_start: the folder vocab/ beside what INIT names, unless VOCAB says another.
vocabulary_of_start() {
  local folder
  [[ -z ${VOCAB:-} ]] || { echo "$VOCAB"; return; }
  for folder in "$INIT/vocab" "$INIT/checkpoints/vocab" "$(dirname "$INIT")/vocab" "${INIT%@*}"{,/checkpoints}/vocab; do
    [[ ! -d $folder ]] || { echo "$folder"; return; }
  done
  [[ $PLAN == 0 || -e $INIT ]] || { echo "${INIT%@*}/vocab"; return; }
  refuse "no vocab/ beside INIT=$INIT; set VOCAB to the vocabulary folder of that model"
}

# make_data MIXTURE SOURCE: TASKS' files to DATA, for sources of so many tokens; what is finished there
# already is kept as it is.
make_data() {
  local vocabulary words=(--mixture "$1" --tasks "$TASKS" --dest "$DATA" --max-source-length "$2")
  (( ${MACHINES:-1} == 1 )) || refuse "TASKS with several machines: run fairseq-metro prompts on one of them first, then give DATA alone"
  [[ -z ${TEMPLATES:-} ]] || words+=(--templates "$TEMPLATES")
  vocabulary=$(vocabulary_of_start) || exit 2
  # shellcheck disable=SC2206  # several words
  step python -m fairseq_metro prompts "${words[@]}" --vocab "$vocabulary" ${PROMPT_OPTIONS:-}
}

# value_of OPTION WORDS...: the word behind the last OPTION among these.
value_of() {
  local option=$1 before="" word value=""
  for word in "${@:2}"; do
    [[ $before != "$option" ]] || value=$word
    [[ $word != "$option="* ]] || value=${word#*=}
    before=$word
  done
  echo "$value"
}

# finetune RECIPE MIXTURE OPTIONS...: data where it is still to be made, then the training.
finetune() {
  local words planned word options=() recipe=$1 mixture=${MIXTURE:-$2} name
  shift 2
  for word in "$@"; do
    if [[ $word == --plan ]]; then PLAN=1; else options+=("$word"); fi
  done
  name=${mixture##*/} name=${name%.yaml} name=${name//+/p}
  SAVE=${SAVE:-checkpoints/${name}_${MODEL}_$ARCH}
  [[ -n ${DATA:-} || -n ${TASKS:-} ]] || refuse "set DATA to a folder written by fairseq-metro prompts, or TASKS to the folder of the raw task files"
  local row=(--recipe "$recipe" --size "$ARCH" --model "$MODEL" --processes "$PROCESSES"
    --machines "${MACHINES:-1}" --batch "${BATCH:-}" --tokens-per-process "${TOKENS:-}"
    --init-from "$INIT" --save-dir "$SAVE")
  [[ $PLAN == 0 ]] || row+=(--plan)
  if [[ -n ${TASKS:-} ]]; then
    words=$(python -m fairseq_metro.recipes.finetuning "${row[@]}" 2>&1) || refuse "${words#error: }"   # before hours of work
    DATA=${DATA:-data-bin/$name}
    mapfile -t planned <<< "$words"
    make_data "$mixture" "$(value_of --max-source-length "${planned[@]}" "${options[@]}")"
  fi
  [[ $PLAN != 0 && ! -e $DATA ]] || row+=(--data "$DATA")
  words=$(python -m fairseq_metro.recipes.finetuning "${row[@]}" --mixture "$mixture" -- "${options[@]}") || exit 2
  mapfile -t words <<< "$words"
  if [[ $PLAN != 0 ]]; then
    step bash train_scripts/launch.sh "$PROCESSES" fairseq-train "$DATA" --user-dir fairseq_metro "${words[@]}" "${options[@]}"
  else
    start "${words[@]}" "${options[@]}"
  fi
}
