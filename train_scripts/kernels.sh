# Refuses in one line a choice of kernels that is none, before anything starts: what FAIRSEQ_METRO_KERNELS
# says and every --kernels among the options of the script that sources this. The words are those of
# fairseq_metro/kernels/choice.py.

# known_kernels NAME VALUE
known_kernels() {
  local choice='(auto|fused|reference)' pair
  pair="((attention|residual_norm|head_loss)=$choice|residual_norm=apex|layers=(auto|compiled|reference))"
  [[ ${2//[[:space:]]/} =~ ^,*($choice|$pair(,+$pair)*)?,*$ ]] && return
  echo "error: $1 '$2' is unknown: must be auto, fused, reference, or OPERATION=CHOICE,... with operations attention, residual_norm, head_loss; residual_norm=apex, layers=compiled, too" >&2
  exit 2
}

# kernels_among OPTIONS...
kernels_among() {
  while (( $# )); do
    case $1 in
      --kernels) known_kernels --kernels "${2-nothing}"; shift $(( $# > 1 )) ;;
      --kernels=*) known_kernels --kernels "${1#*=}" ;;
    esac
    shift
  done
}

known_kernels FAIRSEQ_METRO_KERNELS "${FAIRSEQ_METRO_KERNELS-}"
kernels_among "$@"
