# What the quickstarts share: a run in stages, each done once, that goes on where it was interrupted.
# Sourced by quickstart*.sh, which have set -euo pipefail and SCRIPT, their name for messages, and
# STAGES, how many there are; `here` is the folder they were started in; they stand in the clone.
# shellcheck source=train_scripts/kernels.sh
source train_scripts/kernels.sh

say() { printf '[%s] %s\n' "$SCRIPT" "$*"; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

# Sets RUN, the run's folder, from RUN or else $1; relative where it lies in the clone: short to read.
find_run() {
    RUN=${RUN:-$PWD/runs/$1}
    case $RUN in /*) ;; *) RUN=$here/$RUN ;; esac
    RUN=${RUN#"$PWD/"}
}

# Sets texts, the files of TEXT, names and patterns as typed in the folder the command was started in:
# what exists under a name is meant, whatever it looks like; a folder stands for all files in it.
find_texts() {
    local words word matches
    texts=()
    read -rd '' -a words <<< "${TEXT:-}" || true
    [ ${#words[@]} -gt 0 ] || return 0
    cd "$here"
    shopt -s globstar nullglob
    for word in "${words[@]}"; do
        # shellcheck disable=SC2206  # a pattern
        if [ -e "$word" ]; then matches=("$word"); else matches=($word); fi
        [ ${#matches[@]} -gt 0 ] && [ -e "${matches[0]}" ] || fail "TEXT: $word: no such file or folder"
        for word in "${matches[@]}"; do
            word=$(realpath -- "$word")
            if [ -f "$word" ]; then texts+=("$word")
            elif [ -d "$word" ]; then mapfile -t -O ${#texts[@]} texts < <(find "$word" -mindepth 1 -name '.*' -prune -o -type f -print | LC_ALL=C sort)
            else fail "TEXT: $word: is no file and no folder"; fi
        done
    done
    shopt -u globstar nullglob
    cd - >/dev/null
    [ ${#texts[@]} -gt 0 ] || fail "TEXT: no file in ${words[*]}"
}
# The text, for `settings`.
text_settings() {
    if [ ${#texts[@]} -eq 0 ]; then echo "TEXT=default corpus"
    else echo "TEXT=${#texts[@]} file(s), $(cat "${texts[@]}" | wc -c | tr -d ' ') bytes, sha256 $(cat "${texts[@]}" | sha256sum | cut -c1-16)"; fi
    [ -z "${FIELD:-}" ] || echo "FIELD=$FIELD"
}
# split_texts OPTIONS...: the documents of texts to RUN/corpus/train.txt and valid.txt.
split_texts() {
    python -m fairseq_metro.prepare.split --out "$RUN/corpus" ${FIELD:+--field "$FIELD"} "$@" -- "${texts[@]}"
}

at_work=''                          # the stage in which something went wrong
trained=''                          # the stage whose whole output is in a train.log
on_exit() {
    local status=$?
    if [ "$status" -ge 129 ]; then echo "interrupted: the same command goes on from here" >&2
    elif [ "$status" -ne 0 ] && [ -n "$at_work" ]; then
        [ "$at_work" != "$trained" ] || echo "the whole output of fairseq-train: ${train_log:-$RUN/train.log}" >&2
        echo "stopped at '$at_work' (status $status): once mended, the same command goes on from there" >&2
    fi
}
trap on_exit EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# whole_number NAME VALUE LEAST EXAMPLE: what NAME=VALUE must be.
whole_number() {
    [[ $2 =~ ^[0-9]+$ && $2 -ge $3 ]] || fail "$1=$2 must be a whole number${4:+$4}"
}

# Cores that this command may use. By itself nproc says OMP_NUM_THREADS where that is set.
cores() { env -u OMP_NUM_THREADS -u OMP_THREAD_LIMIT nproc; }

# Processes of fairseq-train: two share a CPU's cores better than two threads; one GPU is enough.
# choose_processes WHAT: sets PROCESSES; WHAT is shared evenly among them.
choose_processes() {
    if [ -z "${PROCESSES:-}" ]; then
        if [ "$(cores)" -lt 2 ] || nvidia-smi -L >/dev/null 2>&1; then PROCESSES=1; else PROCESSES=2; fi
    fi
    [[ $PROCESSES =~ ^[124]$ ]] || fail "PROCESSES=$PROCESSES must be 1, 2 or 4: an update's $1 are shared evenly"
}

# option_lines PREFIX WORD...: the options of a training command for `settings`, one on a line.
option_lines() {
    local line='' word
    for word in "${@:2}"; do
        case $word in
            --*) [ -z "$line" ] || echo "$1$line"; line=$word ;;
            *) [ -z "$line" ] || line+=" $word" ;;      # before the first option: the program
        esac
    done
    [ -z "$line" ] || echo "$1$line"
}

# changed_settings THERE NOW: how two files of settings differ, in words; nothing where they agree.
# Of the options an earlier version kept a sha256 only, made with the number of processes: they are
# not compared then, and the training names those that differ from its checkpoint's.
changed_settings() {
    awk '
        function name_of(line) {
            if (match(line, /--[^ ]+/)) return substr(line, 1, RSTART + RLENGTH - 1)
            if (match(line, /=/)) return substr(line, 1, RSTART - 1)
            return line
        }
        function differ(words) { if (++count <= 3) said = said (count > 1 ? "; " : "") words }
        { line = $0; compared = line; name = name_of(line) }
        FNR == NR {
            if (sub(/, sha256 of all options .*/, "", compared)) earlier = 1
            there[name] = line; value[name] = compared; sub(/, [0-9]+ bytes/, "", value[name]); next
        }
        {
            seen[name] = 1
            if (earlier && (line ~ /--/ || !(name in there))) next
            sub(/, [0-9]+ bytes/, "", compared)
            if (!(name in there)) differ("now " line ", there nothing")
            else if (value[name] != compared) differ("now " line ", there " there[name])
        }
        END {
            for (name in there) if (!(name in seen)) differ("there " there[name] ", now nothing")
            if (count > 3) said = said "; " count - 3 " more"
            if (count) print said
        }' "$1" "$2"
}

