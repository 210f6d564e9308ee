#!/usr/bin/env bash
# Soft-prompt tuning (Wei et al. 2022, section 4.5, after Lester et al. 2021): 10 vectors before the input
# of a frozen model learn one data set, Adafactor at 0.3, 30k updates of 32 examples.
#   INIT=checkpoints/flan_t5_base DATA=data-bin/rte bash train_scripts/finetune_soft_prompt.sh [fairseq-train options]
#   INIT=checkpoints/flan_t5_base TASKS=/path/to/tasks DATA=data-bin/rte PROMPT_OPTIONS="--only super_glue/rte --limit 32" \
#     bash train_scripts/finetune_soft_prompt.sh
#
# As finetune_t0.sh, with all its variables; the mixture is super_glue (MIXTURE= another), of which
# PROMPT_OPTIONS chooses the data set, and SAVE is by default checkpoints/super_glue_$MODEL_$ARCH. The model
# behind the prompt is not trained and stays where it is: INIT is needed to ask the tuned one. All
# numbers: fairseq_metro/recipes/finetuning.yaml.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=train_scripts/finetuning.sh
source train_scripts/finetuning.sh
finetune soft_prompt super_glue "$@"