# Takes RUN for this run alone. A folder holds one run, of what `settings` prints: another text,
# seed or recipe needs another RUN.
claim_run() {
    if [ -e "$RUN/settings.txt" ]; then
        local changed
        changed=$(changed_settings "$RUN/settings.txt" <(settings))
        [ -z "$changed" ] || fail "$RUN holds a run with other settings ($changed); name another folder with RUN=, or remove this one (rm -r $RUN)"
    elif [ -e "$RUN" ] && [ -n "$(ls -A "$RUN" | grep -v '^\.')" ]; then
        fail "$RUN is there and holds no run of this script; name another folder with RUN="
    fi
    mkdir -p "$RUN/.done"
    if command -v flock >/dev/null; then
        exec 8> "$RUN/.lock"
        flock -n 8 || fail "another $SCRIPT is at work in $RUN; wait for it, or name another folder with RUN="
    fi
    settings > "$RUN/.settings.tmp"
    mv "$RUN/.settings.tmp" "$RUN/settings.txt"
}

# stage N NAME COMMAND...: once; what an interruption left of it is made again or gone on with.
stage() {
    local number=$1 name=$2 began=$SECONDS; shift 2
    if [ -e "$RUN/.done/$name" ]; then say "$number/$STAGES $name: there already"; return; fi
    say "$number/$STAGES $name"
    at_work=$name
    "$@"
    at_work=''
    : > "$RUN/.done/$name"
    say "$number/$STAGES $name: $((SECONDS - began)) s"
}

# train [FOLDER]: runs cmd, set by the caller, keeping command.txt and train.log in FOLDER, else RUN.
train() {
    local folder=${1:-$RUN}
    train_log=$folder/train.log
    mkdir -p "$folder"
    { printf '%q ' "${cmd[@]}"; echo; } | tee "$folder/command.txt"
    # A run that ended between its last checkpoint and our mark is not trained one update further.
    if grep -qs '| done training in' "$train_log"; then return; fi
    python -m fairseq_metro.analysis.progress --log "$train_log" -- "${cmd[@]}"
}
